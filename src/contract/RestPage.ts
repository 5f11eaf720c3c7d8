/** Reads one page of a list of a REST API: builds its request, decodes its items, and finds the next page. */
import * as Effect from "effect/Effect"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import { externalIdProblem } from "./Content.ts"
import {
  type Answer,
  ask,
  askIfChanged,
  dateOf,
  fail,
  type HttpServer,
  jsonOf,
  nextLink,
  validators
} from "./HttpRequest.ts"
import { type IntegrationError, Malformed } from "./IntegrationError.ts"
import type { Call } from "./Quota.ts"
import type { Authorize } from "./RestAuth.ts"
import type { RestItem, RestList, RestRequest } from "./RestResource.ts"

/** The stored state of a page that is requested conditionally: its validators and its next page. */
export const PageState = Schema.Struct({
  seen: Schema.Record(Schema.String, Schema.String),
  next: Schema.NullOr(Schema.String)
})
export type PageState = typeof PageState.Type

/** A REST API with credentials. */
export interface RestApi {
  readonly server: HttpServer
  readonly authorize: Authorize
  readonly call: Call
}

/** Returns the URL of a path below the base URL. */
export const join = ({ baseUrl }: HttpServer, path: string): URL =>
  new URL(path.replace(/^\/+/, ""), baseUrl.href.endsWith("/") ? baseUrl : `${baseUrl.href}/`)

/** Sends a request with the credentials. */
export const send = <A>(
  { authorize, call, server }: RestApi,
  method: string,
  request: (server: HttpServer) => Effect.Effect<A, IntegrationError>
): Effect.Effect<A, IntegrationError> =>
  authorize((headers) => call(method, 1, request({ ...server, headers: { ...server.headers, ...headers } })))

/** Requests one item. */
export const getItem = (
  api: RestApi,
  method: string,
  request: RestRequest
): Effect.Effect<unknown, IntegrationError> => {
  const { path, post } = typeof request === "string" ? { path: request, post: undefined } : request
  return Effect.flatMap(
    send(api, method, (server) => ask(server, join(server, path), { post })),
    (answer) => jsonOf(api.server, answer)
  )
}

/** A page of a list, before it is read. */
export interface Place {
  /** The name of the resource. */
  readonly name: string
  readonly list: RestList
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly since: DateTime.Utc | undefined
  /** The next page: a path for `Link`, else the value of its parameter. Undefined for the first page. */
  readonly next: string | undefined
}

export interface ReadPage {
  readonly items: ReadonlyArray<RestItem>
  /** Messages about items that could not be read. */
  readonly unread: ReadonlyArray<string>
  readonly next: string | undefined
  /** The response's `Date` in milliseconds; undefined if it has none. */
  readonly dated: number | undefined
  /** True if the link to the next page holds a page number or an offset: then pages may skip items. */
  readonly isCounted: boolean
  readonly seen: PageState["seen"]
}

const requestOf = (server: HttpServer, { list, next, path, query, since }: Place) => {
  const { paging, post } = list
  const place = next ?? (paging.type === "page" ? String(paging.first ?? 1) : undefined)
  if (paging.type === "link" && next !== undefined) {
    return { url: new URL(next, server.baseUrl.origin), post: post?.({ place, since }) }
  }
  const url = join(server, path)
  for (const [key, value] of Object.entries({ ...list.query, ...query })) url.searchParams.set(key, value)
  if (post !== undefined) return { url, post: post({ place, since }) }
  const param = "param" in paging ? paging.param : undefined
  if (param !== undefined && place !== undefined) url.searchParams.set(param, place)
  return { url, post: undefined }
}

/** The address of a page. */
export const addressOf = ({ server }: RestApi, place: Place): URL => requestOf(server, place).url

/** Returns the next page, or undefined on the last one. */
const nextOf = (
  { server }: RestApi,
  { list: { paging }, next }: Place,
  read: { readonly answer: Answer; readonly cursor: string | undefined; readonly size: number }
): Effect.Effect<string | undefined, IntegrationError> => {
  if (paging.type === "none") return Effect.undefined
  if (paging.type === "cursor") return Effect.succeed(read.cursor)
  if (paging.type === "link") {
    const link = nextLink(read.answer.headers, read.answer.url)
    if (link === undefined) return Effect.undefined
    const message = `${server.baseUrl.host} links to a next page on another server, which Idem does not follow`
    // Behind a proxy that ends TLS, servers link to themselves with `http:`. Only the link's path is used, with the
    // base URL.
    if (link.host !== server.baseUrl.host) return fail(new Malformed({ message }))
    return Effect.succeed(`${link.pathname}${link.search}`)
  }
  if (read.size === 0) return Effect.undefined
  if (paging.type === "offset") return Effect.succeed(String(Number(next ?? 0) + read.size))
  return Effect.succeed(String(Number(next ?? paging.first ?? 1) + 1))
}

/** Decodes the items. Returns those that fit the description, and a message for each of the others. */
export const readItems = (list: RestList, name: string, items: ReadonlyArray<unknown>) =>
  Effect.map(
    Effect.forEach(items, (json) =>
      Effect.flatMap(list.readItem(json), (item) =>
        externalIdProblem(item.id) === undefined
          ? Effect.succeed(item)
          : fail(new Malformed({ message: `an item of ${name} has an id that can't be stored` }))
      ).pipe(Effect.result)
    ),
    (results) => ({
      items: results.flatMap((result) => (result._tag === "Success" ? [result.success] : [])),
      unread: results.flatMap((result) => (result._tag === "Failure" ? [result.failure.message] : []))
    })
  )

/** Reads the response to a request for a page. */
const pageOf = Effect.fnUntraced(function* (api: RestApi, place: Place, answer: Answer) {
  const { list, name } = place
  const { items, next: cursor } = yield* list.readPage(yield* jsonOf(api.server, answer))
  const read = yield* readItems(list, name, items)
  const next = yield* nextOf(api, place, { answer, cursor, size: items.length })
  return {
    ...read,
    next,
    dated: dateOf(answer.headers),
    isCounted: list.paging.type === "link" && /[?&](page|offset|start)=\d+(&|$)/.test(next ?? ""),
    seen: validators(answer.headers)
  } satisfies ReadPage
})

/** Requests and reads a page. */
export const readPage = Effect.fnUntraced(function* (api: RestApi, place: Place) {
  const { post, url } = requestOf(api.server, place)
  return yield* pageOf(api, place, yield* send(api, `${place.name}.list`, (server) => ask(server, url, { post })))
})

/** The same, but returns undefined if the server answers 304 to the validators `seen`. */
export const readPageIfChanged = Effect.fnUntraced(function* (api: RestApi, place: Place, seen: PageState["seen"]) {
  const { post, url } = requestOf(api.server, place)
  const answer = yield* send(api, `${place.name}.list`, (server) => askIfChanged(server, url, { post, seen }))
  return answer === undefined ? undefined : yield* pageOf(api, place, answer)
})

/**
 * Returns a check of one list's pages. The check fails if the server ignores the page parameter, or its pages form a
 * cycle.
 */
export const makePageCheck = (host: string, name: string) => {
  const places = new Set<string>()
  let before = ""
  return ({ items, next }: Pick<ReadPage, "items" | "next">): Effect.Effect<void, IntegrationError> => {
    const ids = JSON.stringify(items.map(({ id }) => id))
    const isAgain = next !== undefined && (places.has(next) || (items.length > 0 && ids === before))
    before = ids
    if (next !== undefined) places.add(next)
    return isAgain
      ? fail(new Malformed({ message: `${host} returned a page of ${name} again instead of the next one` }))
      : Effect.void
  }
}
