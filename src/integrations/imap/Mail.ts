/** A message as content: its bytes as the server has them, its flags and mailbox as metadata. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { AfterBody, Content, Metadata } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as Headers from "../../mail/Headers.ts"
import { type Details, keyOf, type Marks } from "./Messages.ts"

const kind = { kind: "message", mediaType: "message/rfc822" }

/** When the server received it; absent where the server does not say. */
export const receivedAt = ({ received }: Pick<Details, "received">): DateTime.Utc | undefined =>
  received === undefined ? undefined : Option.getOrUndefined(Option.map(DateTime.make(received), DateTime.toUtc))

/** Metadata that changes without the body: what a patch sets. Lists are replaced as a whole by a patch. */
export const marks = ({ flags, labels }: Marks): Metadata => ({ flags, ...(labels === undefined ? {} : { labels }) })

/** Metadata of a message in this mailbox, apart from what its header says. */
export const placed = (mailbox: string, message: Details): Metadata => ({
  mailbox,
  ...marks(message),
  ...(message.emailId === undefined ? {} : { emailId: message.emailId }),
  ...(message.threadId === undefined ? {} : { threadId: message.threadId })
})

/** All but the body: from what was listed, the start of the bytes, and how many there are. */
const fields = Effect.fnUntraced(function* (mailbox: string, message: Details, head: Uint8Array, size: number) {
  const { subject, ...header } = yield* Effect.promise(() => Headers.read(head))
  const result: AfterBody = {
    title: subject?.slice(0, 1000),
    occurredAt: receivedAt(message),
    metadata: {
      ...placed(mailbox, message),
      size,
      ...Object.fromEntries(Object.entries(header).filter(([, value]) => value !== undefined))
    },
    bodyKey: keyOf(message, head)
  }
  return result
})

export const content = Effect.fnUntraced(function* (mailbox: string, message: Details, body: Uint8Array) {
  const result: Content = { ...kind, ...(yield* fields(mailbox, message, body, body.length)), body }
  return result
})

/** The content of a message whose bytes are still to come. */
export const streamed = (
  mailbox: string,
  message: Details,
  bytes: Stream.Stream<Uint8Array, IntegrationError>
): Content => {
  const head: Array<Uint8Array> = []
  let size = 0
  const body = Stream.tap(bytes, (chunk) =>
    Effect.sync(() => {
      if (size < Headers.prefixBytes) head.push(chunk.slice(0, Headers.prefixBytes - size))
      size += chunk.length
    })
  )
  return {
    ...kind,
    metadata: {},
    body,
    announced: { estimate: message.size },
    afterBody: Effect.suspend(() => fields(mailbox, message, Buffer.concat(head), size))
  }
}
