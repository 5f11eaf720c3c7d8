/** Turns bytes into text, in the process that reads them. Each format's reader is loaded when a file needs it. */
import { Unreadable } from "./Archive.ts"
import * as Charset from "../../mail/Charset.ts"
import * as Format from "./Format.ts"
import type { AttachmentHeader } from "./Mail.ts"
import { cut, tidy } from "./TextBuilder.ts"

/**
 * The version of the extractor. Increase it when an extractor reads more, or reads differently: then files that an
 * earlier version has read are extracted again.
 */
export const version = 3

/** The most characters of text of one file or attachment. */
export const mostText = 500_000

/** The most characters of text of one content: an email together with its attachments. */
export const mostTexts = 2_000_000

/** How deeply nested emails are read. Deeper ones are only listed. */
const deepest = 3

/** Why a file has no text. */
type Reason =
  /** No reader supports this format, or it has no text (pictures, sound). */
  | "unsupported"
  /** The file is protected by a password. */
  | "encrypted"
  /** The file is not what it claims to be, or was cut short. */
  | "damaged"
  /** The file is larger than the limit, or inflates to more than the limit. */
  | "too-large"
  /** Reading it took too long, or too much memory. */
  | "time"
  | "memory"

export interface Text {
  /** The format that was read: `mail`, `pdf`, `docx`, … */
  readonly format: string
  readonly text: string | null
  readonly truncated: boolean
  readonly reason: Reason | null
  /** The reason in words. */
  readonly message: string | null
}

/** An attachment of an email, and its text. */
export interface Part extends Text, AttachmentHeader {}

export interface Question extends Format.Hints {
  readonly bytes: Uint8Array
  /** True if the bytes are only the beginning of the file, which is enough for formats of plain text. */
  readonly cut: boolean
  /** The first attachment to read. Those before it were tried already. */
  readonly fromPart: number
  /** The most characters of all texts in the result. */
  readonly room: number
}

/** A partial result: first the text with the list of attachments, then the text of each attachment. */
export type Partial =
  | { readonly _tag: "text"; readonly text: Text; readonly parts: ReadonlyArray<Part> }
  | { readonly _tag: "part"; readonly part: Part }

export const withoutText = (format: string, reason: Reason, message: string): Text => ({
  format,
  text: null,
  truncated: false,
  reason,
  message
})

const withText = (
  format: string,
  { text, truncated }: { readonly text: string; readonly truncated: boolean }
): Text => ({
  format,
  text,
  truncated,
  reason: null,
  message: null
})

/** An email whose text is read, and whose attachments are read on demand. */
interface Mail {
  readonly text: Text
  readonly parts: ReadonlyArray<Part>
  /** Reads an attachment by its index in `parts`, up to `room` characters. Equal attachments are read once. */
  readonly read: (index: number, room: number) => Promise<Part>
}

/** Reads an email without its attachments. `isCut`: the bytes are the beginning of a longer email. */
export const mail = async (bytes: Uint8Array, most: number, depth: number, isCut = false): Promise<Mail> => {
  const Mail = await import("./Mail.ts")
  const email = await Mail.read(bytes, most, isCut)
  const texts = new Map<string, Text>()
  return {
    text: withText("mail", email),
    parts: email.attachments.map(({ bytes: _bytes, charset: _charset, ...rest }) => ({ ...rest, ...unread })),
    read: async (index, room) => {
      const attachment = email.attachments[index]
      if (attachment === undefined) throw new RangeError(`there is no attachment ${index}`)
      const { bytes: content, charset, ...rest } = attachment
      if (rest.sha256 === null)
        return { ...rest, ...withoutText("", "too-large", "the email is too large, so it is not read") }
      if (room <= 0)
        return { ...rest, ...withoutText("", "too-large", "the texts of the email before it are too long") }
      const mediaType = charset === undefined ? rest.mediaType : `${rest.mediaType}; charset=${charset}`
      const hints = { mediaType, fileName: rest.fileName ?? undefined }
      const key = `${rest.sha256} ${Format.of(content, hints)} ${mediaType}`
      const all = texts.get(key) ?? (await text(content, hints, false, depth + 1))
      texts.set(key, all)
      const isLonger = (all.text?.length ?? 0) > room
      return { ...rest, ...all, ...(isLonger ? { text: cut(all.text ?? "", room), truncated: true } : {}) }
    }
  }
}

