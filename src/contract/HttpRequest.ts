/**
 * Makes HTTP requests to a source, and classifies its refusals. Messages name the host and the status, never the whole
 * URL: a path or a query may hold a secret.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import {
  Forbidden,
  Gone,
  IntegrationError,
  Malformed,
  RateLimited,
  Reason,
  TooLarge,
  Transient,
  Unauthorized
} from "./IntegrationError.ts"
import * as JsonBounds from "./JsonBounds.ts"
import { type Network, refusedCode } from "./Network.ts"

/** A refused request, for a source whose error text says more than the status. */
export interface Refusal {
  readonly status: number
  readonly headers: Headers
  /** The beginning of the response's text. */
  readonly text: string
}

export interface HttpServer {
  readonly network: Network
  /** The base URL. Messages name its host. */
  readonly baseUrl: URL
  readonly headers: Readonly<Record<string, string>>
  /** Classifies a refusal by the source's own error text; undefined leaves it to the status. */
  readonly refusal?: ((refusal: Refusal) => Reason | undefined) | undefined
  /**
   * True if redirects to other servers are followed: without `headers`, which may hold credentials. (A browser's rules
   * keep `Authorization` from another host, but not a header of the provider's own.) Default false.
   */
  readonly followsElsewhere?: boolean | undefined
}

/** The size limit of a response, which is held in memory as a whole. A larger one is refused. */
const maxAnswerBytes = 32 * 1024 * 1024
const maxRefusalBytes = 4096
const maxRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])

export const fail = (reason: Reason): Effect.Effect<never, IntegrationError> =>
  Effect.fail(new IntegrationError({ reason }))

/** Returns the response's `Date` in milliseconds since 1970, or undefined if it has none. */
export const dateOf = (headers: Headers): number | undefined => {
  const millis = Date.parse(headers.get("date") ?? "")
  return Number.isNaN(millis) ? undefined : millis
}

/**
 * Returns how long the source asks to wait: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3), `RateLimit` and
 * `RateLimit-Reset` in seconds (the IETF's draft and its earlier versions), or `X-RateLimit-Reset`, which is a time of
 * day at some providers and a number of seconds at others. Undefined if the source does not say. Times are compared
 * with the response's own `Date`, or with `now` if it has none.
 */
export const retryAfter = (headers: Headers, now: number): Duration.Duration | undefined => {
  const made = dateOf(headers) ?? now
  const after = headers.get("retry-after")
  if (after !== null) {
    // The RFC does not allow fractions, but Discord and others send them. `Date.parse` would read them as a date.
    const millis = /^[\d.]+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - made
    if (Number.isFinite(millis)) return Duration.millis(Math.max(0, millis))
  }
  const draft = /(?:^|;)\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1]
  const reset = Number(draft ?? headers.get("ratelimit-reset") ?? headers.get("x-ratelimit-reset") ?? Number.NaN)
  if (!Number.isFinite(reset)) return undefined
  // A value this large is a time since 1970, in seconds or in milliseconds, and not a delay.
  const millis = reset > 1e11 ? reset - made : reset > 1e9 ? reset * 1000 - made : reset * 1000
  return Duration.millis(Math.max(0, millis))
}

const isSpent = (headers: Headers): boolean =>
  headers.has("retry-after") ||
  (headers.get("x-ratelimit-remaining") ?? headers.get("ratelimit-remaining")) === "0" ||
  /(?:^|;)\s*r=0(?:;|,|$)/.test(headers.get("ratelimit") ?? "")

const reasonOf = ({ baseUrl, refusal }: HttpServer, refused: Refusal, now: number): Reason => {
  const { headers, status } = refused
  const own = refusal?.(refused)
  if (own !== undefined) return own
  const message = `${baseUrl.host} answers ${status}`
  if (status === 401) return new Unauthorized({ message })
  if (status === 429 || ((status === 403 || status === 503) && isSpent(headers))) {
    const delay = retryAfter(headers, now)
    return new RateLimited({ message, ...(delay === undefined ? {} : { retryAfter: delay }) })
  }
  if (status === 403) return new Forbidden({ message })
  if (status === 404 || status === 410) return new Gone({ message })
  if (status === 408 || status === 425 || status >= 500) return new Transient({ message })
  return new Malformed({ message })
}

