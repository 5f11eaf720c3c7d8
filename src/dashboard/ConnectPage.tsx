/** Connecting an account: by signing in at its provider, or with credentials. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import * as Format from "./Format.ts"
import { connectionPath, navigate, useParameters } from "./Location.ts"
import { Copyable, Empty, ErrorNotice, Field, Loading, Notice, Title } from "./Components.tsx"
import * as Form from "../contract/Form.ts"
import { SchemaFields, ShapeChooser } from "./SchemaForm.tsx"

const Chooser = ({ integrations }: { readonly integrations: ReadonlyArray<Api.Integration> }) => (
  <ul class="choices plain">
    {integrations.map(({ domain, signIn, summary, title }) => (
      <li key={domain}>
        <a href={`#/connect?domain=${encodeURIComponent(domain)}`}>
          <strong>{title}</strong>
          <span class="sub">
            {summary ?? "your own integration"}
            {signIn ? " · by signing in" : ""}
          </span>
        </a>
      </li>
    ))}
  </ul>
)

const Connected = ({ result }: { readonly result: Api.Connected }) => (
  <Notice tone="good" title={`${result.connection.account} is connected`} announced>
    <p>
      {result.items === null ? "" : `There are about ${Format.many(result.items, "item")}. `}
      {result.firstSyncMs === null
        ? ""
        : `At the source's quota the first sync takes about ${Format.duration(Math.max(result.firstSyncMs, result.firstSyncByBytesMs ?? 0))}. `}
      It has begun by itself.
    </p>
    <p>
      <a class="button primary" href={`#${connectionPath(result.connection.id)}`}>
        Watch it
      </a>
    </p>
  </Notice>
)

/** Explains how to create the credentials in the provider's console. */
const Guide = ({ integration }: { readonly integration: Api.Integration }) => {
  const { guide, redirectUri, title } = integration
  if (guide === null) return null
  const steps = guide.steps.filter(({ on }) => on !== "command line")
  return (
    <details class="guide">
      <summary>Where the credentials of {title} come from</summary>
      <ol>
        {steps.map(({ text }, index) => {
          const [before = "", after] = text.split("{redirectUri}")
          return (
            <li key={text}>
              {before}
              {after === undefined || redirectUri === null ? null : <Copyable text={redirectUri} />}
              {after}
              {index > 0 ? null : (
                <>
                  {" "}
                  <a href={guide.url} target="_blank" rel="noopener noreferrer">
                    Open {new URL(guide.url).host}
                  </a>
                </>
              )}
            </li>
          )
        })}
      </ol>
    </details>
  )
}

/** Returns the error of a field outside of config and credentials. */
const ownError = (error: Error | null, name: string): string | undefined => {
  if (error === null) return undefined
  const message = Form.errorOf(Api.fieldErrors(error), "body", name)
  if (message !== undefined) return message
  return name === "name" && error instanceof Api.Problem && error.status === 409 ? error.message : undefined
}

