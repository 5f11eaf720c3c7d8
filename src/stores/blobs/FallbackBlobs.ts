/** A store of large bodies that reads missing bodies from an earlier store. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { BlobStore } from "../Blobs.ts"

type Blobs = BlobStore["Service"]

/**
 * Makes a store that writes to `first`, and also reads from `second`, which an earlier setting wrote to. A blob in both
 * is one blob: it is read from `first`, listed once, and removed only if no copy of it is left. Blobs may move from
 * `second` to `first` meanwhile: a blob that has disappeared from `second` is looked up in `first` once more.
 */
export const make = (first: Blobs, second: Blobs): Blobs => {
  const has = (hash: string) =>
    Effect.gen(function* () {
      return (yield* first.has(hash)) || (yield* second.has(hash)) || (yield* first.has(hash))
    })
  return {
    write: first.write,
    read: (hash, range) =>
      Stream.unwrap(
        Effect.map(first.has(hash), (found) => {
          if (found) return first.read(hash, range)
          let at = range?.start ?? 0
          const old = Stream.tap(second.read(hash, range), (bytes) => Effect.sync(() => void (at += bytes.byteLength)))
          return Stream.catch(old, (error) =>
            Stream.unwrap(
              Effect.map(first.has(hash), (moved) =>
                moved ? first.read(hash, { start: at, end: range?.end ?? Number.MAX_SAFE_INTEGER }) : Stream.fail(error)
              )
            )
          )
        })
      ),
    has,
    remove: Effect.fnUntraced(function* (hash, untouchedFor) {
      const removed = [yield* first.remove(hash, untouchedFor), yield* second.remove(hash, untouchedFor)]
      return removed.includes(true) && !(yield* has(hash))
    }),
    list: Stream.concat(
      first.list,
      Stream.filterEffect(second.list, ({ hash }) => Effect.map(first.has(hash), (found) => !found))
    ),
    sweep: Effect.andThen(first.sweep, second.sweep)
  }
}
