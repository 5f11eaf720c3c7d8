/** ZIP archives, of which no more is inflated than is asked for and allowed. */
import { unzipSync } from "fflate"

/** The bytes cannot be read, or reading them would take too much. The message says why, for people. */
export class Unreadable extends Error {
  readonly reason: "damaged" | "encrypted" | "too-large" | "unsupported"
  constructor(reason: Unreadable["reason"], message: string) {
    super(message)
    this.reason = reason
  }
}

/** Entries that are listed. */
const mostEntries = 10_000

/** Bytes that one archive may inflate to, together. */
const mostInflated = 64_000_000

export interface Entry {
  readonly name: string
  readonly size: number
}

/** The directory of an archive; nothing is inflated. */
export const list = (bytes: Uint8Array): { readonly entries: ReadonlyArray<Entry>; readonly truncated: boolean } => {
  const entries: Array<Entry> = []
  let count = 0
  read(bytes, ({ name, originalSize }) => {
    count += 1
    if (entries.length < mostEntries) entries.push({ name, size: originalSize })
    return false
  })
  return { entries, truncated: count > entries.length }
}

/**
 * The entries whose names are wanted. An entry gets the room that the directory names for it and no more, so an archive
 * that lies about a size yields an entry that is cut short.
 */
export const inflate = (bytes: Uint8Array, wanted: (name: string) => boolean): ReadonlyMap<string, Uint8Array> => {
  let total = 0
  const found = read(bytes, ({ name, originalSize }) => {
    if (!wanted(name)) return false
    total += originalSize
    if (total > mostInflated) {
      throw new Unreadable("too-large", `it inflates to more than ${mostInflated / 1_000_000} MB`)
    }
    return true
  })
  return new Map(Object.entries(found))
}

const read = (
  bytes: Uint8Array,
  filter: (entry: { readonly name: string; readonly originalSize: number }) => boolean
): Record<string, Uint8Array> => {
  try {
    return unzipSync(bytes, { filter })
  } catch (error) {
    if (error instanceof Unreadable) throw error
    throw new Unreadable("damaged", "it is no whole ZIP archive")
  }
}