const ConnectForm = ({ integration }: { readonly integration: Api.Integration }) => {
  const client = useQueryClient()
  const configShape = Form.shapesOf(integration.config)[0] ?? { title: "", fields: [] }
  const credentialShapes = Form.shapesOf(integration.credentials)
  const [bySignIn, setBySignIn] = useState(integration.signIn)
  const [name, setName] = useState("")
  const [every, setEvery] = useState("")
  const [config, setConfig] = useState<Form.Values>({})
  const [chosen, choose] = useState(0)
  const [credentials, setCredentials] = useState<Form.Values>({})
  const [clientId, setClientId] = useState("")
  const [clientSecret, setClientSecret] = useState("")
  const [checked, setChecked] = useState<{ config: Form.Values; credentials: Form.Values }>({
    config: {},
    credentials: {}
  })
  const shape = credentialShapes[chosen]

  const connect = useMutation({
    mutationFn: Api.connect,
    onSuccess: () => client.invalidateQueries({ queryKey: ["connections"] })
  })
  const begin = useMutation({
    mutationFn: Api.beginSignIn,
    // The provider redirects back to the dashboard.
    onSuccess: ({ url }) => location.assign(url)
  })
  const error = bySignIn ? begin.error : connect.error
  const busy = connect.isPending || begin.isPending || begin.isSuccess
  const errors = Api.fieldErrors(error)
  const configErrors = { ...Form.errorsOf(errors, "config", configShape), ...checked.config }
  const credentialErrors = {
    ...(shape === undefined ? {} : Form.errorsOf(errors, "credentials", shape)),
    ...checked.credentials
  }

  const submit = () => {
    const readConfig = Form.read(configShape, config)
    const readCredentials = bySignIn || shape === undefined ? { json: {}, errors: {} } : Form.read(shape, credentials)
    setChecked({ config: readConfig.errors, credentials: readCredentials.errors })
    if (Object.keys(readConfig.errors).length > 0 || Object.keys(readCredentials.errors).length > 0) return
    const common = { domain: integration.domain, name, config: readConfig.json }
    const often = every.trim() === "" ? {} : { every: every.trim() }
    if (bySignIn) {
      begin.mutate({
        ...common,
        ...often,
        ...(clientId.trim() === "" ? {} : { clientId: clientId.trim() }),
        ...(clientSecret.trim() === "" ? {} : { clientSecret: clientSecret.trim() })
      })
    } else {
      connect.mutate({ ...common, ...often, credentials: readCredentials.json })
    }
  }

  if (connect.data !== undefined) return <Connected result={connect.data} />
  return (
    <form
      noValidate
      onSubmit={(event) => {
        event.preventDefault()
        submit()
      }}
    >
      {error !== null && Object.keys({ ...configErrors, ...credentialErrors }).length > 0 ? (
        <Notice tone="bad" announced>
          <p>Nothing was connected: some fields below are not right yet.</p>
        </Notice>
      ) : (
        <ErrorNotice error={error} />
      )}
      <Field
        label="Name"
        error={name.trim() === "" && error !== null ? "a name is needed" : ownError(error, "name")}
        hint="What you call this connection, here and on the command line."
      >
        {(attributes) => (
          <input
            {...attributes}
            required
            maxLength={100}
            autocomplete="off"
            value={name}
            onInput={(event) => setName(event.currentTarget.value)}
          />
        )}
      </Field>
      <SchemaFields shape={configShape} values={config} errors={configErrors} onChange={setConfig} />
      <Guide integration={integration} />
      {integration.signIn ? (
        <fieldset>
          <legend>How</legend>
          <label class="choice">
            <input type="radio" name="how" checked={bySignIn} onChange={() => setBySignIn(true)} />
            <span>
              Sign in at {integration.title}
              <span class="sub">You are sent there, and come back here. Idem asks for reading only.</span>
            </span>
          </label>
          <label class="choice">
            <input type="radio" name="how" checked={!bySignIn} onChange={() => setBySignIn(false)} />
            <span>
              Give credentials
              <span class="sub">A token that you have already.</span>
            </span>
          </label>
        </fieldset>
      ) : null}
      {bySignIn ? (
        <div class="row">
          <Field
            label="Client ID (optional)"
            hint="Of your OAuth client; optional where the server has one already."
            error={ownError(error, "clientId")}
          >
            {(attributes) => (
              <input
                {...attributes}
                autocomplete="off"
                spellcheck={false}
                value={clientId}
                onInput={(event) => setClientId(event.currentTarget.value)}
              />
            )}
          </Field>
          <Field label="Client secret (optional)" error={ownError(error, "clientSecret")}>
            {(attributes) => (
              <input
                {...attributes}
                type="password"
                autocomplete="new-password"
                value={clientSecret}
                onInput={(event) => setClientSecret(event.currentTarget.value)}
              />
            )}
          </Field>
        </div>
      ) : (
        <>
          <ShapeChooser
            legend="With"
            shapes={credentialShapes}
            chosen={chosen}
            onChoose={(index) => {
              choose(index)
              setCredentials({})
            }}
          />
          {shape === undefined ? null : (
            <SchemaFields shape={shape} values={credentials} errors={credentialErrors} onChange={setCredentials} />
          )}
        </>
      )}
      <Field
        label="Polled every (optional)"
        error={ownError(error, "every")}
        hint="5 minutes unless said otherwise; like 30 seconds, 1 hour, 2 days."
      >
        {(attributes) => (
          <input {...attributes} value={every} onInput={(event) => setEvery(event.currentTarget.value)} />
        )}
      </Field>
      <div class="buttons">
        <button type="submit" class="primary" disabled={busy}>
          {busy ? "Reaching the source…" : bySignIn ? `Connect at ${integration.title}` : "Connect"}
        </button>
        <button type="button" onClick={() => navigate("/connect")}>
          Another kind
        </button>
      </div>
    </form>
  )
}

export const ConnectPage = () => {
  const domain = useParameters().get("domain")
  const { data, error } = useQuery({ queryKey: ["integrations"], queryFn: Api.integrations, staleTime: 600_000 })
  const integration = data?.find((each) => each.domain === domain)
  return (
    <div class="narrow">
      <Title name={integration === undefined ? "Connect an account" : `Connect ${integration.title}`} />
      {data === undefined ? (
        error instanceof Api.Problem ? (
          <ErrorNotice error={error} />
        ) : (
          <Loading what="the kinds of source" />
        )
      ) : data.length === 0 ? (
        <Empty title="This server has no integrations" />
      ) : integration === undefined ? (
        <>
          <p>What kind of source?</p>
          <Chooser integrations={data} />
        </>
      ) : (
        <ConnectForm key={integration.domain} integration={integration} />
      )}
    </div>
  )
}
