/** The dashboard's requests to the server, with the types of the API's documents. */
import type { FieldError } from "../contract/Form.ts"
import type * as Connections from "../http/connections/ConnectionDocuments.ts"
import type { Connected as ConnectedSchema } from "../http/connections/ConnectionEndpoints.ts"
import type * as ContentEndpoints from "../http/contents/ContentEndpoints.ts"
import type { EmailParts } from "../http/rendering/EmailEndpoints.ts"
import type { SearchResult as SearchResultSchema } from "../http/search/SearchEndpoints.ts"
import type * as System from "../http/system/SystemEndpoints.ts"
import type * as Tasks from "../http/tasks/TaskDocuments.ts"
import type * as Webhooks from "../http/webhooks/WebhookDocuments.ts"

export type Connected = (typeof ConnectedSchema)["Encoded"]
export type Connection = (typeof Connections.Connection)["Encoded"]
export type Content = (typeof ContentEndpoints.ContentWithFailure)["Encoded"]
export type ContentRow = (typeof ContentEndpoints.ListedContent)["Encoded"]
export type Email = (typeof EmailParts)["Encoded"]
export type Hour = (typeof Tasks.Hour)["Encoded"]
export type Integration = (typeof System.Integration)["Encoded"]
export type LedgerRow = (typeof Connections.LedgerRow)["Encoded"]
export type Run = (typeof Tasks.Run)["Encoded"]
export type SearchResult = (typeof SearchResultSchema)["Encoded"]
type Session = (typeof System.Session)["Encoded"]
export type HeldDeletions = (typeof Connections.HeldDeletions)["Encoded"]
export type Approval = Connections.Approval
export type Status = (typeof Connections.Status)["Encoded"]
export type Synced = (typeof Tasks.Synced)["Encoded"]
type Task = (typeof Tasks.Task)["Encoded"]
export type ThreadMessage = (typeof ContentEndpoints.ThreadMessage)["Encoded"]
export type Webhook = (typeof Webhooks.Webhook)["Encoded"]
export type Pinged = (typeof Webhooks.Pinged)["Encoded"]
export type WebhookMessage = (typeof Webhooks.Message)["Encoded"]

/** The server answered with a problem (RFC 9457). */
export class Problem extends Error {
  readonly status: number
  /** The wrong fields of the request, if the server names them. */
  readonly errors: ReadonlyArray<FieldError>
  /** True if the change is possible together with new credentials. */
  readonly needsCredentials: boolean

  constructor(status: number, body: unknown) {
    const said = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {}
    const text = [said["detail"], said["title"]].find((each) => typeof each === "string" && each !== "")
    super(typeof text === "string" ? text : `the server answered with status ${status}`)
    this.name = "Problem"
    this.status = status
    this.needsCredentials = said["needsCredentials"] === true
    this.errors = Array.isArray(said["errors"]) ? (said["errors"] as Problem["errors"]) : []
  }
}

/** Returns the errors of fields that the server named. */
export const fieldErrors = (error: Error | null): ReadonlyArray<FieldError> =>
  error instanceof Problem ? error.errors : []

/** The server can't be reached, or can't answer now. The request may be repeated. */
export class Away extends Error {
  constructor(message: string) {
    super(message)
    this.name = "Away"
  }
}

/** Time limits in milliseconds. A dry run may list a whole account. */
const longest = { short: 30_000, long: 15 * 60_000 }

interface Options {
  readonly method?: "GET" | "POST" | "PATCH" | "DELETE"
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal | undefined
  readonly patience?: keyof typeof longest
}

