/** The stores and polls for tests of deletions. */
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
