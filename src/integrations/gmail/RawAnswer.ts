/** The response to `messages.get` with `format=raw`: read whole while it is small, and else as it arrives. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import { Readable } from "node:stream"
import { IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import { type Failure, networkProblem, retryAfterOf, unreachable, unreadable } from "./Errors.ts"
import * as RawReader from "./RawReader.ts"

/** An answer up to this many bytes is parsed as one JSON text, which costs less: most messages are smaller. */
const wholeBytes = 256 * 1024

/** Of a refusal's body no more is read than this. */
const refusalBytes = 64 * 1024

interface Response {
  readonly status: number
  /** A stream of Node's, or of the web where the connection's network gave the response. */
  readonly data: Readable | ReadableStream<Uint8Array>
}

/** The first part of a response. */
export type Begun =
  | { readonly _tag: "Refused"; readonly failure: Failure }
  | { readonly _tag: "Whole"; readonly answer: unknown }
  | (Open & { readonly _tag: "Open" })

/** A response of which these chunks were read. */
interface Open {
  readonly chunks: ReadonlyArray<Buffer>
  readonly more: AsyncIterator<Buffer>
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Chunks up to the end, or until they are more than `atMost` bytes. */
const read = async (more: AsyncIterator<Buffer>, atMost: number) => {
  const chunks: Array<Buffer> = []
  let size = 0
  while (size <= atMost) {
    const next = await more.next()
    if (next.done === true) return { chunks, ended: true }
    chunks.push(next.value)
    size += next.value.length
  }
  return { chunks, ended: false }
}

export const begin = async (response: Response): Promise<Begun> => {
  const data = response.data instanceof Readable ? response.data : Readable.fromWeb(response.data)
  const more: AsyncIterator<Buffer> = data[Symbol.asyncIterator]()
  if (response.status < 200 || response.status > 299) {
    // A body that is cut short says no less than none.
    const { chunks } = await read(more, refusalBytes).catch(() => ({ chunks: [] }))
    data.destroy()
    const body = parsed(Buffer.concat(chunks).toString("utf8"))
    return { _tag: "Refused", failure: { status: response.status, body, retryAfter: retryAfterOf(response) } }
  }
  const { chunks, ended } = await read(more, wholeBytes)
  return ended
    ? { _tag: "Whole", answer: parsed(Buffer.concat(chunks).toString("utf8")) }
    : { _tag: "Open", chunks, more }
}

/** The message's bytes, about how many there are, and then the other fields of the answer. */
export const streamed = Effect.fnUntraced(function* (id: string, { chunks, more }: Open) {
  const what = `message ${id}`
  const reader = RawReader.make()
  const attempt = <A>(take: () => A): Effect.Effect<A, IntegrationError> =>
    Effect.try({
      try: take,
      catch: (error) =>
        error instanceof RawReader.Unreadable && error.what === "body" ? unreadableBody(id) : unreadable(what)
    })
  // An unreadable answer is a failure of the body, not of the request.
  const first = yield* Effect.exit(attempt(() => chunks.flatMap((chunk) => reader.take(chunk))))
  const estimate = estimateOf(reader.before())
  const next = Effect.tryPromise({
    try: () => more.next(),
    catch: (error) => unreachable(what, networkProblem(error))
  })
  let rest: object | undefined
  const others = Stream.paginate(undefined, () =>
    Effect.gen(function* () {
      const chunk = yield* next
      if (chunk.done !== true) {
        return [yield* attempt(() => reader.take(chunk.value)), Option.some(undefined)] as const
      }
      // A body of an answer that is broken behind it is no whole body.
      rest = yield* attempt(() => reader.end())
      return [[], Option.none<undefined>()] as const
    })
  )
  const begun = Stream.unwrap(Effect.map(first, (parts) => Stream.fromIterable(parts)))
  return {
    body: Stream.concat(begun, others),
    estimate,
    rest: Effect.suspend(() => (rest === undefined ? Effect.fail(unreadable(what)) : Effect.succeed(rest)))
  }
})

const estimateOf = (answer: unknown): number | undefined =>
  Predicate.hasProperty(answer, "sizeEstimate") && typeof answer.sizeEstimate === "number"
    ? answer.sizeEstimate
    : undefined

/** The failure of a message whose `raw` is absent, or not base64url. */
export const unreadableBody = (id: string): IntegrationError =>
  new IntegrationError({ reason: new Malformed({ message: `Gmail gave message ${id} without a readable body` }) })
