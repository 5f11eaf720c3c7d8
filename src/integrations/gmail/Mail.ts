/** A message of Gmail as content. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Content, Metadata } from "../../contract/Content.ts"
import { Gone, IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import * as Headers from "../../mail/Headers.ts"
import type { Message } from "./Api.ts"

/** The content of a message that was fetched with `format=raw`. */
export const content = Effect.fnUntraced(function* (message: Message) {
  const body = message.raw === undefined ? undefined : decodeBase64Url(message.raw)
  if (body === undefined) {
    return yield* new IntegrationError({
      reason: new Malformed({ message: `Gmail gave message ${message.id} without a readable body` })
    })
  }
  const mail = yield* Effect.promise(() => Headers.read(body))
  const result: Content = {
    kind: "message",
    title: mail.subject?.slice(0, 1000),
    occurredAt: instant(message.internalDate),
    mediaType: "message/rfc822",
    metadata: {
      ...(message.threadId === undefined ? {} : { threadId: message.threadId }),
      labels: labelSet(message.labelIds ?? []),
      size: body.length,
      ...headerMetadata(mail)
    },
    // Gmail's own numbers: they may move while the message stays what it is.
    volatile: {
      ...(message.historyId === undefined ? {} : { historyId: message.historyId }),
      ...(message.sizeEstimate === undefined ? {} : { sizeEstimate: message.sizeEstimate }),
      ...(message.snippet === undefined ? {} : { snippet: message.snippet })
    },
    body
  }
  return result
})

/** Labels as an object, so that a merge patch can add one and null can remove one. */
const labelSet = (labelIds: Iterable<string>): Metadata =>
  Object.fromEntries(Array.from(labelIds, (id) => [id, true] as const).sort(([a], [b]) => (a < b ? -1 : 1)))

/** An id that Gmail can't even parse is the id of nothing. */
export const noSuchMessage = (id: string): IntegrationError =>
  new IntegrationError({ reason: new Gone({ message: `Gmail has no message ${id}` }) })

/** A message that is where the connection does not look is as good as gone. */
export const leftOut = (id: string): IntegrationError =>
  new IntegrationError({
    reason: new Gone({ message: `Gmail has message ${id} in Trash or Spam, which needs includeSpamTrash: true` })
  })

/** The bytes, or undefined where the text is not base64url (RFC 4648, 5; padding is optional) or was cut short. */
const decodeBase64Url = (raw: string): Uint8Array | undefined => {
  const digits = raw.replace(/=+$/, "")
  if (digits.length % 4 === 1 || !/^[A-Za-z0-9_+/-]*$/.test(digits)) return undefined
  const padding = raw.length - digits.length
  if (padding > 0 && raw.length % 4 !== 0) return undefined
  return new Uint8Array(Buffer.from(digits, "base64url"))
}

/** Everything but the subject, which is the title. */
const headerMetadata = ({ subject: _subject, ...fields }: Headers.Headers): Metadata =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))

/** Gmail's own date in milliseconds of the epoch, as text. */
const instant = (milliseconds: string | undefined): DateTime.Utc | undefined =>
  milliseconds === undefined || !/^-?\d{1,16}$/.test(milliseconds)
    ? undefined
    : Option.getOrUndefined(Option.map(DateTime.make(Number(milliseconds)), DateTime.toUtc))
