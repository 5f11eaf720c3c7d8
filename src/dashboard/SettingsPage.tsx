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

/** Settings with another address, which can only be saved together with new credentials. */
interface Unsaved {
  readonly config: unknown
  readonly every: string
}

const Config = ({
  integration,
  onUnsaved,
  status
}: Props & { readonly onUnsaved: (unsaved: Unsaved | undefined) => void }) => {
  const shape = Form.shapesOf(integration.config)[0] ?? { title: "", fields: [] }
  const [every, setEvery] = useState(status.every)
  const [values, setValues] = useState<Form.Values>(Form.valuesOf(shape, status.config))
  const [wrong, setWrong] = useState<Form.Values>({})
  const change = useChange(status)
  const said = change.error?.message ?? ""
  return (
    <form
      noValidate
      class="panel"
      onSubmit={(event) => {
        event.preventDefault()
        const { errors, json } = Form.read(shape, values)
        setWrong(errors)
        if (Object.keys(errors).length > 0) return
        const settings = { config: json, every: every.trim() }
        change.mutate(settings, { onSuccess: () => onUnsaved(undefined), onError: () => onUnsaved(settings) })
      }}
    >
      <h2>How it is polled</h2>
      <ErrorNotice error={change.error} />
      {change.isSuccess ? <Saved /> : null}
      <Field
        label="Polled every"
        error={said.includes("every") ? said : undefined}
        hint="Like 30 seconds, 5 minutes, 1 hour."
      >
        {(attributes) => (
          <input {...attributes} required value={every} onInput={(event) => setEvery(event.currentTarget.value)} />
        )}
      </Field>
      <SchemaFields
        shape={shape}
        values={values}
        errors={{ ...Form.errorsIn(said, shape), ...wrong }}
        onChange={setValues}
      />
      <button type="submit" class="primary" disabled={change.isPending}>
        {change.isPending ? "Reaching the source…" : "Save"}
      </button>
    </form>
  )
}

const Credentials = ({
  integration,
  onSaved,
  status,
  unsaved
}: Props & { readonly unsaved: Unsaved | undefined; readonly onSaved: () => void }) => {
  const shapes = Form.shapesOf(integration.credentials)
  const [chosen, choose] = useState(0)
  const [values, setValues] = useState<Form.Values>({})
  const [wrong, setWrong] = useState<Form.Values>({})
  const [isWhole, setWhole] = useState(true)
  const settings = isWhole ? unsaved : undefined
  const change = useChange(status)
  const signIn = useMutation({
    mutationFn: () =>
      Api.beginSignIn({
        domain: status.domain,
        name: status.name,
        ...(settings ?? { config: status.config, every: status.every })
      }),
    onSuccess: ({ url }) => location.assign(url)
  })
  const shape = shapes[chosen]
  const said = change.error?.message ?? ""
  return (
    <form
      noValidate
      class="panel"
      onSubmit={(event) => {
        event.preventDefault()
        if (shape === undefined) return
        const { errors, json } = Form.read(shape, values)
        setWrong(errors)
        if (Object.keys(errors).length > 0) return
        const done = () => {
          setValues({})
          onSaved()
        }
        change.mutate({ ...settings, credentials: json }, { onSuccess: done })
      }}
    >
      <h2>Credentials</h2>
      <p class="quiet-text">
        Those that are stored are sealed and never shown. New ones must be of the same account, {status.account}.
      </p>
      <ErrorNotice error={change.error ?? signIn.error} />
      {change.isSuccess ? <Saved /> : null}
      {unsaved === undefined ? null : (
        <label class="choice">
          <input type="checkbox" checked={isWhole} onChange={(event) => setWhole(event.currentTarget.checked)} />
          <span>
            Save the settings above with them
            <span class="sub">They could not be saved alone.</span>
          </span>
        </label>
      )}
      {integration.signIn ? (
        <p>
          <button type="button" disabled={signIn.isPending || signIn.isSuccess} onClick={() => signIn.mutate()}>
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
            errors={{ ...Form.errorsIn(said, shape), ...wrong }}
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

export const SettingsPage = ({ status }: { readonly status: Api.Status }) => {
  const { data, error } = useQuery({ queryKey: ["integrations"], queryFn: Api.integrations, staleTime: 600_000 })
  const integration = data?.find(({ domain }) => domain === status.domain)
  const [unsaved, setUnsaved] = useState<Unsaved>()
  return (
    <div class="narrow">
      {integration !== undefined ? (
        <>
          {status.state === "disconnected" ? null : (
            <Config integration={integration} status={status} onUnsaved={setUnsaved} />
          )}
          <Credentials
            integration={integration}
            status={status}
            unsaved={unsaved}
            onSaved={() => setUnsaved(undefined)}
          />
        </>
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
