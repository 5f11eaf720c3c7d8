/** The stores and polls for tests of deletions. */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Integration from "../../../src/contract/Integration.ts"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import * as Blobs from "../../../src/stores/blobs/PostgresBlobs.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import * as Database from "../../support/Postgres.ts"
import { poll } from "../../support/TestEngine.ts"

const postgres = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provide(Database.layer), Layer.orDie)

export const stores = [
  ["memory", Memory.layer],
  ["PostgreSQL", postgres]
] as const

/** Polls in single slices until no work is left, and returns the number of deletions of each poll. */
export const polls = Effect.fnUntraced(function* (connection: Connection) {
  const deleted: Array<number> = []
  while (true) {
    const result = yield* poll(connection)
    assert.isNull(result.error)
    deleted.push(result.counts.deleted)
    if (result.next._tag !== "More") return deleted
  }
})

const Place = Schema.Struct({ pass: Schema.Int, at: Schema.Int })

/**
 * Lists 60 items below each of `a/` and `b/` in its first pass, and none in the second. Covers `a/` and `b/` one after
 * the other.
 */
export const inParts = Integration.make<object, { readonly token: string }, typeof Place.Type>({
  domain: "memory",
  config: Schema.Struct({}),
  credentials: Schema.Struct({ token: Schema.String }),
  checkpoint: Place,
  scope: [],
  quota: () => ({ unitsPerMinute: 1_000_000_000 }),
  open: () =>
    Effect.succeed({
      account: Effect.succeed("me"),
      estimate: Effect.succeed({ unitsPerItem: 1 }),
      download: () => Effect.die("each ref carries its content"),
      list: (_, checkpoint) => {
        const { at, pass } = Option.getOrElse(checkpoint, () => ({ pass: 1, at: 0 }))
        const parts = ["a/", "b/"].map((prefix, index) => {
          const listed = Array.from({ length: pass === 1 ? 60 : 0 }, (_, n) => ({
            externalId: `${prefix}${n}`,
            content: { kind: "file", metadata: {}, body: new Uint8Array([n]) }
          }))
          const covers = [{ prefix }]
          return { listed, download: listed, listing: `pass ${pass}`, covers, checkpoint: { pass, at: index + 1 } }
        })
        // The last page's checkpoint begins the second pass after the first one, and does not move after the second.
        const end = { pass: 2, at: pass === 1 ? 0 : 2 }
        const last = { listed: [], download: [], listing: `pass ${pass}`, complete: true, checkpoint: end }
        return Stream.fromIterable([...parts, last].slice(at))
      }
    })
})
