/**
 * Reads the header fields of an email that people see, decoded. Real mail has bytes above 127 in its headers, unknown
 * charsets, NULs, and no Message-ID, Date or Subject. None of that is an error: a field that can't be read is absent.
 *
 * postal-mime parses the values of fields. Before that, only the wanted fields are selected, so that thousands of
 * others cost nothing, and their bytes are decoded:
 * - adjacent encoded words of one charset become one word, because a character may be split over two of them;
 * - bytes above 127 are UTF-8 (RFC 6532) if they are valid as such, else in the charset that the email itself declares,
 *   else windows-1252.
 */
import { type Address, addressParser, decodeWords } from "postal-mime"
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Charset from "./Charset.ts"
import * as MailDate from "./MailDate.ts"

/** A person in a field. `name` or `address` is empty if the field has none. */
export type Mailbox = { readonly name: string; readonly address: string }

export interface Headers {
  readonly subject: string | undefined
  readonly messageId: string | undefined
  /** The first Message-ID in the field: people and programs write other words beside it. */
  readonly inReplyTo: string | undefined
  /** Message-IDs of the conversation, oldest first: the first 20 and the last 20. */
  readonly references: ReadonlyArray<string> | undefined
  /** The date in ISO 8601 in UTC. */
  readonly date: string | undefined
  readonly from: Mailbox | undefined
  readonly replyTo: ReadonlyArray<Mailbox> | undefined
  readonly to: ReadonlyArray<Mailbox> | undefined
  readonly cc: ReadonlyArray<Mailbox> | undefined
  readonly bcc: ReadonlyArray<Mailbox> | undefined
}

/** The most bytes of an email that are searched for its fields. */
const maxHeaderBytes = 256 * 1024

/** The most bytes of one field that are read: enough for 500 addresses. */
const maxFieldBytes = 32 * 1024

/** The most fields of one name that are read. RFC 5322 allows one; some programs write one for each recipient. */
const maxFields = 500

/** The most bytes of address fields that are read, because they take the most time. */
const maxAddressBytes = 96 * 1024

/** The most addresses of one field: a newsletter may name thousands. */
const maxAddresses = 500

/** The bytes after the header that may declare a charset: the headers of the first parts. */
const declarationBytes = 4 * 1024

/** The bytes at the beginning of an email that `read` uses: more bytes do not change its result. */
export const prefixBytes = maxHeaderBytes + declarationBytes

const addressFields = new Set(["from", "to", "cc", "bcc", "reply-to"])

/** The most references that are read, at the beginning and at the end each. */
const maxReferences = 20

/** Reads the fields of an email from its bytes, or at least its first `prefixBytes`. */
export const read = (email: Uint8Array): Headers => {
  const end = headerEnd(email)
  const text = (length: number) => Buffer.from(email.buffer, email.byteOffset, length).toString("latin1")
  const fields = fieldsOf(text(end))
  let declared: { readonly charset: string | undefined } | undefined
  /** Returns the charset that the email itself declares. Most emails need none. */
  const charset = () =>
    (declared ??= { charset: declaredCharset(text(Math.min(end + declarationBytes, email.length))) }).charset
  const valuesOf = (name: string) => (fields.get(name) ?? []).map((value) => oneLine(decoded(value, charset)))
  const valueOf = (name: string) => valuesOf(name)[0]
  return {
    subject: textOf(decodeWords(valueOf("subject") ?? "")),
    messageId: textOf(decodeWords(valueOf("message-id") ?? "")),
    inReplyTo: messageIds(valueOf("in-reply-to"))[0],
    references: ends(messageIds(valueOf("references"))),
    date: dateOf(valueOf("date")),
    from: mailboxes(valuesOf("from").slice(0, 1))?.[0],
    replyTo: mailboxes(valuesOf("reply-to")),
    to: mailboxes(valuesOf("to")),
    cc: mailboxes(valuesOf("cc")),
    bcc: mailboxes(valuesOf("bcc"))
  }
}

/** Returns where the header ends: after the first empty line. */
const headerEnd = (email: Uint8Array): number => {
  const limit = Math.min(email.length, maxHeaderBytes)
  for (let at = email.indexOf(10); at !== -1 && at < limit; at = email.indexOf(10, at + 1)) {
    const next = email[at + 1] === 13 ? at + 2 : at + 1
    if (email[next] === 10) return at + 1
  }
  return limit
}

/** Matches a wanted field after the end of a line: its name, and its value with continuation lines. */
const field =
  /\n(from|to|cc|bcc|reply-to|subject|message-id|in-reply-to|references|date)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)/gi

/** Returns the unfolded values of the wanted fields, by name, with one character for each byte. */
const fieldsOf = (header: string): ReadonlyMap<string, ReadonlyArray<string>> => {
  const fields = new Map<string, Array<string>>()
  let addressBytes = 0
  for (const [, anyCase = "", folded = ""] of `\n${header}`.matchAll(field)) {
    const name = anyCase.toLowerCase()
    const isAddresses = addressFields.has(name)
    const values = fields.get(name) ?? []
    if (isAddresses ? values.length >= maxFields || addressBytes >= maxAddressBytes : values.length > 0) continue
    const value = folded.replaceAll(/\r?\n/g, "").trimStart().slice(0, maxFieldBytes)
    if (isAddresses) addressBytes += value.length
    values.push(value)
    fields.set(name, values)
  }
  return fields
}

const declaredCharset = (text: string): string | undefined => /charset\s*=\s*"?([\w.:-]{1,40})/i.exec(text)?.[1]