const request = async (path: string, options: Options): Promise<Response> => {
  const { body, headers, method = "GET", patience = "short", signal } = options
  const timeout = AbortSignal.timeout(longest[patience])
  try {
    return await fetch(path, {
      method,
      credentials: "same-origin",
      headers: { ...(body === undefined ? {} : { "content-type": "application/json" }), ...headers },
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
  } catch (error) {
    if (signal?.aborted === true) throw error
    throw new Away("the server does not answer")
  }
}

const ask = async <A>(path: string, options: Options = {}): Promise<A> => {
  const response = await request(path, options)
  if (response.status === 204) return undefined as A
  const body: unknown = await response.json().catch(() => undefined)
  if (response.ok && body !== undefined) return body as A
  const problem = new Problem(response.status, body)
  // A 502 with a problem concerns a source. Without a problem it comes from a proxy whose server can't be reached.
  const isAway = response.status === 503 || response.status === 504 || (response.status === 502 && body === undefined)
  throw isAway ? new Away(problem.message) : problem
}

type Parameters = Readonly<Record<string, string | number | boolean | undefined>>

const query = (parameters: Parameters): string => {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined || value === "" ? [] : [[name, String(value)] as [string, string]]
  )
  return pairs.length === 0 ? "" : `?${new URLSearchParams(pairs).toString()}`
}

const at = (ref: string, rest = ""): string => `/connections/${encodeURIComponent(ref)}${rest}`
const webhookPath = (id: string, rest = ""): string => `/webhooks/${encodeURIComponent(id)}${rest}`

export interface ContentFilter {
  readonly state?: string | undefined
  readonly kind?: string | undefined
  readonly text?: string | undefined
  readonly since?: string | undefined
  readonly until?: string | undefined
}

export interface SyncRequest {
  readonly force?: boolean
  readonly forceIds?: ReadonlyArray<string>
  readonly since?: string
  readonly until?: string
}

interface ConnectRequest {
  readonly domain: string
  readonly name: string
  readonly config: unknown
  readonly credentials: unknown
  readonly every?: string | undefined
}

/** Only the url is required. */
interface WebhookRequest {
  readonly url: string
  readonly name?: string
  readonly connection?: string
  readonly changes?: Webhook["changes"]
  readonly from: "now" | "beginning"
}

type Signal = { readonly signal?: AbortSignal }

// ---- the session -------------------------------------------------------------------------------------------------

export const session = ({ signal }: Signal) => ask<Session>("/session", { signal })
export const signIn = (token: string) => ask<Session>("/session", { method: "POST", body: { token } })
export const signOut = () => ask<void>("/session", { method: "DELETE" })

// ---- reading -----------------------------------------------------------------------------------------------------

export const integrations = async ({ signal }: Signal) =>
  (await ask<{ integrations: ReadonlyArray<Integration> }>("/integrations", { signal })).integrations

export const connections = async ({ signal }: Signal) =>
  (await ask<{ connections: ReadonlyArray<Connection> }>("/connections", { signal })).connections

export const status = (ref: string, { signal }: Signal) => ask<Status>(at(ref), { signal })

export const runs = async (ref: string, limit: number, { signal }: Signal) =>
  (await ask<{ runs: ReadonlyArray<Run> }>(at(ref, `/runs${query({ limit })}`), { signal })).runs

export const statistics = async (ref: string, hours: number, { signal }: Signal) =>
  (await ask<{ hours: ReadonlyArray<Hour> }>(at(ref, `/statistics${query({ hours })}`), { signal })).hours

export const ledger = async (ref: string, limit: number, { signal }: Signal) =>
  (await ask<{ ledger: ReadonlyArray<LedgerRow> }>(at(ref, `/ledger${query({ limit })}`), { signal })).ledger

export const deletions = (ref: string, limit: number, { signal }: Signal) =>
  ask<HeldDeletions>(at(ref, `/deletions${query({ limit })}`), { signal })

export interface ContentPage {
  readonly contents: ReadonlyArray<ContentRow>
  readonly next: string | null
}

export const contents = (ref: string, filter: ContentFilter, after: string | undefined, { signal }: Signal) =>
  ask<ContentPage>(at(ref, `/contents/full${query({ ...filter, order: "newest", limit: 50, after })}`), { signal })

export const search = (parameters: Readonly<Record<string, string>>, after: string | undefined, { signal }: Signal) =>
  ask<{ readonly results: ReadonlyArray<SearchResult>; readonly next: string | null }>(
    `/search?${new URLSearchParams({ ...parameters, ...(after === undefined ? {} : { after }) }).toString()}`,
    { signal }
  )

export const content = (ref: string, externalId: string, { signal }: Signal) =>
  ask<Content>(at(ref, `/content${query({ externalId })}`), { signal })

/** Reads the newest part of the conversation of a content, oldest first. */
export const thread = async (ref: string, externalId: string, limit: number, { signal }: Signal) =>
  (
    await ask<{ messages: ReadonlyArray<ThreadMessage> }>(at(ref, `/content/thread${query({ externalId, limit })}`), {
      signal
    })
  ).messages

/** Reads a page of the text that was extracted from a file. */
export const extractedText = (ref: string, externalId: string, offset: number, { signal }: Signal) =>
  ask<(typeof ContentEndpoints.ContentText)["Encoded"]>(at(ref, `/content/text${query({ externalId, offset })}`), {
    signal
  })

export const emailParts = (ref: string, externalId: string, { signal }: Signal) =>
  ask<Email>(at(ref, `/content/email/parts${query({ externalId })}`), { signal })

export const bodyText = async (ref: string, externalId: string, { signal }: Signal): Promise<string> => {
  const response = await request(bodyUrl(ref, externalId), { signal })
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => undefined))
  return response.text()
}

