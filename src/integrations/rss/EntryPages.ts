/**
 * Passes entries from the worker process that reads a feed. A page stays packed until it is needed: unpacking all
 * entries of a large feed at once would block the main thread.
 */
import * as DateTime from "effect/DateTime"
import { deserialize, serialize } from "node:v8"
import type { Content, Ref } from "../../contract/Content.ts"

export interface Entry extends Ref {
  readonly revision: string
  readonly content: Content
}

/** The most entries of one page. */
export const maxEntries = 500

/** Times are milliseconds, because instances of classes can't be transferred. */
interface Packed extends Omit<Entry, "content"> {
  readonly content: Omit<Content, "occurredAt">
  readonly at: number | undefined
}

export const pack = (entries: ReadonlyArray<Entry>): ReadonlyArray<Uint8Array> =>
  Array.from({ length: Math.ceil(entries.length / maxEntries) }, (_, index) => {
    const page = entries
      .slice(index * maxEntries, (index + 1) * maxEntries)
      .map(({ content: { occurredAt, ...content }, ...ref }): Packed => {
        return { ...ref, content, at: occurredAt === undefined ? undefined : DateTime.toEpochMillis(occurredAt) }
      })
    return serialize(page)
  })

export const unpack = (page: Uint8Array): ReadonlyArray<Entry> => {
  // Our own worker packed it.
  const entries = deserialize(page) as ReadonlyArray<Packed>
  return entries.map(({ at, content, ...ref }) => ({
    ...ref,
    content: { ...content, occurredAt: at === undefined ? undefined : DateTime.makeUnsafe(at) }
  }))
}
