/**
 * A message as Gmail gives it, as content. Real mail is messy: bytes above 127 in headers, charsets that nobody knows,
 * NULs, no Message-ID, no Date, no Subject. None of it fails a message; what can't be read is left out.
 */
import PostalMime, { type Address, type Email } from "postal-mime"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Content, Metadata } from "../../contract/Content.ts"
import { Gone, IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import type { Message } from "./Api.ts"

/** Headers beyond this are not read for metadata. The body holds them all. */
const maxHeaderBytes = 256 * 1024

/** Addresses of one header that go into metadata: a newsletter may name thousands. */
const maxAddresses = 500

/** The content of a message that was fetched with `format=raw`. */
export const content = Effect.fnUntraced(function* (message: Message) {
  const body = message.raw === undefined ? undefined : decodeBase64Url(message.raw)
  if (body === undefined) {
    return yield* new IntegrationError({
      reason: new Malformed({ message: `Gmail gave message ${message.id} without a readable body` })
    })
  }
  const mail = yield* headers(body)
  const result: Content = {
    kind: "message",
    title: text(mail?.subject)?.slice(0, 1000),
    occurredAt: instant(message.internalDate),
    mediaType: "message/rfc822",
    metadata: {
      ...(message.threadId === undefined ? {} : { threadId: message.threadId }),
      labels: labelSet(message.labelIds ?? []),
      size: body.length,
      ...(mail === undefined ? {} : headerMetadata(mail))
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

/** The header section, parsed; undefined where that is not possible. */
const headers = (body: Uint8Array): Effect.Effect<Email | undefined> =>
  Effect.tryPromise(() => PostalMime.parse(readable(headerSection(body)))).pipe(Effect.orElseSucceed(() => undefined))

/** The bytes up to the first empty line. */
const headerSection = (body: Uint8Array): Uint8Array => {
  const end = Math.min(body.length, maxHeaderBytes)
  for (let at = body.indexOf(10); at !== -1 && at < end; at = body.indexOf(10, at + 1)) {
    const next = body[at + 1] === 13 ? at + 2 : at + 1
    if (body[next] === 10) return body.subarray(0, at + 1)
  }
  return body.subarray(0, end)
}

/** 8-bit headers are UTF-8 (RFC 6532) where they are valid as such, else most often Windows-1252. */
const readable = (bytes: Uint8Array): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return new TextDecoder("windows-1252").decode(bytes)
  }
}

const headerMetadata = (mail: Email): Metadata => {
  const fields: Record<string, Metadata[string] | undefined> = {
    messageId: text(mail.messageId),
    inReplyTo: text(mail.inReplyTo),
    date: date(mail.date),
    from: addresses(mail.from === undefined ? undefined : [mail.from])?.[0],
    replyTo: addresses(mail.replyTo),
    to: addresses(mail.to),
    cc: addresses(mail.cc),
    bcc: addresses(mail.bcc)
  }
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value] as const]))
  )
}

const addresses = (list: ReadonlyArray<Address> | undefined) =>
  list === undefined
    ? undefined
    : list
        .flatMap((each) => each.group ?? [each])
        .slice(0, maxAddresses)
        .map((each) => ({ name: each.name, address: each.address }))

const text = (value: string | undefined): string | undefined => {
  const trimmed = value?.trim()
  return trimmed === undefined || trimmed === "" ? undefined : trimmed
}

/** The Date header where it is a date; what it is instead stays in the body. */
const date = (value: string | undefined): string | undefined =>
  value === undefined
    ? undefined
    : Option.getOrUndefined(Option.map(DateTime.make(value), (at) => DateTime.formatIso(at)))

/** Gmail's own date in milliseconds of the epoch, as text. */
const instant = (milliseconds: string | undefined): DateTime.Utc | undefined =>
  milliseconds === undefined || !/^-?\d{1,16}$/.test(milliseconds)
    ? undefined
    : Option.getOrUndefined(Option.map(DateTime.make(Number(milliseconds)), DateTime.toUtc))
