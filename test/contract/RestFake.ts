/** REST sources over a network that answers without a server. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Idem from "@idem-sync/idem/contract"

/** A request's path with its query, its headers, and the JSON of its body. */
export interface Sent {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly post: unknown
}

/** Answers a request with JSON, with bytes, or with a whole response. */
export type Respond = (sent: Sent) => unknown

/** A network that answers each request, and a log of the requests. */
const makeNetwork = (respond: Respond) => {
  const log: Array<Sent> = []
  const fetch = async (url: string | URL | Request, init: RequestInit = {}) => {
    const { pathname, search } = new URL(String(url))
    const post =
      init.body instanceof URLSearchParams ? Object.fromEntries(init.body) : JSON.parse(String(init.body ?? null))
    const sent = { path: `${pathname}${search}`, headers: Object.fromEntries(new Headers(init.headers)), post }
    log.push(sent)
    const answer = respond(sent)
    if (answer instanceof Response) return answer
    return new Response(answer instanceof Uint8Array ? new Uint8Array(answer) : JSON.stringify(answer))
  }
  return { log, network: { fetch, addressOf: Effect.succeed } }
}

export const Note = Schema.Struct({
  id: Schema.Union([Schema.String, Schema.Int]),
  text: Schema.optionalKey(Schema.String)
})
type Note = typeof Note.Type

/** The description of a list of notes. One response is the whole list. */
export const notes = {
  kind: "note",
  path: "notes",
  item: Note,
  id: ({ id }: Note) => id,
  itemPath: (id: string): Idem.RestRequest => `notes/${id}`,
  content: ({ text }: Note): Idem.RestContent => ({ body: text ?? "" })
}

/** A source with these resources. */
export const source = (
  resources: Readonly<Record<string, Idem.RestResource>>,
  more: Partial<Idem.RestSource<object>> = {}
) =>
  Idem.rest({
    domain: "notes",
    config: Schema.Struct({}),
    scope: [],
    quota: () => ({ unitsPerMinute: 1_000_000_000 }),
    baseUrl: () => "https://api.example/v1",
    auth: { type: "none" },
    resources: () => resources,
    ...more
  })

/** A session of the source at a server that responds so, and the log of its requests. */
export const open = (
  integration: Idem.Integration.Integration,
  respond: Respond,
  credentials: Readonly<Record<string, string>> = {}
) => {
  const { log, network } = makeNetwork(respond)
  const session = integration.open({
    config: {},
    credentials,
    network,
    call: (_method, _units, request) => request,
    saveCredentials: () => Effect.void
  })
  return Effect.map(session, (opened) => ({ session: opened, log }))
}

/** Lists the source. Returns its pages, and the paths of its requests. */
export const list = (
  integration: Idem.Integration.Integration,
  respond: Respond,
  { checkpoint, task = Idem.poll }: { readonly checkpoint?: Schema.Json; readonly task?: Idem.SyncTask } = {}
) =>
  Effect.gen(function* () {
    const { log, session } = yield* open(integration, respond)
    const pages = yield* Stream.runCollect(session.list(task, Option.fromUndefinedOr(checkpoint), Idem.noParts))
    const ids = pages.flatMap(({ listed }) => listed.map(({ externalId }) => externalId))
    return { pages, ids, requests: log.map(({ path }) => path), log }
  }).pipe(Effect.scoped, Effect.provide(Idem.ContentExistenceChecker.layerTest([])))

/** A window from this date to another one. */
export const between = (since: string, until: string): Idem.SyncTask => ({
  ...Idem.poll,
  window: { since: DateTime.makeUnsafe(since), until: DateTime.makeUnsafe(until) }
})

/** A source with one resource, with these changes to the description of notes. */
export const noteSource = (more: object = {}, of: Partial<Idem.RestSource<object>> = {}) =>
  source({ notes: Idem.restResource({ ...notes, ...more }) }, of)

export const Paged = Schema.Struct({
  items: Schema.Array(Schema.Unknown),
  next: Schema.optionalKey(Schema.NullOr(Schema.String))
})
export const paged = { answer: Paged, items: ({ items }: typeof Paged.Type) => items }
export const cursor = { type: "cursor", param: "at", next: ({ next }: typeof Paged.Type) => next } as const

/** Downloads this id. Returns the result, and the log of the requests. */
export const download = (integration: Idem.Integration.Integration, respond: Respond, externalId: string) =>
  Effect.flatMap(open(integration, respond), ({ log, session }) =>
    Effect.map(Effect.result(session.download({ externalId })), (result) => ({ result, log }))
  ).pipe(Effect.scoped)