export const bodyUrl = (ref: string, externalId: string): string => at(ref, `/content/body${query({ externalId })}`)

export const emailUrl = (ref: string, externalId: string, as: "html" | "text"): string =>
  at(ref, `/content/email${query({ externalId, as })}`)

export const markdownUrl = (ref: string, externalId: string): string =>
  at(ref, `/content/markdown${query({ externalId })}`)

export const emailPartUrl = (ref: string, externalId: string, part: string): string =>
  at(ref, `/content/email/part${query({ externalId, part })}`)

export const webhooks = async ({ signal }: Signal) =>
  (await ask<{ webhooks: ReadonlyArray<Webhook> }>("/webhooks", { signal })).webhooks

export const webhook = (id: string, { signal }: Signal) => ask<Webhook>(webhookPath(id), { signal })

export const webhookMessages = (
  id: string,
  state: WebhookMessage["state"] | undefined,
  after: string | undefined,
  { signal }: Signal
) =>
  ask<{ readonly messages: ReadonlyArray<WebhookMessage>; readonly next: string | null }>(
    webhookPath(id, `/messages${query({ state, limit: 50, after })}`),
    { signal }
  )

// ---- doing -------------------------------------------------------------------------------------------------------

export const connect = (body: ConnectRequest) =>
  ask<Connected>("/connections", { method: "POST", body, patience: "long" })

export const change = (ref: string, body: Partial<Omit<ConnectRequest, "domain" | "name">>) =>
  ask<Connected>(at(ref), { method: "PATCH", body, patience: "long" })

export const beginSignIn = (body: {
  readonly domain: string
  readonly name: string
  readonly config?: unknown
  readonly every?: string | undefined
  readonly clientId?: string | undefined
  readonly clientSecret?: string | undefined
}) => ask<{ readonly url: string }>("/sign-in", { method: "POST", body })

export const disconnect = (ref: string, deleteContents: boolean) =>
  ask<{ readonly contents: number }>(at(ref, query({ deleteContents })), { method: "DELETE", patience: "long" })

export const pause = (ref: string) => ask<Connection>(at(ref, "/pause"), { method: "POST" })
export const resume = (ref: string) => ask<Connection>(at(ref, "/resume"), { method: "POST" })

/** Requests a sync. `key` is the idempotency key. */
export const sync = (ref: string, body: SyncRequest, key: string) =>
  ask<Task>(at(ref, "/tasks"), { method: "POST", body, headers: { "idempotency-key": key } })

export const dryRun = (ref: string, body: SyncRequest) =>
  ask<Synced>(at(ref, "/tasks"), { method: "POST", body: { ...body, dryRun: true }, patience: "long" })

export const retry = (ref: string, externalIds: ReadonlyArray<string> | undefined) =>
  ask<Task>(at(ref, "/ledger/redrive"), {
    method: "POST",
    body: externalIds === undefined ? {} : { externalIds }
  })

export const approveDeletions = (ref: string, body: Approval) =>
  ask<{ readonly deleted: number }>(at(ref, "/deletions/approve"), { method: "POST", body, patience: "long" })

/** A webhook with its secret, which the server returns only once. */
export type WebhookWithSecret = Webhook & { readonly secret: string }

export const createWebhook = (body: WebhookRequest) => ask<WebhookWithSecret>("/webhooks", { method: "POST", body })

export const changeWebhook = (id: string, body: { readonly state: "active" | "paused" }) =>
  ask<Webhook>(webhookPath(id), { method: "PATCH", body })

export const removeWebhook = (id: string) => ask<void>(webhookPath(id), { method: "DELETE" })
export const rotateSecret = (id: string) => ask<WebhookWithSecret>(webhookPath(id, "/rotate"), { method: "POST" })
export const pingWebhook = (id: string) => ask<Pinged>(webhookPath(id, "/ping"), { method: "POST" })

export const redeliver = (id: string, message: string) =>
  ask<WebhookMessage>(webhookPath(id, `/messages/${encodeURIComponent(message)}/redeliver`), { method: "POST" })

export const redeliverAll = (id: string) =>
  ask<{ readonly redelivered: number }>(webhookPath(id, "/redeliver"), { method: "POST" })
