/** Requests to a REST API, and what its refusals mean. Messages name the host and the status, never an address. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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
import type { Network } from "./Network.ts"

/** A refusal, for a source that says more than its status does. */
export interface RestRefusal {
  readonly status: number
  readonly headers: Headers
  /** The beginning of the answer's text. */
  readonly text: string
}

export interface RestServer {
  readonly network: Network
  readonly baseUrl: URL
  readonly headers: Readonly<Record<string, string>>
  /** The source's own meaning of a refusal; undefined leaves it to the status. */
  readonly refusal: ((refusal: RestRefusal) => Reason | undefined) | undefined
}

/** A larger answer is refused: it is read as a whole. */
const maxAnswerBytes = 32 * 1024 * 1024
const maxRefusalBytes = 4096
const maxRedirects = 3
const redirects = new Set([301, 302, 303, 307, 308])

export const fail = (reason: Reason): Effect.Effect<never, IntegrationError> =>
  Effect.fail(new IntegrationError({ reason }))

/**
 * The milliseconds after which the source may be asked again, where it says so: `Retry-After` in seconds or as a date
 * (RFC 9110, 10.2.3), `RateLimit` and `RateLimit-Reset` in seconds (the IETF's draft and its earlier versions), or
 * `X-RateLimit-Reset`, which is a time of day at some providers and a number of seconds at others.
 */
export const retryAfter = (headers: Headers, now: number): Duration.Duration | undefined => {
  const after = headers.get("retry-after")
  if (after !== null) {
    const millis = /^\d+$/.test(after.trim()) ? Number(after) * 1000 : Date.parse(after) - now
    if (Number.isFinite(millis)) return Duration.millis(Math.max(0, millis))
  }
  const draft = /(?:^|;)\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1]
  const reset = Number(draft ?? headers.get("ratelimit-reset") ?? headers.get("x-ratelimit-reset") ?? Number.NaN)
  if (!Number.isFinite(reset)) return undefined
  // A number of seconds since 1970, or of milliseconds, is far too large for a delay.
  const millis = reset > 1e11 ? reset - now : reset > 1e9 ? reset * 1000 - now : reset * 1000
  return Duration.millis(Math.max(0, millis))
}

const isSpent = (headers: Headers): boolean =>
  headers.has("retry-after") ||
  (headers.get("x-ratelimit-remaining") ?? headers.get("ratelimit-remaining")) === "0" ||
  /(?:^|;)\s*r=0(?:;|,|$)/.test(headers.get("ratelimit") ?? "")

const reasonOf = ({ baseUrl, refusal }: RestServer, refused: RestRefusal, now: number): Reason => {
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

const read = async (response: Response, most: number): Promise<string | undefined> => {
  const chunks: Array<Uint8Array> = []
  let size = 0
  for await (const chunk of response.body ?? []) {
    size += chunk.length
    if (size > most) return undefined
    chunks.push(chunk)
  }
  return new TextDecoder().decode(Buffer.concat(chunks))
}

const readRefusal = async (response: Response): Promise<string> => {
  const length = Number(response.headers.get("content-length") ?? Number.NaN)
  if (length <= maxRefusalBytes) return (await read(response, maxRefusalBytes)) ?? ""
  await response.body?.cancel()
  return ""
}

/**
 * Follows redirects within the server only: a browser's rules keep `Authorization` from another host, but not a header
 * of the provider's own.
 */
const follow = async ({ baseUrl, headers, network }: RestServer, url: URL, signal: AbortSignal): Promise<Response> => {
  let address = url
  for (let hop = 0; hop <= maxRedirects; hop++) {
    if (address.origin !== baseUrl.origin) {
      throw new Forbidden({ message: `${baseUrl.host} points to another server, which Idem does not follow` })
    }
    const response = await network.fetch(address, { headers, redirect: "manual", signal })
    const location = response.headers.get("location")
    if (!redirects.has(response.status) || location === null) return response
    await response.body?.cancel()
    address = new URL(location, address)
  }
  throw new Malformed({ message: `${baseUrl.host} redirects more than ${maxRedirects} times` })
}

const attempt = <A>(server: RestServer, url: URL, use: (response: Response) => Promise<A>) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    Effect.tryPromise({
      try: async (signal) => {
        const response = await follow(server, url, signal)
        if (response.ok) return use(response)
        const { headers, status } = response
        throw reasonOf(server, { headers, status, text: await readRefusal(response) }, now)
      },
      catch: (cause) => {
        const unclear = new Transient({ message: `${server.baseUrl.host} gives no answer` })
        return new IntegrationError({ reason: Schema.is(Reason)(cause) ? cause : unclear })
      }
    })
  )

export interface RestAnswer {
  readonly json: unknown
  readonly headers: Headers
}

/** The answer to a `GET`, as JSON. */
export const getJson = (server: RestServer, url: URL): Effect.Effect<RestAnswer, IntegrationError> =>
  attempt(server, url, async (response) => {
    const text = await read(response, maxAnswerBytes)
    if (text === undefined) {
      throw new TooLarge({ message: `an answer of ${server.baseUrl.host} has over ${maxAnswerBytes} bytes` })
    }
    try {
      return { json: JSON.parse(text), headers: response.headers }
    } catch {
      throw new Malformed({ message: `${server.baseUrl.host} answers something that is not JSON` })
    }
  })

/** The bytes of the answer to a `GET`, as they come. */
export const getBytes = (
  server: RestServer,
  url: URL
): Effect.Effect<Stream.Stream<Uint8Array, IntegrationError>, IntegrationError> => {
  const broken = new IntegrationError({ reason: new Transient({ message: `${server.baseUrl.host} broke off a body` }) })
  return attempt(server, url, async (response) => {
    const { body } = response
    return body === null ? Stream.empty : Stream.fromReadableStream({ evaluate: () => body, onError: () => broken })
  })
}

/** The address of the next page, as `Link` has it (RFC 8288): the reference whose relation is `next`. */
export const nextLink = (headers: Headers, url: URL): URL | undefined => {
  for (const [, target = "", params = ""] of (headers.get("link") ?? "").matchAll(/<([^>]*)>([^<]*)/g)) {
    const relation = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))/i.exec(params)
    const relations = (relation?.[1] ?? relation?.[2] ?? "").toLowerCase().split(/\s+/)
    if (relations.includes("next") && URL.canParse(target, url.href)) return new URL(target, url)
  }
  return undefined
}
