/** Decodes text in any charset: header fields, bodies, attachments and files. */
import iconv from "iconv-lite"

const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lossyUtf8 = new TextDecoder("utf-8", { ignoreBOM: true })
const windows1252 = new TextDecoder("windows-1252")

/** Returns the charset of a byte order mark; undefined without one. */
const ofMark = (bytes: Uint8Array): string | undefined => {
  const [first, second, third] = bytes
  if (first === 0xef && second === 0xbb && third === 0xbf) return "utf-8"
  if (first === 0xff && second === 0xfe) return "utf-16le"
  if (first === 0xfe && second === 0xff) return "utf-16be"
  return undefined
}

/** Returns the charset that an HTML or XML document declares in its first kilobyte. */
export const declared = (bytes: Uint8Array): string | undefined => {
  const head = Buffer.from(bytes.subarray(0, 1024)).toString("latin1")
  return (
    /<meta\s[^>]*charset\s*=\s*["']?([\w.:-]{1,40})/i.exec(head)?.[1] ??
    /^\s*<\?xml\s[^>]*encoding\s*=\s*["']([\w.:-]{1,40})/i.exec(head)?.[1]
  )
}

export const ofMediaType = (mediaType: string | undefined): string | undefined =>
  /;\s*charset\s*=\s*"?([\w.:-]{1,40})/i.exec(mediaType ?? "")?.[1]

/** Matches labels that say nothing about bytes above 127, and codecs of iconv-lite that are not charsets. */
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

/** Returns the usual label of a charset that mail programs label in another way. */
const usual = (label: string): string =>
  label
    .replace(/^(?:x-ms-|x-|cs|unicode-1-1-)/, "")
    .replace(/^iso-?2022-?jp.*|^junet$/, "iso-2022-jp")
    .replace(/^iso-?8859-?8-?[ie]$/, "iso-8859-8")

/** The decoders by label. Only those of known labels are kept. */
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

/** Returns true for a charset that can be decoded, and that is not vague. */
export const isKnown = (charset: string | undefined): boolean => decoderOf(charset) !== undefined

/** Removes an incomplete last character from UTF-8. */
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

/** Returns the number of characters beyond ASCII for each character that could not be decoded. */
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

/** Returns true for a charset whose texts are mostly valid UTF-8 too, with another meaning. */
const isOpaque = (bytes: Uint8Array, label: string): boolean =>
  /^utf-?(?:16|32)|^ucs-?2/i.test(label)
    ? bytes.includes(0) || asUtf8(bytes) === undefined
    : /^(?:iso-?2022|hz|junet|(?:unicode-1-1-)?utf-?7)/i.test(label) && bytes.every((byte) => byte < 128)

/**
 * Decodes text: by the byte order mark; else as UTF-8 if the bytes are valid; else in the declared charset; else as
 * windows-1252. UTF-8 with a few bad bytes stays UTF-8, without these bytes. An unknown charset is ignored. `cut`: the
 * bytes are the beginning of a longer text.
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

/** Decodes an encoded word in the charset that it names, whatever else the bytes may be. */
export const decodeWord = (bytes: Uint8Array, charset: string): string =>
  decoderOf(charset)?.(bytes) ?? decode(bytes, undefined)
