/** Bytes of text as a string, in the charset that they are in: header fields, bodies, attachments and files. */
import iconv from "iconv-lite"

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true })
const windows1252 = new TextDecoder("windows-1252")

/** The charset that a byte order mark names. */
const ofMark = (bytes: Uint8Array): string | undefined => {
  const [first, second, third] = bytes
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8"
  if (first === 0xff && second === 0xfe) return "utf-16le"
  if (first === 0xfe && second === 0xff) return "utf-16be"
  return undefined
}

/** The charset that an HTML or XML document declares in its first kilobyte. */
export const declared = (bytes: Uint8Array): string | undefined => {
  const head = Buffer.from(bytes.subarray(0, 1024)).toString("latin1")
  return (
    /<meta\s[^>]*charset\s*=\s*["']?([\w.:-]{1,40})/i.exec(head)?.[1] ??
    /^\s*<\?xml\s[^>]*encoding\s*=\s*["']([\w.:-]{1,40})/i.exec(head)?.[1]
  )
}

export const ofMediaType = (mediaType: string | undefined): string | undefined =>
  /;\s*charset\s*=\s*"?([\w.:-]{1,40})/i.exec(mediaType ?? "")?.[1]

/** Labels that tell nothing of bytes above 127, and codecs of iconv-lite that are no charsets. */
const vague = /^(?:(?:us-?)?ascii|ansi_x3\.4-19\d\d|(?:x-)?unknown(?:-?8bit)?|[78]bit|binary|none|default|base64|hex)$/

type Decoder = (bytes: Uint8Array) => string

const ofTextDecoder = (label: string): Decoder | undefined => {
  try {
    const decoder = new TextDecoder(label)
    return (bytes) => decoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** The labels that mail programs write for a charset which `TextDecoder` or iconv-lite know by another one. */
const usual = (label: string): string =>
  label
    .replace(/^(?:x-ms-|x-|cs|unicode-1-1-)/, "")
    .replace(/^iso-?2022-?jp.*|^junet$/, "iso-2022-jp")
    .replace(/^iso-?8859-?8-?[ie]$/, "iso-8859-8")

/** Decoders of the labels that were met, of which only known ones are kept. */
const decoders = new Map<string, Decoder>()

const decoderOf = (label: string | undefined): Decoder | undefined => {
  const name = (label ?? "").trim().toLowerCase()
  if (name === "" || vague.test(name)) return undefined
  const common = usual(name)
  const found =
    decoders.get(name) ??
    ofTextDecoder(name) ??
    ofTextDecoder(common) ??
    (iconv.encodingExists(common) ? (bytes: Uint8Array) => iconv.decode(Buffer.from(bytes), common) : undefined)
  if (found !== undefined) decoders.set(name, found)
  return found
}

/** True for a charset that can be decoded, and that tells more than that the text has bytes. */
export const isKnown = (charset: string | undefined): boolean => decoderOf(charset) !== undefined

/** UTF-8 without the bytes of a last character that was cut off. */
const whole = (bytes: Uint8Array): Uint8Array => {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes
    if (byte >= 0xc0) return bytes.subarray(0, bytes.length - back)
  }
  return bytes
}

const asUtf8 = (bytes: Uint8Array): string | undefined => {
  try {
    return strictUtf8.decode(bytes)
  } catch {
    return undefined
  }
}

/** How many characters beyond ASCII the text has for each that could not be decoded. */
const quality = (text: string): number => {
  let good = 0
  let bad = 0
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if (code === 0xfffd) bad += 1
    else if (code > 127) good += 1
  }
  return good / bad
}

/** True for bytes of a charset whose texts are mostly valid UTF-8 too, and mean something else. */
const isOpaque = (bytes: Uint8Array, label: string): boolean =>
  /^utf-?(?:16|32)|^ucs-?2/i.test(label)
    ? bytes.includes(0) || asUtf8(bytes) === undefined
    : /^(?:iso-?2022|hz|junet|(?:unicode-1-1-)?utf-?7)/i.test(label) && bytes.every((byte) => byte < 128)

/**
 * Decodes by the byte order mark, else as UTF-8 where the bytes are valid as such, else in the charset that is
 * declared, else as windows-1252. UTF-8 with a few bad bytes stays UTF-8, and loses these. A declared charset that
 * nobody knows is as good as none. `cut` tells that the bytes are the beginning of a longer text.
 */
export const decode = (bytes: Uint8Array, charset: string | undefined, cut = false): string => {
  const mark = ofMark(bytes)
  if (mark !== undefined) return new TextDecoder(mark).decode(bytes)
  const decoder = decoderOf(charset)
  if (decoder !== undefined && charset !== undefined && isOpaque(bytes, charset)) return decoder(bytes)
  const all = cut ? whole(bytes) : bytes
  const valid = asUtf8(all)
  if (valid !== undefined) return valid
  const isUtf8 = /^utf-?8$/i.test(charset ?? "")
  const lossy = lossyUtf8.decode(all)
  // In a text of another charset, few bytes make a valid character by chance.
  if (quality(lossy) >= (isUtf8 ? 1 : 9)) return lossy
  const text = isUtf8 ? undefined : decoder?.(bytes)
  return text === undefined || quality(text) < 1 ? windows1252.decode(bytes) : text
}

/** Decodes in the charset that an encoded word names, whatever else the bytes may be. */
export const decodeWord = (bytes: Uint8Array, charset: string): string =>
  decoderOf(charset)?.(bytes) ?? decode(bytes, undefined)
