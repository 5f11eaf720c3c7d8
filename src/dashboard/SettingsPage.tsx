/** A connection's interval, config and credentials, and its removal. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Confirm } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import { navigate } from "./Location.ts"
import { ErrorNotice, Field, Loading, Notice, Time } from "./Components.tsx"
import * as Form from "../contract/Form.ts"
import { SchemaFields, ShapeChooser } from "./SchemaForm.tsx"

interface Props {
  readonly integration: Api.Integration
  readonly status: Api.Status
}

const useChange = (status: Api.Status) => {
  const client = useQueryClient()
  return useMutation({
    mutationFn: (body: Parameters<typeof Api.change>[1]) => Api.change(status.id, body),
    onSuccess: () => client.invalidateQueries({ queryKey: ["connection", status.id] })
  })
}

const Saved = () => (
  <Notice tone="good" announced>
    <p>Saved. The source was reached with it.</p>
  </Notice>
)

/** The settings as the form shows them now, which the form of the credentials can also send. */
const useSettings = ({ integration, status }: Props) => {
  const shape = Form.shapesOf(integration.config)[0] ?? { title: "", fields: [] }
  const [every, setEvery] = useState(status.every)
  const [values, setValues] = useState<Form.Values>(Form.valuesOf(shape, status.config))
  const [wrong, setWrong] = useState<Form.Values>({})
  // True after the server refused to save the settings without new credentials, because they change the address.
  const [needsCredentials, setNeedsCredentials] = useState(false)
  /** Returns the settings as JSON; undefined if a field is wrong, which then shows its error. */
  const read = () => {
    const { errors, json } = Form.read(shape, values)
    setWrong(errors)
    return Object.keys(errors).length > 0 ? undefined : { config: json, every: every.trim() }
  }
  return { shape, every, setEvery, values, setValues, wrong, needsCredentials, setNeedsCredentials, read }
}

interface FormProps extends Props {
  readonly settings: ReturnType<typeof useSettings>
}

const Config = ({ settings, status }: Omit<FormProps, "integration">) => {
  const { every, setEvery, setNeedsCredentials, setValues, shape, values, wrong } = settings
  const change = useChange(status)
  const errors = Api.fieldErrors(change.error)
  return (
    <form
      noValidate
      class="panel"
      onSubmit={(event) => {
        event.preventDefault()
        const given = settings.read()
        if (given === undefined) return
        change.mutate(given, {
          onSuccess: () => setNeedsCredentials(false),
          onError: (error) => setNeedsCredentials(error instanceof Api.Problem && error.needsCredentials)
        })
      }}
    >
      <h2>How it is polled</h2>
      <ErrorNotice error={change.error} />
      {change.isSuccess ? <Saved /> : null}
      <Field
        label="Polled every"
        error={Form.errorOf(errors, "body", "every")}
        hint="Like 30 seconds, 5 minutes, 1 hour."
      >
        {(attributes) => (
          <input {...attributes} required value={every} onInput={(event) => setEvery(event.currentTarget.value)} />
        )}
      </Field>
      <SchemaFields
        shape={shape}
        values={values}
        errors={{ ...Form.errorsOf(errors, "config", shape), ...wrong }}
        onChange={setValues}
      />
      <button type="submit" class="primary" disabled={change.isPending}>
        {change.isPending ? "Reaching the source…" : "Save"}
      </button>
    </form>
  )
}

const Credentials = ({ integration, settings, status }: FormProps) => {
  const shapes = Form.shapesOf(integration.credentials)
  const [chosen, choose] = useState(0)
  const [values, setValues] = useState<Form.Values>({})
  const [wrong, setWrong] = useState<Form.Values>({})
  const [isWhole, setWhole] = useState(true)
  const withSettings = settings.needsCredentials && isWhole
  const change = useChange(status)
  const signIn = useMutation({
    mutationFn: (given: { readonly config: unknown; readonly every: string }) =>
      Api.beginSignIn({ domain: status.domain, name: status.name, ...given }),
    onSuccess: ({ url }) => location.assign(url)
  })
  const shape = shapes[chosen]
  const errors = Api.fieldErrors(change.error)
  return (
    <form
      noValidate
      class="panel"
      onSubmit={(event) => {
        event.preventDefault()
        if (shape === undefined) return
        const { errors, json } = Form.read(shape, values)
        setWrong(errors)
        const given = withSettings ? settings.read() : {}
        if (Object.keys(errors).length > 0 || given === undefined) return
        const done = () => {
          setValues({})
          settings.setNeedsCredentials(false)
        }
        change.mutate({ ...given, credentials: json }, { onSuccess: done })
      }}
    >
      <h2>Credentials</h2>
      <p class="quiet-text">
        Those that are stored are sealed and never shown. New ones must be of the same account, {status.account}.
      </p>
      <ErrorNotice error={change.error ?? signIn.error} />
      {change.isSuccess ? <Saved /> : null}
      {settings.needsCredentials ? (
        <label class="choice">
          <input type="checkbox" checked={isWhole} onChange={(event) => setWhole(event.currentTarget.checked)} />
          <span>
            Save the settings above with them
            <span class="sub">They could not be saved alone.</span>
          </span>
        </label>
      ) : null}
      {withSettings && Object.keys(settings.wrong).length > 0 ? (
        <Notice tone="bad" announced>
          <p>A setting above is not right.</p>
        </Notice>
      ) : null}
      {integration.signIn ? (
        <p>
          <button
            type="button"
            disabled={signIn.isPending || signIn.isSuccess}
            onClick={() => {
              const given = withSettings ? settings.read() : { config: status.config, every: status.every }
              if (given !== undefined) signIn.mutate(given)
            }}
          >
            Sign in again
          </button>
        </p>
      ) : null}
      <ShapeChooser
        legend="With"
        shapes={shapes}
        chosen={chosen}
        onChoose={(index) => {
          choose(index)
          setValues({})
        }}
      />
      {shape === undefined ? null : (
        <>
          <SchemaFields
            shape={shape}
            values={values}
            errors={{ ...Form.errorsOf(errors, "credentials", shape), ...wrong }}
            onChange={setValues}
          />
          <button type="submit" disabled={change.isPending}>
            {change.isPending ? "Reaching the source…" : "Replace the credentials"}
          </button>
        </>
      )}
    </form>
  )
}

