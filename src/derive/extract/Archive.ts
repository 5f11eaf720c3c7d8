/** Reads ZIP archives. Inflates only the entries that are asked for, up to a bound. */
import { unzipSync } from "fflate"

/** The bytes can't be read, or reading them would take too much. The message says why, for people. */
export class Unreadable extends Error {
  readonly reason: "damaged" | "encrypted" | "too-large" | "unsupported"
  constructor(reason: Unreadable["reason"], message: string) {
    super(message)
    this.reason = reason
  }
}

/** The most entries that are listed. */
const mostEntries = 10_000

/** The most bytes that the entries of one archive may inflate to, together. */
const mostInflated = 64_000_000

export interface Entry {
  readonly name: string
  readonly size: number
}

/** Reads the directory of an archive, without inflating anything. */
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
 * Inflates the entries whose names are wanted. An entry gets only as many bytes as the directory states, so an archive
 * with a false size yields a truncated entry.
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
    throw new Unreadable("damaged", "it is not a complete ZIP archive")
  }
}
