/**
 * Reads a message with its bytes: `messages.get` with `format=raw`. A small response is read as a whole, a larger one
 * is streamed, so that a message takes no more memory than its first part.
 */
import type { gmail_v1 } from "googleapis/build/src/apis/gmail/index.js"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import {
  type Failure,
  isInvalidArgument,
  networkProblem,
  noSuchMessage,
  retryAfterOf,
  unreachable,
  unreadable
} from "./Errors.ts"
import type { GoogleClient } from "./GoogleClient.ts"
import * as RawReader from "./RawReader.ts"
import { Message } from "./Resources.ts"
import * as Response from "./Response.ts"
import * as Transport from "./Transport.ts"

export type RawMessage =
  | { readonly _tag: "Whole"; readonly message: Message }
  | {
      readonly _tag: "Streamed"
      readonly body: Stream.Stream<Uint8Array, IntegrationError>
      /** Gmail's estimate of the message's bytes; undefined unless it precedes the bytes in the response. */
      readonly estimate: number | undefined
      /** The other fields, after the body was read to its end. */
      readonly rest: Effect.Effect<Message, IntegrationError>
    }

/** The first part of a response. */
type Begun =
  | { readonly _tag: "Refused"; readonly failure: Failure }
  | { readonly _tag: "Whole"; readonly answer: unknown }
  | (Open & { readonly _tag: "Open" })

/** An open response, of which these chunks were read. */
interface Open {
  readonly chunks: ReadonlyArray<Buffer>
  readonly rest: Response.Rest
}

export const begin = ({ chunks, headers, rest, status }: Response.Response): Begun => {
  const isOk = Response.isOk(status)
  if (isOk && rest !== undefined) return { _tag: "Open", chunks, rest }
  // The beginning of its body is enough to classify a refusal.
  rest?.close()
  const answer = Transport.parsed(Buffer.concat(chunks).toString("utf8"))
  return isOk
    ? { _tag: "Whole", answer }
    : { _tag: "Refused", failure: { status, body: answer, retryAfter: retryAfterOf({ headers }) } }
}

/** Returns true if the text has the form of Gmail's message ids: a 64-bit number in hexadecimal digits. */
const isMessageId = (text: string): boolean => /^[0-9a-f]{1,16}$/i.test(text)

const whatOf = (id: string) => `message ${id}`

const decode = Schema.decodeUnknownEffect(Message)
const decodeMessage = (id: string) => (answer: unknown) => Effect.mapError(decode(answer), () => unreadable(whatOf(id)))

interface Options {
  readonly client: GoogleClient<gmail_v1.Gmail, "messages.get">
  readonly get: Transport.Get
  /** The origin of the requests. */
  readonly rootUrl: string
}

/**
 * Requests a message. The response of a larger message stays open until the scope ends. The deadline is that of `call`.
 * The request does not use the client of googleapis, which takes more processor time than the rest of a request, and
 * would read the body of a refusal without a bound.
 */
export const get = (options: Options, id: string): Effect.Effect<RawMessage, IntegrationError, Scope.Scope> =>
  isPathSegment(id)
    ? Effect.flatMap(Effect.scope, (scope) =>
        options.client.authorized("messages.get", (token) => request(options, id, token, scope))
      )
    : Effect.fail(noSuchMessage(id))

/** Returns false for `.` and `..`, which in a URL's path lead to another resource. */
const isPathSegment = (id: string): boolean => id !== "." && id !== ".."

const request = (
  { client, get, rootUrl }: Options,
  id: string,
  token: Redacted.Redacted,
  scope: Scope.Scope
): Effect.Effect<RawMessage, IntegrationError> => {
  const url = new URL(`/gmail/v1/users/me/messages/${encodeURIComponent(id)}?format=raw`, rootUrl)
  const begun = client
    .send(token, (_, { headers, signal }) => get(url, { headers, signal }))
    .pipe(
      Effect.flatMap((response) => {
        const begun = begin(response)
        return begun._tag === "Refused" ? Effect.fail(begun.failure) : Effect.succeed(begun)
      }),
      Effect.catch((failure) =>
        isInvalidArgument(failure) && !isMessageId(id)
          ? Effect.fail(noSuchMessage(id))
          : client.fail(whatOf(id), token)(failure)
      )
    )
  return Effect.uninterruptibleMask((restore) =>
    Effect.tap(restore(begun), (begun) =>
      begun._tag === "Whole" ? Effect.void : Scope.addFinalizer(scope, Effect.sync(begun.rest.close))
    )
  ).pipe(
    Effect.flatMap((begun) =>
      begun._tag === "Whole"
        ? Effect.map(decodeMessage(id)(begun.answer), (message): RawMessage => ({ _tag: "Whole", message }))
        : streamed(id, begun)
    )
  )
}

/** Returns the message's bytes as a stream, their estimated number, and then the other fields of the response. */
const streamed = Effect.fnUntraced(function* (id: string, { chunks, rest: remaining }: Open) {
  const what = whatOf(id)
  const reader = RawReader.make()
  const attempt = <A>(take: () => A): Effect.Effect<A, IntegrationError> =>
    Effect.try({
      try: take,
      catch: (error) =>
        error instanceof RawReader.Unreadable && error.what === "body" ? unreadableBody(id) : unreadable(what)
    })
  // An unreadable response is a failure of the body, not of the request.
  const first = yield* Effect.exit(attempt(() => chunks.flatMap((chunk) => reader.take(chunk))))
  const estimate = estimateOf(reader.before())
  const next = Effect.tryPromise({
    try: remaining.next,
    catch: (error) => unreachable(what, networkProblem(error))
  })
  let rest: object | undefined
  const others = Stream.paginate(undefined, () =>
    Effect.gen(function* () {
      const chunk = yield* next
      if (chunk.done !== true) {
        return [yield* attempt(() => reader.take(chunk.value)), Option.some(undefined)] as const
      }
      // If the response is broken after the body, the body may be incomplete too.
      rest = yield* attempt(() => reader.end())
      return [[], Option.none<undefined>()] as const
    })
  )
  const begun = Stream.unwrap(Effect.map(first, (parts) => Stream.fromIterable(parts)))
  const message: RawMessage = {
    _tag: "Streamed",
    body: Stream.concat(begun, others),
    estimate,
    rest: Effect.suspend(() => decodeMessage(id)(rest))
  }
  return message
})

const estimateOf = (answer: unknown): number | undefined =>
  Predicate.hasProperty(answer, "sizeEstimate") && typeof answer.sizeEstimate === "number"
    ? answer.sizeEstimate
    : undefined

/** The failure of a message whose `raw` is absent or not base64url. */
export const unreadableBody = (id: string): IntegrationError =>
  new IntegrationError({ reason: new Malformed({ message: `Gmail gave message ${id} without a readable body` }) })
