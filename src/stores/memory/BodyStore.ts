/** Bodies in memory, by their hash. */
import * as Clock from "effect/Clock"
import * as Stream from "effect/Stream"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type BlobStore, bytesInRange } from "../Blobs.ts"
import { absent, BodyStore, shortestUntouched } from "../../engine/store/BodyStore.ts"
import type { State } from "./State.ts"

const named = (state: State) => {
  const hashes = new Set<string | null>()
  for (const { contents } of state.connections.values()) for (const { hash } of contents.values()) hashes.add(hash)
  return hashes
}
/** Removes the given bodies that no content refers to. */
export const dropUnnamed = Effect.fnUntraced(function* (
  state: State,
  blobs: BlobStore["Service"],
  hashes: Iterable<string | null>
) {
  const still = named(state)
  let bodies = 0
  let bytes = 0
  for (const hash of new Set(hashes)) {
    if (hash === null) continue
    const body = state.bodies.get(hash)
    if (body === undefined || still.has(hash)) continue
    state.bodies.delete(hash)
    bodies += 1
    bytes += body.size
    if (body.bytes === null) yield* blobs.remove(hash, Duration.zero)
  }
  return { bodies, bytes }
})
const make = (state: State, blobs: BlobStore["Service"]): BodyStore["Service"] => ({
  body: (hash, range) =>
    Stream.suspend(() => {
      const body = state.bodies.get(hash.toLowerCase())
      if (body === undefined) return Stream.fail(absent(hash))
      return body.bytes === null ? blobs.read(hash, range) : Stream.succeed(bytesInRange(body.bytes, range))
    }),

  writeBlob: blobs.write,

  collectBodies: Effect.fnUntraced(function* (untouchedFor) {
    const untouched = Duration.max(untouchedFor, shortestUntouched)
    const before = (yield* Clock.currentTimeMillis) - Duration.toMillis(untouched)
    const still = named(state)
    const unused = [...state.bodies].filter(([hash, { touchedAt }]) => !still.has(hash) && touchedAt < before)
    for (const [hash] of unused) state.bodies.delete(hash)
    yield* Stream.runForEach(blobs.list, ({ hash }) =>
      state.bodies.has(hash) ? Effect.void : blobs.remove(hash, untouched)
    )
    return unused.length
  })
})

export const layer = (state: State, blobs: BlobStore["Service"]): Layer.Layer<BodyStore> =>
  Layer.succeed(BodyStore, make(state, blobs))