const unread: Text = { format: "", text: null, truncated: false, reason: null, message: null }

/** Reads the text of one file. For an email, the text includes its attachments. */
export const text = async (bytes: Uint8Array, hints: Format.Hints, isCut: boolean, depth = 0): Promise<Text> => {
  const format = Format.of(bytes, hints)
  try {
    return await byFormat[format](bytes, hints, isCut, depth)
  } catch (error) {
    return error instanceof Unreadable
      ? withoutText(format, error.reason, error.message)
      : withoutText(format, "damaged", "it is damaged, or of another type than it claims")
  }
}

type Reader = (bytes: Uint8Array, hints: Format.Hints, isCut: boolean, depth: number) => Promise<Text>

const decoded = (bytes: Uint8Array, { mediaType }: Format.Hints, isCut: boolean): string => {
  const charset = Charset.ofMediaType(mediaType)
  return Charset.decode(bytes, Charset.isKnown(charset) ? charset : Charset.declared(bytes), isCut)
}

/** Reads a text format, of which a truncated file is still readable. */
const textual =
  (format: string, read: (source: string) => Promise<{ readonly text: string; readonly truncated: boolean }>): Reader =>
  async (bytes, hints, isCut) => {
    const result = await read(decoded(bytes, hints, isCut))
    return withText(format, { ...result, truncated: result.truncated || isCut })
  }

/** Reads a format that needs all bytes. */
const whole =
  (format: string, read: Reader): Reader =>
  async (bytes, hints, isCut, depth) =>
    isCut ? withoutText(format, "too-large", "it is too large to be read") : await read(bytes, hints, isCut, depth)

const byFormat: Readonly<Record<Format.Format, Reader>> = {
  text: textual("text", async (source) => ({ text: tidy(cut(source, mostText)), truncated: source.length > mostText })),
  html: textual("html", async (source) => (await import("./Markup.ts")).html(source, mostText)),
  xml: textual("xml", async (source) => (await import("./Markup.ts")).xml(source, mostText)),
  calendar: textual("calendar", async (source) => (await import("./ContentLines.ts")).contentLines(source, mostText)),
  vcard: textual("vcard", async (source) => (await import("./ContentLines.ts")).contentLines(source, mostText)),
  pdf: whole("pdf", async (bytes) => withText("pdf", await (await import("./Pdf.ts")).read(bytes, mostText))),
  zip: whole("zip", async (bytes) => {
    const { kind, ...result } = (await import("./Office.ts")).read(bytes, mostText)
    return withText(kind, result)
  }),
  mail: async (bytes, _hints, isCut, depth) => {
    if (depth > deepest) return withoutText("mail", "unsupported", `it is nested deeper than ${deepest} emails`)
    const email = await mail(bytes, mostText, depth, isCut)
    const pieces = [(await import("./Mail.ts")).head(bytes), email.text.text ?? ""]
    let length = pieces.join("").length
    let isWhole = !email.text.truncated
    for (const [index, { fileName }] of email.parts.entries()) {
      if (length >= mostText) break
      const part = await email.read(index, mostText)
      const piece = [fileName ?? "", part.text ?? ""].filter((each) => each !== "").join("\n")
      isWhole &&= !part.truncated
      length += piece.length
      pieces.push(piece)
    }
    const all = pieces.filter((piece) => piece !== "").join("\n\n")
    return withText("mail", { text: cut(all, mostText), truncated: !isWhole || all.length > mostText })
  },
  ole: async () =>
    withoutText("ole", "unsupported", "it is a binary Office file from before 2007, or an encrypted one"),
  rtf: async () => withoutText("rtf", "unsupported", "rich text (RTF) is not read"),
  binary: async (_bytes, { mediaType }) =>
    withoutText(
      "binary",
      "unsupported",
      `it holds no text${mediaType === undefined ? "" : ` (${tidy(cut(mediaType, 100))})`}`
    )
}
