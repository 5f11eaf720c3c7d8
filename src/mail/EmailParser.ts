/**
 * Emails with their parts, by postal-mime. The library knows the charsets of `TextDecoder` only, takes the declared one at
 * its word, and does not tell that of an attachment. So two methods of its parser are replaced, which its types hide: the
 * tests of charsets fail where another version of it has none of these.
 */
import PostalMime, { type Attachment, type Email } from "postal-mime"
import * as Charset from "./Charset.ts"

interface Part {
  readonly content: ArrayBuffer | null
  readonly contentType: {
    readonly parsed: { readonly value: string; readonly params: Readonly<Record<string, string | undefined>> }
  }
  readonly decodeFlowedText: (text: string, withoutSpaces: boolean) => string
  getTextContent: (this: Part) => string
}

interface Parser {
  readonly root: object
  readonly attachments: ReadonlyArray<Attachment>
  collectAttachment: (this: Parser, part: Part, ...rest: ReadonlyArray<unknown>) => void
}

// The class hides them, and has them.
const parser = new PostalMime() as unknown as Parser
const parsers = PostalMime.prototype as unknown as Parser
const parts: Part = Object.getPrototypeOf(parser.root)

parts.getTextContent = function getTextContent() {
  if (this.content === null) return ""
  const bytes = new Uint8Array(this.content)
  const { params, value } = this.contentType.parsed
  const isUnclear = value === "text/html" && !Charset.isKnown(params["charset"])
  const text = Charset.decode(bytes, isUnclear ? Charset.declared(bytes) : params["charset"])
  return /^flowed$/i.test(params["format"] ?? "")
    ? this.decodeFlowedText(text, /^yes$/i.test(params["delsp"] ?? ""))
    : text
}

const charsets = new WeakMap<Attachment, string>()

const { collectAttachment } = parsers
parsers.collectAttachment = function collect(part, ...rest) {
  collectAttachment.call(this, part, ...rest)
  const attachment = this.attachments.at(-1)
  const { params, value } = part.contentType.parsed
  // The library gives calendars in UTF-8.
  const charset = value === "text/calendar" || value === "application/ics" ? "utf-8" : params["charset"]
  if (attachment !== undefined && charset !== undefined) charsets.set(attachment, charset)
}

/** Reads an email. Attached emails are attachments. Rejects if its parts nest too deeply, or its headers are too long. */
export const parse = (bytes: Uint8Array): Promise<Email> =>
  PostalMime.parse(bytes, { maxNestingDepth: 50, maxHeadersSize: 512 * 1024, rfc822Attachments: true })

/** The charset that the email declares for an attachment. */
export const charsetOf = (attachment: Attachment): string | undefined => charsets.get(attachment)
