/** All webhooks, and the form that creates one. */
import { useMutation, useQuery, useQueryClient } from "@tanstack/preact-query"
import { useState } from "preact/hooks"
import * as Api from "./Api.ts"
import { Ago, Badge, CardTable, Copyable, Empty, ErrorNotice, Field, Loading, Notice, Title } from "./Components.tsx"
import { Dialog } from "./Dialog.tsx"
import * as Format from "./Format.ts"
import * as Labels from "./Labels.ts"
import { webhookPath } from "./Location.ts"

type Kind = NonNullable<Api.Webhook["changes"]>[number]

const kinds: ReadonlyArray<Kind> = ["stored", "updated", "deleted", "undeleted"]

/** Shows a webhook's secret, which the server returns only once. */
export const SecretNotice = ({ children, secret }: { readonly children: string; readonly secret: string }) => (
  <Notice tone="good" title="The secret is shown this once" announced>
    <p>{children}</p>
    <Copyable text={secret} />
  </Notice>
)

/** Describes which changes a webhook sends. */
export const scopeOf = (webhook: Api.Webhook, connections: ReadonlyArray<Api.Connection> | undefined): string => {
  const name = connections?.find(({ id }) => id === webhook.connection)?.name ?? webhook.connection
  return `${webhook.changes === null ? "all changes" : webhook.changes.join(", ")} of ${name ?? "all connections"}`
}

export const useConnections = () =>
  useQuery({ queryKey: ["connections"], queryFn: Api.connections, staleTime: 60_000 }).data

interface CreateProps {
  readonly onClose: () => void
  readonly onCreated: (webhook: Api.WebhookWithSecret) => void
}

const Create = ({ onClose, onCreated }: CreateProps) => {
  const client = useQueryClient()
  const connections = useConnections()
  const [url, setUrl] = useState("")
  const [name, setName] = useState("")
  const [connection, setConnection] = useState("")
  const [chosen, choose] = useState<ReadonlySet<Kind>>(new Set(kinds))
  const [fromBeginning, setFromBeginning] = useState(false)
  const create = useMutation({
    mutationFn: Api.createWebhook,
    // The response contains the secret.
    gcTime: 0,
    onSuccess: (webhook) => {
      onCreated(webhook)
      void client.invalidateQueries({ queryKey: ["webhooks"] })
    }
  })
  return (
    <Dialog title="Create a webhook" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          create.mutate({
            url: url.trim(),
            ...(name.trim() === "" ? {} : { name: name.trim() }),
            ...(connection === "" ? {} : { connection }),
            changes: chosen.size === kinds.length ? null : kinds.filter((kind) => chosen.has(kind)),
            from: fromBeginning ? "beginning" : "now"
          })
        }}
      >
        <ErrorNotice error={create.error} />
        <Field label="URL" hint="Changes are sent there by POST, signed: https, at a public address.">
          {(attributes) => (
            <input
              {...attributes}
              type="url"
              required
              maxLength={2048}
              placeholder="https://example.com/hook"
              value={url}
              onInput={(event) => setUrl(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="Name" hint="Left empty, the host of the URL.">
          {(attributes) => (
            <input {...attributes} value={name} onInput={(event) => setName(event.currentTarget.value)} />
          )}
        </Field>
        <Field label="Connection">
          {(attributes) => (
            <select {...attributes} value={connection} onChange={(event) => setConnection(event.currentTarget.value)}>
              <option value="">all</option>
              {(connections ?? []).map((each) => (
                <option key={each.id} value={each.id}>
                  {each.name}
                </option>
              ))}
            </select>
          )}
        </Field>
        <fieldset>
          <legend>Changes</legend>
          {kinds.map((kind) => (
            <label key={kind} class="choice">
              <input
                type="checkbox"
                checked={chosen.has(kind)}
                onChange={(event) => {
                  const next = new Set(chosen)
                  if (event.currentTarget.checked) next.add(kind)
                  else next.delete(kind)
                  choose(next)
                }}
              />
              <span>{kind}</span>
            </label>
          ))}
        </fieldset>
        <label class="choice">
          <input
            type="checkbox"
            checked={fromBeginning}
            onChange={(event) => setFromBeginning(event.currentTarget.checked)}
          />
          <span>
            From the beginning
            <span class="sub">Sends all that is stored first. Otherwise it sends the changes from now on.</span>
          </span>
        </label>
        <div class="buttons end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={create.isPending || chosen.size === 0}>
            {create.isPending ? "Working…" : "Create"}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

interface RowProps {
  readonly webhook: Api.Webhook
  readonly connections: ReadonlyArray<Api.Connection> | undefined
}

const Row = ({ connections, webhook }: RowProps) => {
  const { text, tone } = Labels.webhookState[webhook.state]
  return (
    <tr role="row">
      <th role="rowheader" scope="row" data-label="Webhook" class="whose">
        <a href={`#${webhookPath(webhook.id)}`}>{webhook.name}</a>
        <span class="sub">{webhook.url}</span>
      </th>
      <td role="cell" data-label="State">
        <Badge tone={tone}>{text}</Badge>
        {webhook.failingSince === null ? null : (
          <span class="sub">
            failing since <Ago time={webhook.failingSince} />
          </span>
        )}
      </td>
      <td role="cell" data-label="Sends">
        {scopeOf(webhook, connections)}
      </td>
      <td role="cell" data-label="Pending" class="number">
        {Format.count(webhook.pending)}
      </td>
      <td role="cell" data-label="Dead" class="number">
        {Format.count(webhook.dead)}
      </td>
    </tr>
  )
}

export const WebhooksPage = () => {
  const [isCreating, setCreating] = useState(false)
  const [created, setCreated] = useState<Api.WebhookWithSecret>()
  const connections = useConnections()
  const { data, error } = useQuery({ queryKey: ["webhooks"], queryFn: Api.webhooks, refetchInterval: 5000 })
  return (
    <>
      <div class="heading">
        <Title name="Webhooks" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a webhook…
        </button>
      </div>
      {created === undefined ? null : (
        <SecretNotice secret={created.secret}>
          {`${created.name} is created. Copy the secret to the endpoint that verifies the signatures.`}
        </SecretNotice>
      )}
      {error instanceof Api.Problem ? (
        <ErrorNotice error={error} />
      ) : data === undefined ? (
        <Loading what="the webhooks" />
      ) : data.length === 0 ? (
        <Empty title="There is no webhook yet">
          <p>
            A webhook sends what is stored, updated and deleted to a URL of yours as it happens, signed and in order.
          </p>
        </Empty>
      ) : (
        <CardTable
          label="Webhooks"
          columns={["Webhook", "State", "Sends", "Pending", "Dead"]}
          numbers={["Pending", "Dead"]}
        >
          {data.map((webhook) => (
            <Row key={webhook.id} webhook={webhook} connections={connections} />
          ))}
        </CardTable>
      )}
      {isCreating ? (
        <Create
          onClose={() => setCreating(false)}
          onCreated={(webhook) => {
            setCreating(false)
            setCreated(webhook)
          }}
        />
      ) : null}
    </>
  )
}
