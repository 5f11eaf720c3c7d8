/** Turns a message of Gmail into content. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Content, maxTitleLength, type Metadata } from "../../contract/Content.ts"
import { Gone, IntegrationError } from "../../contract/IntegrationError.ts"
import * as MailContent from "../../mail/MailContent.ts"
import type { RawMessage } from "./RawMessage.ts"
import type { FullMessage, Message } from "./Resources.ts"
import { unreadableBody } from "./RawMessage.ts"

/** Returns the content of a message whose bytes are in memory. */
export const content = (message: Message): Effect.Effect<Content, IntegrationError> => {
  const body = message.raw === undefined ? undefined : decodeBase64Url(message.raw)
  return body === undefined || body.length === 0
    ? Effect.fail(unreadableBody(message.id))
    : Effect.succeed(MailContent.whole(body, fields(message, body, body.length)))
}

/**
 * Returns the content of a message whose bytes are streamed. `admit` decides by its fields whether the message is
 * wanted.
 */
export const streamed = (
  message: Extract<RawMessage, { readonly _tag: "Streamed" }>,
  admit: (message: Message) => Effect.Effect<Message, IntegrationError>
): Content =>
  MailContent.streamed(message.body, message.estimate, (head, size) =>
    Effect.flatMap(Effect.flatMap(message.rest, admit), (found) =>
      size === 0 ? Effect.fail(unreadableBody(found.id)) : Effect.succeed(fields(found, head, size))
    )
  )

/** Returns the content of a chat from `format=full`: the body is its parts as JSON. */
export const chat = ({ payload, ...message }: FullMessage): Content => {
  const body = new TextEncoder().encode(JSON.stringify(payload))
  const { title = message.snippet, ...rest } = fields(message, body, body.length)
  return {
    kind: "chat",
    mediaType: "application/json",
    ...rest,
    title: title?.slice(0, maxTitleLength),
    body
  }
}

/** Returns all fields except the body: from the message's other fields, the start of its bytes, and their number. */
const fields = (message: Message, start: Uint8Array, size: number) =>
  MailContent.fields(start, {
    occurredAt: instant(message.internalDate),
    metadata: {
      ...(message.threadId === undefined ? {} : { threadId: message.threadId }),
      labels: labelSet(message.labelIds ?? []),
      size
    },
    // Gmail's own numbers, which may change while the message stays the same.
    volatile: {
      ...(message.historyId === undefined ? {} : { historyId: message.historyId }),
      ...(message.sizeEstimate === undefined ? {} : { sizeEstimate: message.sizeEstimate }),
      ...(message.snippet === undefined ? {} : { snippet: message.snippet })
    }
  })

/** Labels as an object, so that a merge patch can add one and null can remove one. */
const labelSet = (labelIds: Iterable<string>): Metadata =>
  Object.fromEntries(Array.from(labelIds, (id) => [id, true] as const).sort(([a], [b]) => (a < b ? -1 : 1)))

/** The failure of a chat if chats are left out: for the connection it is gone. */
export const isChat = (id: string): IntegrationError =>
  new IntegrationError({
    reason: new Gone({ message: `Gmail has ${id} as a chat: set "includeChats": true in the config to mirror chats` })
  })

/** The failure of a message in Trash or Spam if these are left out: for the connection it is gone. */
export const inTrash = (id: string): IntegrationError =>
  new IntegrationError({
    reason: new Gone({
      message: `Gmail has message ${id} in Trash or Spam: set "includeSpamTrash": true in the config to mirror them`
    })
  })

/**
 * Decodes base64url (RFC 4648, 5; padding is optional). Returns undefined if the text is malformed or truncated. Node's
 * decoder skips invalid characters, so that there are too few bytes, but reads characters above U+00FF as others.
 */
const decodeBase64Url = (raw: string): Uint8Array | undefined => {
  const end = raw.indexOf("=")
  const digits = end === -1 ? raw : raw.slice(0, end)
  const padding = raw.slice(digits.length)
  if (digits.length % 4 === 1 || Buffer.byteLength(digits) !== digits.length) return undefined
  if (padding !== "" && (raw.length % 4 !== 0 || !/^=*$/.test(padding))) return undefined
  const bytes = Buffer.allocUnsafeSlow(Math.floor((digits.length * 3) / 4))
  return bytes.write(digits, "base64url") === bytes.length ? new Uint8Array(bytes.buffer) : undefined
}

/** Parses Gmail's date: milliseconds since the epoch, as text. */
const instant = (milliseconds: string | undefined): DateTime.Utc | undefined =>
  milliseconds === undefined || !/^-?\d{1,16}$/.test(milliseconds)
    ? undefined
    : Option.getOrUndefined(Option.map(DateTime.make(Number(milliseconds)), DateTime.toUtc))
