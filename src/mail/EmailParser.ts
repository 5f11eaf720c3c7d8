/**
 * Parses emails with their parts, with postal-mime. The library supports only the charsets of `TextDecoder`, always
 * trusts the declared charset, does not report that of an attachment, keeps an object for each line of a part, and
 * drops a multipart email whose parts can't be separated. So four methods of its parser, which its types hide, are
 * replaced. If another version of the library lacks one of these methods, the tests of emails fail.
 */
import PostalMime, { type Attachment, type Email } from "postal-mime"
import * as Charset from "./Charset.ts"

interface Part {
  readonly parentNode?: Part | undefined
  readonly childNodes: ReadonlyArray<Part>
  contentDecoder: unknown
  readonly content: ArrayBuffer | null
  readonly contentType: {
    multipart: string | false
    parsed: { readonly value: string; readonly params: Readonly<Record<string, string | undefined>> }
  }
  finalize: (this: Part) => Promise<void>
  readonly decodeFlowedText: (text: string, withoutSpaces: boolean) => string
  getTextContent: (this: Part) => string
  setupContentDecoder: (this: Part, encoding: string) => void
}

interface Parser {
  readonly root: object
  readonly attachments: ReadonlyArray<Attachment>
  collectAttachment: (this: Parser, part: Part, ...rest: ReadonlyArray<unknown>) => void
}

// The class has these members, but hides them in its types.
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

/** Decodes an unencoded part: collects its lines in one buffer that grows. */
class PlainDecoder {
  #bytes = new Uint8Array(1024)
  #length = 0

  update(line: Uint8Array): void {
    const end = this.#length + line.length + 1
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.length))
      larger.set(this.#bytes.subarray(0, this.#length))
      this.#bytes = larger
    }
    this.#bytes.set(line, this.#length)
    this.#bytes[end - 1] = 10
    this.#length = end
  }

  async finalize(): Promise<ArrayBuffer> {
    return this.#bytes.buffer.slice(0, this.#length)
  }
}

const { setupContentDecoder } = parts
parts.setupContentDecoder = function setup(encoding) {
  setupContentDecoder.call(this, encoding)
  if (!/base64|quoted-printable/i.test(encoding)) this.contentDecoder = new PlainDecoder()
}

// A multipart part whose boundary does not occur is treated as plain text, as in Python's `email.parser`.
const { finalize } = parts
parts.finalize = async function finalizeParts() {
  await finalize.call(this)
  if (this.contentType.multipart === false || this.childNodes.length > 0) return
  this.contentType.multipart = false
  this.contentType.parsed = { value: "text/plain", params: {} }
}

/** Returns true for the part in which the email ends. */
const isAtEnd = (part: Part): boolean =>
  part.parentNode === undefined || (part.parentNode.childNodes.at(-1) === part && isAtEnd(part.parentNode))

const last = new WeakSet<Attachment>()
const charsets = new WeakMap<Attachment, string>()

const { collectAttachment } = parsers
parsers.collectAttachment = function collect(part, ...rest) {
  collectAttachment.call(this, part, ...rest)
  const attachment = this.attachments.at(-1)
  const { params, value } = part.contentType.parsed
  // The library returns calendars in UTF-8.
  const charset = value === "text/calendar" || value === "application/ics" ? "utf-8" : params["charset"]
  if (attachment === undefined) return
  if (charset !== undefined) charsets.set(attachment, charset)
  if (isAtEnd(part)) last.add(attachment)
}

/**
 * Parses an email. Attached emails are attachments. Rejects if its parts nest too deeply, or its headers are too long.
 */
export const parse = (bytes: Uint8Array): Promise<Email> =>
  PostalMime.parse(bytes, { maxNestingDepth: 50, maxHeadersSize: 512 * 1024, rfc822Attachments: true })

/** Returns the charset that the email declares for an attachment. */
export const charsetOf = (attachment: Attachment): string | undefined => charsets.get(attachment)

/** Returns true for the attachment in which the email ends: if the email was cut off, it may be incomplete. */
export const isLast = (attachment: Attachment): boolean => last.has(attachment)