/** Returns the bytes of a response, or undefined if there are more than `most`. */
export const read = async (response: Response, most: number): Promise<Uint8Array | undefined> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > most) return undefined
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const readRefusal = async (response: Response): Promise<string> => {
  const length = Number(response.headers.get("content-length") ?? Number.NaN)
  if (length <= maxRefusalBytes) return new TextDecoder().decode(await read(response, maxRefusalBytes))
  await response.body?.cancel()
  return ""
}

type Headings = Readonly<Record<string, string>>

/** The options of one request, beside those of its server. */
interface Asked {
  /** Headers for each server that a redirect leads to. */
  readonly headers?: Headings
  /** Sends a `POST` with this JSON or this form. The request is never sent to another server. */
  readonly post?: Schema.Json | URLSearchParams | undefined
  /** The size limit of a response that is read as a whole, in bytes. Default: 32 MiB. */
  readonly most?: number | undefined
}

/** For a form, `fetch` sets the media type itself. */
const posted = (post: Schema.Json | URLSearchParams, headers: Headings) =>
  post instanceof URLSearchParams
    ? { method: "POST", headers, body: post }
    : { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(post) }

const follow = async (server: HttpServer, url: URL, asked: Asked, signal: AbortSignal) => {
  const { baseUrl, headers, network } = server
  const followsElsewhere = server.followsElsewhere === true && asked.post === undefined
  let address = url
  for (let hop = 0; hop <= maxRedirects; hop++) {
    if (!followsElsewhere && address.origin !== baseUrl.origin) {
      throw new Forbidden({ message: `${baseUrl.host} leads to another server, which Idem does not follow` })
    }
    if (!/^https?:$/.test(address.protocol)) {
      throw new Forbidden({ message: `${baseUrl.host} leads to an address that is not http or https` })
    }
    const own = address.origin === baseUrl.origin ? headers : {}
    const sent = { ...own, ...asked.headers }
    const init = asked.post === undefined ? { headers: sent } : posted(asked.post, sent)
    const response = await network.fetch(address, { ...init, redirect: "manual", signal })
    const location = response.headers.get("location")
    if (!redirects.has(response.status) || location === null) return { response, url: address }
    await response.body?.cancel()
    if (!URL.canParse(location, address.href)) {
      throw new Malformed({ message: `${baseUrl.host} redirects to something that is not an address` })
    }
    address = new URL(location, address)
  }
  throw new Malformed({ message: `${baseUrl.host} redirects more than ${maxRedirects} times` })
}

/** Reports the code of a failure below HTTP, and not the error's text, which may quote the URL. */
const problemOf = (host: string, error: unknown): Reason => {
  for (let at: unknown = error, depth = 0; at !== undefined && depth < 5; depth++) {
    if (Predicate.hasProperty(at, "code") && typeof at.code === "string" && /^[A-Z_]+$/.test(at.code)) {
      if (at.code === refusedCode && at instanceof Error) return new Forbidden({ message: at.message })
      return new Transient({ message: `${host} gives no answer (${at.code})` })
    }
    at = Predicate.hasProperty(at, "cause") ? at.cause : undefined
  }
  return new Transient({ message: `${host} gives no answer` })
}

/** Makes a request. `isConditional`: 304 is a response, and not a refusal. */
const attempt = <A>(
  server: HttpServer,
  url: URL,
  asked: Asked,
  use: (response: Response, url: URL) => Promise<A>,
  isConditional = false
): Effect.Effect<A, IntegrationError> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.tryPromise({
      try: async (signal) => {
        const followed = await follow(server, url, asked, signal)
        const { headers, ok, status } = followed.response
        if (ok || (isConditional && status === 304)) return use(followed.response, followed.url)
        throw reasonOf(server, { headers, status, text: await readRefusal(followed.response) }, now)
      },
      catch: (cause) =>
        new IntegrationError({ reason: Schema.is(Reason)(cause) ? cause : problemOf(server.baseUrl.host, cause) })
    })
  )

/** A response, read as a whole. */
export interface Answer {
  readonly bytes: Uint8Array
  readonly headers: Headers
  /** The URL that the response came from, after all redirects. */
  readonly url: URL
}

