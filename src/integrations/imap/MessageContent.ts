/** Turns a message into content: its bytes, with its flags and mailbox as metadata. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Content, Metadata } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as MailContent from "../../mail/MailContent.ts"
import { type Details, keyOf, type Marks } from "./Messages.ts"

/** Returns when the server received the message; undefined if the server does not report it. */
export const receivedAt = ({ received }: Pick<Details, "received">): DateTime.Utc | undefined =>
  received === undefined ? undefined : Option.getOrUndefined(Option.map(DateTime.make(received), DateTime.toUtc))

/** Returns the metadata that changes without the body, which a patch sets. A patch replaces lists as a whole. */
export const marks = ({ flags, labels }: Marks): Metadata => ({ flags, ...(labels === undefined ? {} : { labels }) })

/** Returns the metadata of a message in this mailbox, without the fields of its header. */
export const placed = (mailbox: string, message: Details): Metadata => ({
  mailbox,
  ...marks(message),
  ...(message.emailId === undefined ? {} : { emailId: message.emailId }),
  ...(message.threadId === undefined ? {} : { threadId: message.threadId })
})

/** Returns all fields except the body: from the listing, the start of the bytes, and their number. */
const fields = (mailbox: string, message: Details, head: Uint8Array, size: number) =>
  MailContent.fields(head, {
    occurredAt: receivedAt(message),
    metadata: { ...placed(mailbox, message), size },
    bodyKey: keyOf(message, head)
  })

export const content = (mailbox: string, message: Details, body: Uint8Array): Content =>
  MailContent.whole(body, fields(mailbox, message, body, body.length))

/** Returns the content of a message whose bytes are streamed. */
export const streamed = (
  mailbox: string,
  message: Details,
  bytes: Stream.Stream<Uint8Array, IntegrationError>
): Content =>
  MailContent.streamed(bytes, message.size, (head, size) => Effect.sync(() => fields(mailbox, message, head, size)))
