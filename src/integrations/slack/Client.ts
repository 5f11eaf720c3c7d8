/**
 * Requests to Slack's Web API as effects. The client library's own retries and queues are off: `call` owns the quota,
 * the deadline and the retries. Interrupting an effect aborts its request.
 */
import { LogLevel, type Logger, WebClient } from "@slack/web-api"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as AccessToken from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import { type IntegrationError, Malformed, type Reason } from "../../contract/IntegrationError.ts"
import { read } from "../../contract/HttpRequest.ts"
import * as JsonBounds from "../../contract/JsonBounds.ts"
import { AnswerTooMuch, fail, fromThrown, TooManyItems } from "./Errors.ts"
import * as FileBytes from "./FileBytes.ts"

/** Silences the library, which would write to the console. Its errors contain the relevant information. */
export const silent: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  setLevel: () => {},
  getLevel: () => LogLevel.ERROR,
  setName: () => {}
}

export type Args = Readonly<Record<string, string | number | boolean | undefined>>

/** A refusal that concerns only the requested object. `refused` is Slack's error code, or our own message. */
interface Refusal {
  readonly refused: string
}

export const isRefusal = <A extends object>(answer: A | Refusal): answer is Refusal => "refused" in answer

export interface Client {
  /** Makes one request, and decodes its response. */
  readonly request: <A>(method: string, args: Args, schema: Schema.Decoder<A>) => Effect.Effect<A, IntegrationError>
  /**
   * Makes a request about one conversation or one list. Fails for `Unauthorized`, `RateLimited` and `Transient`, which
   * concern the whole source, except for an `internal_error` of one conversation. Any other failure is returned as a
   * `Refusal`.
   */
  readonly ask: <A extends object>(
    method: string,
    args: Args,
    schema: Schema.Decoder<A>
  ) => Effect.Effect<A | Refusal, IntegrationError>
  /** Streams a file's bytes. Follows redirects; fails with `TooLarge` before the body is read. */
  readonly bytes: (file: FileBytes.FileInfo, maxSize: number) => Stream.Stream<Uint8Array, IntegrationError>
  /** Returns true for a URL to which the token may be sent: Slack's hosts, or the configured origin. */
  readonly takesToken: (url: string) => boolean
}

export const apiUrlOf = (configured: string | undefined) => new URL(configured ?? "https://slack.com/api/")

/** The smallest page size: ten messages never exceed the size limit. */
const fewest = 10

/**
 * The size limit of a response. A page of 999 messages has a few MB; larger pages are requested again with fewer items.
 */
const maxAnswerBytes = 32 * 1024 * 1024

/** Sends one request with the library. */
export const sender =
  (options: { readonly slackApiUrl: string | undefined; readonly fetch: typeof globalThis.fetch }) =>
  (method: string, args: Args, token: Redacted.Redacted | undefined) =>
    Effect.tryPromise({
      try: (signal) =>
        new WebClient(token === undefined ? undefined : Redacted.value(token), {
          slackApiUrl: apiUrlOf(options.slackApiUrl).href,
          logger: silent,
          retryConfig: { retries: 0 },
          rejectRateLimitedCalls: true,
          allowAbsoluteUrls: false,
          fetch: async (url, init) => {
            const response = await options.fetch(url, { ...init, signal })
            const bytes = await read(response, maxAnswerBytes)
            const text = new TextDecoder().decode(bytes)
            const problem =
              bytes === undefined
                ? `it may have at most ${maxAnswerBytes} bytes`
                : JsonBounds.problem(text, JsonBounds.ofAnswers)
            if (problem !== undefined) throw new AnswerTooMuch(problem)
            return new Response(text === "" ? null : text, response)
          }
        }).apiCall(method, { ...args }),
      catch: (error) => fromThrown(method, apiUrlOf(options.slackApiUrl).host, error)
    })

export const make = (options: {
  readonly auth: AccessToken.AccessToken
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
}): Client => {
  const apiUrl = apiUrlOf(options.slackApiUrl)
  const send = sender(options)

  const takesToken: Client["takesToken"] = (text) => {
    const url = URL.parse(text)
    if (url === null) return false
    if (options.slackApiUrl !== undefined && url.origin === apiUrl.origin) return true
    return url.protocol === "https:" && (url.hostname === "slack.com" || url.hostname.endsWith(".slack.com"))
  }

  const requestOnce: Client["request"] = (method, args, schema) => {
    const decode = Schema.decodeUnknownEffect(schema)
    return AccessToken.withToken(options.auth, (token) =>
      options.call(
        method,
        1,
        Effect.flatMap(send(method, args, token), (answer) =>
          Effect.mapError(decode(answer), () =>
            // The response may come from another server, so the error does not quote it.
            fail(new Malformed({ message: `${method}: the answer is not what Slack's API documents` }))
          )
        )
      )
    )
  }

  /** Requests a page of very large messages again in smaller pages. */
  const request: Client["request"] = (method, args, schema) =>
    Effect.catch(requestOnce(method, args, schema), (error) =>
      error.reason instanceof TooManyItems && typeof args.limit === "number" && args.limit > fewest
        ? request(method, { ...args, limit: Math.max(fewest, Math.floor(args.limit / 4)) }, schema)
        : Effect.fail(error)
    )

  /** The number of requests about a conversation in a row that Slack failed to answer. */
  let failures = 0

  const ask: Client["ask"] = (method, args, schema) =>
    request(method, args, schema).pipe(
      Effect.tap(() => Effect.sync(() => void (failures = 0))),
      Effect.catch(({ reason }) => {
        const word = reason.message.replace(`${method}: `, "")
        // Slack's failure for one conversation, after the retries of the call. After many in a row, Slack fails for all
        // conversations.
        const isOfOne = args.channel !== undefined && ofConversation.has(word) && ++failures < mostFailures
        return ofSource.has(reason._tag) && !isOfOne ? Effect.fail(fail(reason)) : Effect.succeed({ refused: word })
      })
    )

  const bytes = FileBytes.make({ auth: options.auth, call: options.call, fetch: options.fetch, takesToken })

  return { request, ask, bytes, takesToken }
}

/** Slack's error codes for a failure of its own, which may concern one conversation only while it lasts. */
const ofConversation: ReadonlySet<string> = new Set(["internal_error", "fatal_error"])
const mostFailures = 20

/** Failures that concern the whole source. */
const ofSource: ReadonlySet<Reason["_tag"]> = new Set(["Unauthorized", "RateLimited", "Transient"])
