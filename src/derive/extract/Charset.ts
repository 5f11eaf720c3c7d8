/** Bytes of text as a string, in the charset that they are in. */
import iconv from "iconv-lite"

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

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

/** UTF-8 without the bytes of a last character that was cut off. */
const whole = (bytes: Uint8Array): Uint8Array => {
  for (let back = 1; back <= 3 && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return bytes
    if (byte >= 0xc0) return bytes.subarray(0, bytes.length - back)
  }
  return bytes
}

/**
 * Decodes by the byte order mark, else as UTF-8 where the bytes are valid as such, else in the charset that is
 * declared, else as windows-1252. A declared charset that nobody knows is as good as none. `cut` tells that the bytes
 * are the beginning of a longer text.
 */
export const decode = (bytes: Uint8Array, charset: string | undefined, cut = false): string => {
  const mark = ofMark(bytes)
  if (mark !== undefined) return iconv.decode(Buffer.from(bytes), mark)
  const isDoubleByte = /^utf-?(?:16|32)|^ucs-?2/i.test(charset ?? "")
  const isEscaped = /^(?:iso-2022|hz|utf-?7)/i.test(charset ?? "")
  if (!isDoubleByte && !isEscaped) {
    try {
      return utf8.decode(cut ? whole(bytes) : bytes)
    } catch {
      // In another charset.
    }
  }
  const known = charset !== undefined && iconv.encodingExists(charset) && !/^utf-?8$/i.test(charset)
  return iconv.decode(Buffer.from(bytes), known ? charset : "windows-1252")
}