// ---- charsets ----------------------------------------------------------------------------------------------------

const encodedWords = /=\?[^?\s]{1,60}\?[BbQq]\?[^?]*\?=(?:[ \t]+=\?[^?\s]{1,60}\?[BbQq]\?[^?]*\?=)*/g
const encodedWord = /=\?([^?\s*]{1,60})(?:\*[^?\s]*)?\?([BbQq])\?([^?]*)\?=/g

/**
 * Encodes the word in UTF-8. postal-mime decodes it after it has split the field. A word of plain letters keeps its
 * charset: addresses contain such words that are not to be decoded.
 */
const utf8Word = (charset: string, bytes: Buffer): string => {
  const text = Charset.decodeWord(bytes, charset)
  return text === bytes.toString("latin1")
    ? `=?${charset}?B?${bytes.toString("base64")}?=`
    : `=?utf-8?B?${Buffer.from(text).toString("base64")}?=`
}

/** Returns the bytes of one encoded word. Bytes above 127 in it, which RFC 2047 forbids, are in its charset too. */
const bytesOfWord = (encoding: string, text: string): Buffer =>
  encoding.toUpperCase() === "B"
    ? Buffer.from(text, "base64")
    : Buffer.from(
        text
          .replaceAll("_", " ")
          .replaceAll(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
        "latin1"
      )

/**
 * Matches charsets in which each word starts in the initial state: joined words would repeat an escape sequence, which
 * decoders refuse.
 */
const stateful = /^(?:iso-2022|hz-|(?:unicode-1-1-)?utf-?7)/i

/** Joins encoded words of the same charset in a run of them. */
const joined = (run: string): string => {
  const groups: Array<{ readonly charset: string; readonly bytes: Array<Buffer> }> = []
  for (const [, charset = "", encoding = "", text = ""] of run.matchAll(encodedWord)) {
    const last = groups.at(-1)
    const bytes = bytesOfWord(encoding, text)
    if (last?.charset.toLowerCase() === charset.toLowerCase() && !stateful.test(charset)) last.bytes.push(bytes)
    else groups.push({ charset, bytes: [bytes] })
  }
  return groups.map(({ bytes, charset }) => utf8Word(charset, Buffer.concat(bytes))).join(" ")
}

/** Decodes text outside of encoded words. */
const rawText = (latin1: string, charset: () => string | undefined): string => {
  // oxlint-disable-next-line no-control-regex
  if (!/[^\u0000-\u007f]/.test(latin1)) return latin1
  return Charset.decode(Buffer.from(latin1, "latin1"), charset())
}

const decoded = (value: string, charset: () => string | undefined): string => {
  let text = ""
  let at = 0
  for (const run of value.matchAll(encodedWords)) {
    text += rawText(value.slice(at, run.index), charset) + joined(run[0])
    at = run.index + run[0].length
  }
  return text + rawText(value.slice(at), charset)
}

// ---- values ------------------------------------------------------------------------------------------------------

/** The most groups of one field. Groups can't nest, and postal-mime takes quadratic time for nested ones. */
const maxGroups = 5

/**
 * Removes the colons of all groups except the first ones. A quoted string without an end extends to the end of the
 * field: searching for the end again from each quote would take quadratic time.
 */
const withoutNestedGroups = (text: string): string => {
  if (!text.includes(":")) return text
  let groups = 0
  return text.replaceAll(/"(?:[^"\\]|\\.)*("?)|<[^<>]*>|:/g, (found, end: string | undefined) => {
    if (end === "") return found.replaceAll(":", " ")
    if (found !== ":") return found
    groups += 1
    return groups > maxGroups ? " " : found
  })
}

/** Removes comments and source routes (`<@relay,@other:ann@example.com>`, RFC 5322, 4.4) inside angle brackets. */
const withoutRoutes = (text: string): string =>
  text.replaceAll(/"(?:[^"\\]|\\.)*"?|<([^<>]*)>/g, (whole, inside: string | undefined) =>
    inside === undefined
      ? whole
      : `<${inside
          .replaceAll(/\([^()]*\)/g, "")
          .replace(/^\s*@[^:]*:/, "")
          .trim()}>`
  )

const oneLine = (text: string): string => text.replaceAll(/[\r\n]+/g, " ").trimEnd()

const addressesOf = (text: string): ReadonlyArray<Address> => addressParser(withoutNestedGroups(withoutRoutes(text)))

const mailboxes = (values: ReadonlyArray<string>): ReadonlyArray<Mailbox> | undefined => {
  const addresses = values.flatMap(addressesOf)
  return addresses.length === 0
    ? undefined
    : addresses
        .flatMap((each) => each.group ?? [each])
        .slice(0, maxAddresses)
        .map(({ address, name }) => ({ name, address: address ?? "" }))
}

/** Returns the Message-IDs in a text, with their angle brackets. */
export const messageIds = (text: string | undefined): ReadonlyArray<string> => text?.match(/<[^<>\s]+>/g) ?? []

const ends = (ids: ReadonlyArray<string>): ReadonlyArray<string> | undefined =>
  ids.length === 0
    ? undefined
    : ids.length <= 2 * maxReferences
      ? ids
      : [...ids.slice(0, maxReferences), ...ids.slice(-maxReferences)]

const textOf = (value: string): string | undefined => {
  const trimmed = value.trim()
  return trimmed === "" ? undefined : trimmed
}

const dateOf = (value: string | undefined): string | undefined =>
  value === undefined ? undefined : Option.getOrUndefined(Option.map(MailDate.parse(value), DateTime.formatIso))