/**
 * Returns the headers that make a `GET` conditional (RFC 9110, 13.1). Without an entity tag, `Last-Modified` is used
 * only if the response was made at least two seconds after it: a second change within the same second would not change
 * it.
 */
export const validators = (headers: Headers): Readonly<Record<string, string>> => {
  const etag = headers.get("etag")
  const modified = headers.get("last-modified")
  const age = Date.parse(headers.get("date") ?? "") - Date.parse(modified ?? "")
  return {
    ...(etag === null ? {} : { "if-none-match": etag }),
    ...(modified === null || (etag === null && !(age >= 2000)) ? {} : { "if-modified-since": modified })
  }
}

/**
 * Without this header, `fetch` adds `Cache-Control: no-cache` to a conditional request (the Fetch standard), and some
 * servers then send the full response (npm's `fresh`, so all of Express).
 */
const revalidate = { "cache-control": "max-age=0" }

const readWhole = async (server: HttpServer, response: Response, url: URL, most = maxAnswerBytes): Promise<Answer> => {
  const bytes = await read(response, most)
  if (bytes !== undefined) return { bytes, headers: response.headers, url }
  throw new TooLarge({ message: `an answer of ${server.baseUrl.host} has over ${most / 2 ** 20} MiB, the limit` })
}

/** Makes a request. */
export const ask = (server: HttpServer, url: URL, asked: Asked = {}): Effect.Effect<Answer, IntegrationError> =>
  attempt(server, url, asked, (response, answered) => readWhole(server, response, answered, asked.most))

/**
 * Makes a request with the validators `seen`. Returns undefined if the server answers 304 to them. Without validators,
 * 304 is a refusal: nothing is known that could be unchanged.
 */
export const askIfChanged = (
  server: HttpServer,
  url: URL,
  { seen, ...asked }: Asked & { readonly seen: Headings }
): Effect.Effect<Answer | undefined, IntegrationError> =>
  Object.keys(seen).length === 0
    ? ask(server, url, asked)
    : attempt(
        server,
        url,
        { ...asked, headers: { ...asked.headers, ...seen, ...revalidate } },
        async (response, answered) =>
          response.status === 304 ? undefined : readWhole(server, response, answered, asked.most),
        true
      )

/** Returns the body of a `GET` as a stream. A redirect to another server is followed. */
export const getBytes = (
  server: HttpServer,
  url: URL
): Effect.Effect<Stream.Stream<Uint8Array, IntegrationError>, IntegrationError> => {
  const broken = new IntegrationError({
    reason: new Transient({ message: `${server.baseUrl.host} ended a body early` })
  })
  return attempt({ ...server, followsElsewhere: true }, url, {}, async (response) => {
    const { body } = response
    return body === null ? Stream.empty : Stream.fromReadableStream({ evaluate: () => body, onError: () => broken })
  })
}

/**
 * Returns the URL of the next page from the `Link` header (RFC 8288, relation `next`), or undefined if there is none.
 */
export const nextLink = (headers: Headers, url: URL): URL | undefined => {
  for (const [, target = "", params = ""] of (headers.get("link") ?? "").matchAll(/<([^>]*)>([^<]*)/g)) {
    const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))/i.exec(params)
    const relations = (relation?.[1] ?? relation?.[2] ?? "").toLowerCase().split(/\s+/)
    if (relations.includes("next") && URL.canParse(target, url.href)) return new URL(target, url)
  }
  return undefined
}

/** Parses the response as JSON. */
export const jsonOf = Effect.fnUntraced(function* (server: HttpServer, answer: Answer) {
  const { host } = server.baseUrl
  const text = new TextDecoder().decode(answer.bytes)
  const problem = JsonBounds.problem(text, JsonBounds.ofAnswers)
  if (problem !== undefined)
    return yield* fail(new Malformed({ message: `an answer of ${host} is too complex: ${problem}` }))
  return yield* Effect.try({
    try: () => JSON.parse(text) as unknown,
    catch: () => new IntegrationError({ reason: new Malformed({ message: `the answer of ${host} is not JSON` }) })
  })
})
