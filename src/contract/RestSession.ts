/**
 * The session of a REST API.
 *
 * - Each poll lists the resources one after the other. Content is chosen by revision, so edits are seen.
 * - A resource with `since` is listed from the time when the last complete pass began, by the server's own `Date`, less
 *   an overlap: what changed during that pass, or became visible late, is listed again, and not downloaded again.
 * - Only a resource that says `absentIsDeleted` covers anything, and only once all its items have been read.
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type Content, externalIdProblem, type Ref } from "./Content.ts"
import { ContentExistenceChecker } from "./ContentExistenceChecker.ts"
import type { OpenOptions, Session } from "./Definition.ts"
import { CheckpointExpired, Gone, type IntegrationError, Malformed, type Reason } from "./IntegrationError.ts"
import type { Page, Problem } from "./Page.ts"
import { fail, get as getAnswer, getBytes, type HttpServer, nextLink } from "./HttpRequest.ts"
import type { RestItem, RestResource } from "./RestResource.ts"
import type { RestSource } from "./RestSource.ts"
import { inWindow, type SyncTask } from "./SyncTask.ts"

/** The place in a pass over the resources. */
const Pass = Schema.Struct({
  id: Schema.String,
  resource: Schema.String,
  /** The next page: a path for `Link`, else the value of its parameter. Absent on the first page. */
  next: Schema.optionalKey(Schema.String),
  /** When the listing of the resource began, in milliseconds. */
  began: Schema.optionalKey(Schema.Finite),
  /** False once an item of the resource could not be read: it is not absent. */
  isWhole: Schema.Boolean
})
type Pass = typeof Pass.Type

export const Checkpoint = Schema.Struct({
  /** By resource, the time in milliseconds from which its changes are to be listed. */
  since: Schema.Record(Schema.String, Schema.Finite),
  pass: Schema.optionalKey(Pass)
})
export type Checkpoint = typeof Checkpoint.Type

/** Sources show a change late, and clocks differ within them. */
const overlapMillis = 5 * 60_000
const maxRefs = 500

/** A place that the server no longer knows: its answers to an old cursor. */
const forgotten = new Set<Reason["_tag"]>(["Gone", "Malformed"])

const join = (baseUrl: URL, path: string): URL =>
  new URL(path.replace(/^\/+/, ""), baseUrl.href.endsWith("/") ? baseUrl : `${baseUrl.href}/`)

const encoder = new TextEncoder()

interface RestAnswer {
  readonly json: unknown
  readonly headers: Headers
}

/** The answer to a `GET`, as JSON. */
const getJson = (server: HttpServer, url: URL): Effect.Effect<RestAnswer, IntegrationError> =>
  Effect.flatMap(getAnswer(server, url), (answer) =>
    Effect.catch(
      Effect.try({
        try: () => ({
          json: JSON.parse(new TextDecoder().decode(answer?.bytes)) as unknown,
          headers: answer?.headers ?? new Headers()
        }),
        catch: (cause) => cause
      }),
      () => fail(new Malformed({ message: `${server.baseUrl.host} answers something that is not JSON` }))
    )
  )

interface State {
  readonly since: Checkpoint["since"]
  readonly pass: Pass
  /** The ids of the page before: a server that gives them again does not heed the parameter of its pages. */
  readonly before: string
  /** The places of this resource that were given out so far: a server that gives one again leads in circles. */
  readonly places: Set<string>
  readonly isResumed: boolean
}

