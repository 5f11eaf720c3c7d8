/**
 * Names of exported files, made from external ids: safe on every system, and different for different ids.
 *
 * A name is the id with unsafe bytes percent-encoded (UTF-8): control characters, characters that Windows refuses, `%`
 * itself, a dot or space at the end, names of only dots, and the first letter of Windows' device names. So a name can
 * be decoded, and two ids never share one. A percent sign without two hex digits after it never occurs in an encoded
 * id, and marks special cases:
 *
 * - `%_` is an empty segment (`a//b`, or the leading slash of an absolute path);
 * - `%~` and 32 hex digits end a segment that was too long and was cut (SHA-256 of the whole segment);
 * - `%long/` and 64 hex digits replace a path that was too long as a whole;
 * - `%d` ends a folder whose name is also that of a file.
 *
 * Disks that treat `A` and `a` as the same name need more: see `Cases`.
 */
import { createHash } from "node:crypto"

/** The most bytes of an encoded segment, without its extension: systems allow 255, some encrypted disks 143. */
const maxSegment = 140
/** The most bytes of an encoded path: systems allow 4,096, including the path of the export's folder. */
const maxPath = 1500

const encoder = new TextEncoder()

// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u001f\u007f-\u009f"%*:<>?\\|/]/g
const device = /^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(?=$|[ .])/i

const percent = (text: string): string =>
  Array.from(encoder.encode(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join("")

const digest = (text: string): string => createHash("sha256").update(text).digest("hex")

const bytes = (text: string): number => encoder.encode(text).length

/** Encodes a segment of a path, or a whole id that becomes the name of one file. */
export const encodeSegment = (segment: string): string => {
  if (segment === "") return "%_"
  const encoded = (/^\.+$/.test(segment) ? percent(segment) : segment.replace(unsafe, percent))
    .replace(device, (name) => percent(name.charAt(0)) + name.slice(1))
    .replace(/[. ]$/, percent)
  if (bytes(encoded) <= maxSegment) return encoded
  // Cut between characters, and never inside an escape.
  const kept: Array<string> = []
  let length = 0
  for (const part of encoded.match(/%[0-9A-F]{2}|[^]/gu) ?? []) {
    length += bytes(part)
    if (length > maxSegment - 34) break
    kept.push(part)
  }
  return `${kept.join("")}%~${digest(segment).slice(0, 32)}`
}

/**
 * Returns the segments of the path of a file, relative to the export's folder. `shadowed` returns true for paths that
 * are themselves files.
 */
export const encodePath = (externalId: string, shadowed?: (path: string) => boolean): ReadonlyArray<string> => {
  const segments = externalId.split("/")
  const encoded = segments.map((segment, index) => {
    const name = encodeSegment(segment)
    const isFolder = index < segments.length - 1
    return isFolder && shadowed?.(segments.slice(0, index + 1).join("/")) === true ? `${name}%d` : name
  })
  return bytes(encoded.join("/")) <= maxPath ? encoded : ["%long", digest(externalId)]
}

/** Returns the paths above this id that could be ids of their own, the longest last. */
export const foldersOf = (externalId: string): ReadonlyArray<string> => {
  const segments = externalId.split("/")
  return segments.slice(0, -1).map((_, index) => segments.slice(0, index + 1).join("/"))
}

/** Normalizes a path like a disk that ignores the difference between `A` and `a`, and between the forms of `é`. */
const fold = (path: string): string => path.normalize("NFC").toUpperCase().toLowerCase().normalize("NFC")

/**
 * Assigns names on a disk that ignores case: the first id in the order of the export keeps its plain name, and a later
 * id with the same name gets a digest of its id. Needs about 200 bytes of memory an id.
 */
export class Cases {
  readonly #taken = new Map<string, string>()

  /** Returns the path, changed if another id already has it on such a disk. */
  place(path: ReadonlyArray<string>): ReadonlyArray<string> {
    const placed: Array<string> = []
    for (const [index, name] of path.entries()) {
      const parent = placed.join("/")
      // Contents of one folder share it, but two spellings of its name are two folders.
      const exact = digest(path.slice(0, index + 1).join("/")).slice(0, 16)
      const folded = digest(fold(`${parent}/${name}`)).slice(0, 16)
      const owner = this.#taken.get(folded)
      if (owner === undefined) this.#taken.set(folded, exact)
      placed.push(owner === undefined || owner === exact ? name : `${name}%~${exact}`)
    }
    return placed
  }
}
