/** Reads the text of an email, and its attachments. */
import * as Crypto from "node:crypto"
import * as EmailParser from "../../mail/EmailParser.ts"
import * as Headers from "../../mail/Headers.ts"
import * as Markup from "./Markup.ts"
import { cut, tidy } from "./TextBuilder.ts"

/** The most attachments that are listed. */
const mostAttachments = 500

/** An attachment without its bytes. */
export interface AttachmentHeader {
  /** The number of the attachment, by which the API returns its bytes. */
  readonly part: number
  readonly fileName: string | null
  readonly mediaType: string
  /** The size in bytes; null if the attachment was cut off: of a large email, only the beginning is read. */
  readonly size: number | null
  /** The SHA-256 in hex; null if the attachment was cut off. */
  readonly sha256: string | null
  /** True if the email shows the attachment within its text, as a picture. */
  readonly inline: boolean
}

interface Attachment extends AttachmentHeader {
  readonly bytes: Uint8Array
  /** The charset that the email declares for the attachment. */
  readonly charset: string | undefined
}

interface Email {
  readonly text: string
  readonly truncated: boolean
  readonly attachments: ReadonlyArray<Attachment>
}

const bytesOf = (content: ArrayBuffer | Uint8Array | string): Uint8Array =>
  typeof content === "string"
    ? new TextEncoder().encode(content)
    : content instanceof Uint8Array
      ? content
      : new Uint8Array(content)

/**
 * Reads the plain text of an email, or else the text of its HTML, and its attachments. `isCut`: the bytes are the
 * beginning of a longer email.
 */
export const read = async (bytes: Uint8Array, most: number, isCut: boolean): Promise<Email> => {
  const parsed = await EmailParser.parse(bytes)
  const plain = tidy(cut(parsed.text ?? "", most))
  const found =
    plain !== "" || parsed.html === undefined
      ? { text: plain, truncated: (parsed.text ?? "").length > most }
      : Markup.html(parsed.html, most)
  return {
    text: found.text,
    truncated: found.truncated || isCut,
    attachments: parsed.attachments.slice(0, mostAttachments).map((attachment, part) => {
      const content = bytesOf(attachment.content)
      const isWhole = !isCut || !EmailParser.isLast(attachment)
      const name = tidy(attachment.filename ?? "").replaceAll(/\s+/g, " ")
      return {
        part,
        fileName: name === "" ? null : cut(name, 1000),
        mediaType: cut(attachment.mimeType.toLowerCase(), 200),
        size: isWhole ? content.length : null,
        sha256: isWhole ? Crypto.createHash("sha256").update(content).digest("hex") : null,
        inline: attachment.disposition === "inline" || attachment.related === true,
        bytes: content,
        charset: EmailParser.charsetOf(attachment)
      }
    })
  }
}

/** Returns the subject and the people of an email that is attached to another. */
export const head = (bytes: Uint8Array): string => {
  const { cc, from, subject, to } = Headers.read(bytes)
  const people = (list: ReadonlyArray<Headers.Mailbox> | undefined) =>
    (list ?? []).map(({ address, name }) => `${name} ${address}`.trim()).join(", ")
  return tidy(
    [subject ?? "", people(from === undefined ? [] : [from]), people(to), people(cc)]
      .filter((line) => line !== "")
      .join("\n")
  )
}