const Disconnect = ({ status }: { readonly status: Api.Status }) => {
  const client = useQueryClient()
  const [asking, ask] = useState<"keep" | "delete">()
  const [typed, type] = useState("")
  const disconnect = useMutation({
    mutationFn: (deleteContents: boolean) => Api.disconnect(status.id, deleteContents),
    onSuccess: async (_, deleteContents) => {
      ask(undefined)
      if (deleteContents) {
        client.removeQueries({ queryKey: ["connection", status.id] })
        navigate("/", { replace: true })
      }
      await client.invalidateQueries()
    }
  })
  const close = () => {
    ask(undefined)
    type("")
  }
  const stored = Format.many(status.totals.stored, "content")
  return (
    <section class="panel" aria-labelledby="disconnect">
      <h2 id="disconnect">Disconnect</h2>
      <ErrorNotice error={disconnect.error} />
      <div class="buttons">
        {status.state === "disconnected" ? null : (
          <button type="button" onClick={() => ask("keep")}>
            Disconnect, keep what is stored…
          </button>
        )}
        <button type="button" class="danger" onClick={() => ask("delete")}>
          Delete the connection and what is stored…
        </button>
      </div>
      {asking === "keep" ? (
        <Confirm
          title={`Disconnect ${status.name}?`}
          confirm="Disconnect"
          busy={disconnect.isPending}
          onConfirm={() => disconnect.mutate(false)}
          onClose={close}
        >
          <p>
            Its credentials are forgotten and it is no longer polled. {stored} stay where they are. It can be connected
            again later, and goes on where it was.
          </p>
        </Confirm>
      ) : asking === "delete" ? (
        <Confirm
          title={`Delete ${status.name} and all that is stored of it?`}
          confirm="Delete for good"
          danger
          busy={disconnect.isPending}
          disabled={typed !== status.name}
          onConfirm={() => disconnect.mutate(true)}
          onClose={close}
        >
          <p>
            {stored}, {Format.bytes(status.totals.bytes)}, its runs and its ledger are deleted from the database. This
            can't be taken back. Nothing is deleted at the source.
          </p>
          <Field label={`Type the connection's name, ${status.name}, to confirm`}>
            {(attributes) => (
              <input
                {...attributes}
                autocomplete="off"
                spellcheck={false}
                value={typed}
                onInput={(event) => type(event.currentTarget.value)}
              />
            )}
          </Field>
        </Confirm>
      ) : null}
    </section>
  )
}

const Forms = (props: Props) => {
  const settings = useSettings(props)
  return (
    <>
      {props.status.state === "disconnected" ? null : <Config settings={settings} status={props.status} />}
      <Credentials {...props} settings={settings} />
    </>
  )
}

export const SettingsPage = ({ status }: { readonly status: Api.Status }) => {
  const { data, error } = useQuery({ queryKey: ["integrations"], queryFn: Api.integrations, staleTime: 600_000 })
  const integration = data?.find(({ domain }) => domain === status.domain)
  return (
    <div class="narrow">
      {integration !== undefined ? (
        <Forms integration={integration} status={status} />
      ) : error instanceof Api.Problem ? (
        <ErrorNotice error={error} />
      ) : data === undefined ? (
        <Loading what="the settings" />
      ) : (
        <Notice tone="warn">
          <p>This server has no integration {status.domain} any more: it was listed in another idem.config.ts.</p>
        </Notice>
      )}
      <Disconnect status={status} />
      <p class="quiet-text">
        Connected <Time time={status.createdAt} />; id <code>{status.id}</code>.
      </p>
    </div>
  )
}
