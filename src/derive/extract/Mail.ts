/** The text of an email and its attachments. */
import * as Crypto from "node:crypto"
import * as EmailParser from "../../mail/EmailParser.ts"
import * as Headers from "../../mail/Headers.ts"
import * as Markup from "./Markup.ts"
import { cut, tidy } from "./TextBuilder.ts"

/** Attachments that are listed. */
const mostAttachments = 500

/** An attachment without its bytes. */
export interface AttachmentHeader {
  /** Its number, by which the API gives its bytes. */
  readonly part: number
  readonly fileName: string | null
  readonly mediaType: string
  readonly size: number
  /** In hex. */
  readonly sha256: string
  /** The email shows it in its text, as a picture. */
  readonly inline: boolean
}

interface Attachment extends AttachmentHeader {
  readonly bytes: Uint8Array
  /** The charset that the email declares for it. */
  readonly charset: string | undefined
}

export interface Email {
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

/** Its plain text, or else the text of its HTML, below the fields that a nested email is known by. */
export const read = async (bytes: Uint8Array, most: number): Promise<Email> => {
  const parsed = await EmailParser.parse(bytes)
  const plain = tidy(cut(parsed.text ?? "", most))
  const found =
    plain !== "" || parsed.html === undefined
      ? { text: plain, truncated: (parsed.text ?? "").length > most }
      : Markup.html(parsed.html, most)
  return {
    ...found,
    attachments: parsed.attachments.slice(0, mostAttachments).map((attachment, part) => {
      const content = bytesOf(attachment.content)
      const name = tidy(attachment.filename ?? "").replaceAll(/\s+/g, " ")
      return {
        part,
        fileName: name === "" ? null : cut(name, 1000),
        mediaType: cut(attachment.mimeType.toLowerCase(), 200),
        size: content.length,
        sha256: Crypto.createHash("sha256").update(content).digest("hex"),
        inline: attachment.disposition === "inline" || attachment.related === true,
        bytes: content,
        charset: EmailParser.charsetOf(attachment)
      }
    })
  }
}

/** Subject and people of an email that is attached to another. */
export const head = async (bytes: Uint8Array): Promise<string> => {
  const { cc, from, subject, to } = await Headers.read(bytes)
  const people = (list: ReadonlyArray<Headers.Mailbox> | undefined) =>
    (list ?? []).map(({ address, name }) => `${name} ${address}`.trim()).join(", ")
  return tidy(
    [subject ?? "", people(from === undefined ? [] : [from]), people(to), people(cc)]
      .filter((line) => line !== "")
      .join("\n")
  )
}
