/**
 * Encodes names and paths as external ids.
 *
 * A name on a file server is bytes; an external id is text. Bytes that are valid UTF-8 become that text. Any other byte
 * becomes `%XX` (two upper-case hexadecimal digits); it is always 80 or above, because lower bytes are ASCII. A `%` in
 * a name is ambiguous only before `25` or before the digits of such a byte: only there it becomes `%25`. `100%.txt` and
 * `a%20b.txt` stay as they are; a file whose name is the text `caf%E9` becomes `caf%25E9`, and the byte E9 becomes
 * `caf%E9`.
 *
 * Decoding restores the same bytes, so no two names share an id. An id that differs from the encoding of its own bytes
 * names no file.
 */
import { isUtf8 } from "node:buffer"
import { externalIdProblem } from "../../contract/Content.ts"

const escaped = /%(25|[89A-F][0-9A-F])/g
const ambiguousPercent = /%(?=25|[89A-F][0-9A-F])/g
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true })

/** A decoder that throws would need ten times as long for each byte that is not UTF-8. */
const decodeUtf8 = (bytes: Uint8Array): string | undefined => (isUtf8(bytes) ? utf8.decode(bytes) : undefined)

/** Returns the length of the valid UTF-8 sequence at `from`, or 0. */
const sequenceAt = (bytes: Uint8Array, from: number): number => {
  for (let length = 1; length <= 4 && from + length <= bytes.length; length++) {
    if (decodeUtf8(bytes.subarray(from, from + length)) !== undefined) return length
  }
  return 0
}

const escapePercent = (text: string): string => text.replace(ambiguousPercent, "%25")

/** Encodes a name's bytes as the text of an external id. */
export const encode = (bytes: Uint8Array): string => {
  const whole = decodeUtf8(bytes)
  if (whole !== undefined) return escapePercent(whole)
  let text = ""
  let start = 0
  const flush = (end: number) => {
    if (end > start) text += escapePercent(decodeUtf8(bytes.subarray(start, end)) ?? "")
  }
  for (let at = 0; at < bytes.length;) {
    const length = sequenceAt(bytes, at)
    if (length === 0) {
      flush(at)
      text += `%${(bytes[at] ?? 0).toString(16).toUpperCase()}`
      start = at + 1
    }
    at += length || 1
  }
  flush(bytes.length)
  return text
}

/** Returns the bytes of an encoded name or path. */
export const decode = (text: string): Uint8Array => {
  const parts: Array<Uint8Array> = []
  let start = 0
  for (const match of text.matchAll(escaped)) {
    parts.push(Buffer.from(text.slice(start, match.index), "utf8"), Uint8Array.of(Number.parseInt(match[1] ?? "", 16)))
    start = match.index + 3
  }
  parts.push(Buffer.from(text.slice(start), "utf8"))
  return Buffer.concat(parts)
}

/** Returns the decoded text, or undefined if its bytes are not UTF-8, because SFTP clients can't request such names. */
export const decodeText = (text: string): string | undefined => decodeUtf8(decode(text))

/** Returns why a listed name can't be used, or undefined. A name is one component of a path. */
export const nameProblem = (name: string): string | undefined => {
  if (name === "") return "its name is empty"
  if (name === "." || name === "..") return "its name points at a folder above it"
  if (name.includes("/")) return "its name holds a slash"
  if (name.includes("\0")) return "its name holds a NUL"
  return undefined
}

/**
 * Returns why an external id names no path below the root, or undefined. Called before any request, so that an id that
 * leaves the root never reaches the server.
 */
export const pathProblem = (id: string): string | undefined => {
  const problem = externalIdProblem(id)
  if (problem !== undefined) return problem
  for (const name of id.split("/")) {
    const problem = nameProblem(name)
    if (problem !== undefined) return `a path below the root has plain names between single slashes: ${problem}`
  }
  const canonical = encode(decode(id))
  return canonical === id ? undefined : `this path is written ${JSON.stringify(canonical)}`
}

/** Returns the id of `name` in `folder`; the root is the empty text. */
export const join = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`)

/** Splits a path into its folder and its last name. */
export const split = (path: string): { readonly folder: string; readonly name: string } => {
  const slash = path.lastIndexOf("/")
  return slash < 0 ? { folder: "", name: path } : { folder: path.slice(0, slash), name: path.slice(slash + 1) }
}