export const openSession = <Config, Credentials>(
  source: RestSource<Config>,
  headersOf: (credentials: Credentials) => Readonly<Record<string, string>>,
  { call, config, credentials, network }: OpenOptions<Config, Credentials>
): Session<Checkpoint> => {
  const baseUrl = new URL(source.baseUrl(config))
  const headers = { accept: "application/json", ...source.headers, ...headersOf(credentials) }
  const server: HttpServer = { network, baseUrl, headers, refusal: source.refusal }
  const resources = Object.entries(source.resources(config))
  const byName = new Map(resources)
  const isListing = resources.some(([, { absentIsDeleted }]) => absentIsDeleted)
  const get = (method: string, url: URL) => call(method, 1, getJson(server, url))

  const contentOf = (name: string, { kind }: RestResource, { content, occurredAt, revision }: RestItem): Content => {
    const { body, mediaType, metadata, title } = content
    const about = { kind, title, mediaType, occurredAt, revision, metadata: metadata ?? {} }
    if (typeof body === "string") return { ...about, body: encoder.encode(body) }
    if (body instanceof Uint8Array) return { ...about, body }
    const bytes = call(`${name}.body`, 1, getBytes(server, join(baseUrl, body.path)))
    return { ...about, body: Stream.unwrap(bytes) }
  }

  /** The ref of a listed item. A body with a path of its own is downloaded when the item is. */
  const refOf = (name: string, resource: RestResource, item: RestItem): Ref => {
    const ref = { externalId: `${name}/${item.id}`, revision: item.revision }
    const isInline = typeof item.content.body === "string" || item.content.body instanceof Uint8Array
    return isInline ? { ...ref, content: contentOf(name, resource, item) } : ref
  }

  /** The address of the page at which a pass stands. */
  const addressOf = (resource: RestResource, { since }: State, { next, resource: name }: Pass): URL => {
    const { paging } = resource
    if (paging.type === "link" && next !== undefined) return new URL(next, baseUrl.origin)
    const url = join(baseUrl, resource.path)
    const from = since[name]
    const changed = from === undefined ? {} : resource.since?.(DateTime.makeUnsafe(from))
    for (const [key, value] of Object.entries({ ...resource.query, ...changed })) url.searchParams.set(key, value)
    const place = next ?? (paging.type === "page" ? String(paging.first ?? 1) : undefined)
    if (paging.type !== "link" && place !== undefined) url.searchParams.set(paging.param, place)
    return url
  }

  /** The next page, where there is one. */
  const nextOf = (
    { paging }: RestResource,
    { next }: Pass,
    read: { readonly url: URL; readonly answer: RestAnswer; readonly cursor: string | undefined; readonly size: number }
  ): Effect.Effect<string | undefined, IntegrationError> => {
    if (paging.type === "cursor") return Effect.succeed(read.cursor)
    if (paging.type === "link") {
      const link = nextLink(read.answer.headers, read.url)
      if (link === undefined) return Effect.succeed(undefined)
      const message = `${baseUrl.host} links to a next page on another server, which Idem does not follow`
      if (link.origin !== baseUrl.origin) return fail(new Malformed({ message }))
      return Effect.succeed(`${link.pathname}${link.search}`)
    }
    if (read.size === 0) return Effect.succeed(undefined)
    if (paging.type === "offset") return Effect.succeed(String(Number(next ?? 0) + read.size))
    return Effect.succeed(String(Number(next ?? paging.first ?? 1) + 1))
  }

  const readItems = (resource: RestResource, items: ReadonlyArray<unknown>) =>
    Effect.map(
      Effect.forEach(items, (json) =>
        Effect.flatMap(resource.readItem(json), (item) =>
          externalIdProblem(item.id) === undefined
            ? Effect.succeed(item)
            : fail(new Malformed({ message: `an item of ${resource.path} has an id that can't be stored` }))
        ).pipe(Effect.result)
      ),
      (results) => ({
        read: results.flatMap((result) => (result._tag === "Success" ? [result.success] : [])),
        unread: results.flatMap((result) => (result._tag === "Failure" ? [result.failure.message] : []))
      })
    )

  /** Reads the page at which the pass stands. */
  const step = Effect.fnUntraced(function* (task: SyncTask, state: State) {
    const { pass, since } = state
    const name = pass.resource
    const index = resources.findIndex(([one]) => one === name)
    const resource = resources[index]?.[1]
    if (resource === undefined) {
      return yield* fail(new CheckpointExpired({ message: `there is no resource ${name} any more` }))
    }
    const url = addressOf(resource, state, pass)
    const answer = yield* Effect.catch(get(`${name}.list`, url), (error) =>
      state.isResumed && pass.next !== undefined && forgotten.has(error.reason._tag)
        ? fail(new CheckpointExpired({ message: `the place in ${name} is forgotten: ${error.message}` }))
        : Effect.fail(error)
    )
    const { items, next: cursor } = yield* resource.readPage(answer.json)
    const { read, unread } = yield* readItems(resource, items)
    const ids = JSON.stringify(read.map(({ id }) => id))
    const next = yield* nextOf(resource, pass, { url, answer, cursor, size: items.length })
    if (next !== undefined && (state.places.has(next) || (read.length > 0 && ids === state.before))) {
      const message = `${baseUrl.host} gives a page of ${name} again in place of the next one`
      return yield* fail(new Malformed({ message }))
    }

    const now = yield* Clock.currentTimeMillis
    const dated = Date.parse(answer.headers.get("date") ?? "")
    const began = pass.began ?? (Number.isNaN(dated) ? now : dated)
    // A number in the link is a counted page by another name: it promises no more than one.
    const isCounted = resource.paging.type === "link" && /[?&](page|offset|start)=\d+(&|$)/.test(next ?? "")
    const isWhole = pass.isWhole && unread.length === 0 && !isCounted
    const following = resources[index + 1]
    const place: Pass = { ...pass, began, isWhole }
    const after: Checkpoint =
      next !== undefined
        ? { since, pass: { ...place, next } }
        : {
            since: resource.since === undefined ? since : { ...since, [name]: began - overlapMillis },
            ...(following === undefined ? {} : { pass: { id: pass.id, resource: following[0], isWhole: true } })
          }

    const isListed = (item: RestItem) => item.isIncluded && !item.isDeleted && inWindow(task, item.occurredAt)
    const refs = read.filter(isListed).map((item) => refOf(name, resource, item))
    const deleted = read.filter(({ isDeleted }) => isDeleted).map(({ id }) => `${name}/${id}`)
    const covers = next === undefined && resource.absentIsDeleted && isWhole ? [{ prefix: `${name}/` }] : []
    const chunks = Arr.isReadonlyArrayNonEmpty(refs) ? Arr.chunksOf(refs, maxRefs) : [[]]
    const here: Checkpoint = { since, pass }
    const pages = chunks.map((listed, chunk): Omit<Page<Checkpoint>, "download"> => {
      // A page of the source that became several is read only with the last of them.
      const isLast = chunk === chunks.length - 1
      const problems = unread.map((message): Problem => ({ place: name, message }))
      const told = isLast ? { deleted, problems, checkpoint: after } : { checkpoint: here }
      if (!isListing || task.window !== undefined) return { listed, ...told }
      const ended = isLast ? { covers, complete: next === undefined && following === undefined } : {}
      return { listed, ...told, listing: pass.id, ...ended }
    })
    if (next !== undefined) state.places.add(next)
    const going = next === undefined ? { before: "", places: new Set<string>() } : { before: ids, places: state.places }
    const then: Option.Option<State> =
      after.pass === undefined
        ? Option.none()
        : Option.some({ ...going, since: after.since, pass: after.pass, isResumed: false })
    return [pages, then] as const
  })

  const begin = Effect.fnUntraced(function* (checkpoint: Option.Option<Checkpoint>) {
    const { pass, since } = Option.getOrElse(checkpoint, (): Checkpoint => ({ since: {} }))
    const id = `${yield* Clock.currentTimeMillis}-${(yield* Random.nextInt) >>> 0}`
    const first: Pass = { id, resource: resources[0]?.[0] ?? "", isWhole: true }
    return {
      since,
      pass: pass ?? first,
      before: "",
      places: new Set<string>(),
      isResumed: pass !== undefined
    } satisfies State
  })

  const first = Effect.gen(function* () {
    const [entry] = resources
    if (entry === undefined) return { items: 0, unitsPerItem: 0 }
    const [name, resource] = entry
    const state = yield* begin(Option.none())
    const url = addressOf(resource, state, state.pass)
    const answer = yield* get(`${name}.list`, url)
    const { items, next: cursor } = yield* resource.readPage(answer.json)
    const next = yield* nextOf(resource, state.pass, { url, answer, cursor, size: items.length })
    const unitsPerItem = 1 / (items.length || 1)
    return next === undefined && resources.length === 1 ? { items: items.length, unitsPerItem } : { unitsPerItem }
  })

  return {
    // The quota is the server's, whoever asks.
    account: Effect.succeed(baseUrl.host),
    // It makes a request, so that wrong credentials are told at once.
    estimate: first,
    list: (task, checkpoint) =>
      Stream.fromEffect(begin(checkpoint)).pipe(
        Stream.flatMap((state) => Stream.paginate(state, (at: State) => step(task, at))),
        Stream.mapEffect((page) =>
          Effect.map(ContentExistenceChecker.selectNew(task, page.listed, { by: "revision" }), (download) => ({
            ...page,
            download
          }))
        )
      ),
    download: Effect.fnUntraced(function* ({ externalId }) {
      const slash = externalId.indexOf("/")
      const name = externalId.slice(0, slash)
      const id = externalId.slice(slash + 1)
      const resource = byName.get(name)
      const gone = new Gone({ message: `${externalId} is not at ${baseUrl.host}` })
      // A path of dots would lead to another resource.
      if (resource === undefined || id === "" || id === "." || id === "..") return yield* fail(gone)
      const url = join(baseUrl, resource.itemPath(encodeURIComponent(id)))
      const item = yield* resource.readAlone((yield* get(`${name}.get`, url)).json)
      // An item that moved away may be answered with another one in its place.
      if (item.id !== id || item.isDeleted || !item.isIncluded) return yield* fail(gone)
      return contentOf(name, resource, item)
    })
  }
}
