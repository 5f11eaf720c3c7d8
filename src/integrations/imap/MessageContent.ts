/** A message as content: its bytes as the server has them, its flags and mailbox as metadata. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Stream from "effect/Stream"
import type { Content, Metadata } from "../../contract/Content.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as MailContent from "../../mail/MailContent.ts"
import { type Details, keyOf, type Marks } from "./Messages.ts"

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
const fields = (mailbox: string, message: Details, head: Uint8Array, size: number) =>
  MailContent.fields(head, {
    occurredAt: receivedAt(message),
    metadata: { ...placed(mailbox, message), size },
    bodyKey: keyOf(message, head)
  })

export const content = (mailbox: string, message: Details, body: Uint8Array): Content =>
  MailContent.whole(body, fields(mailbox, message, body, body.length))

/** The content of a message whose bytes are still to come. */
export const streamed = (
  mailbox: string,
  message: Details,
  bytes: Stream.Stream<Uint8Array, IntegrationError>
): Content =>
  MailContent.streamed(bytes, message.size, (head, size) => Effect.sync(() => fields(mailbox, message, head, size)))
