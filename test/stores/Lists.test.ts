/** Lists over many rows: a page that searches for rare content ends early, and the next page continues. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { ContentPlace } from "../../src/engine/model/Content.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { connect } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))

it.layer(layer)("a list of 50,001 rows", (it) => {
  for (const order of ["id", "newest"] as const) {
    it.effect(`finds what is rare over pages that each look at a part, by ${order}`, () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const store = yield* WholeStore
        const { id } = yield* connect()
        yield* sql`INSERT INTO content (connection_id, external_id, state, kind, title, occurred_at, created_at,
            updated_at)
          SELECT ${id}::uuid, lpad(i::text, 6, '0'), 'stored', CASE i % 25000 WHEN 0 THEN 'rare' ELSE 'common' END,
            CASE i % 25000 WHEN 0 THEN 'a Needle' ELSE 'hay' END, timestamptz '2026-01-01' + i * interval '1 second',
            now(), now()
          FROM generate_series(0, 50000) AS i`
        const expected = order === "id" ? ["000000", "025000", "050000"] : ["050000", "025000", "000000"]
        for (const filter of [{ text: "nEEDLE" }, { kind: "rare" }]) {
          const found: Array<string> = []
          const sizes: Array<number> = []
          let after: ContentPlace | undefined
          do {
            const { contents, next } = yield* store.contents(id, {
              state: "stored",
              order,
              limit: 10,
              after,
              ...filter
            })
            found.push(...contents.map((row) => row.externalId))
            sizes.push(contents.length)
            after = next ?? undefined
          } while (after !== undefined)
          assert.deepStrictEqual(found, expected)
          assert.deepStrictEqual(sizes, [1, 1, 1])
        }
        const full = yield* store.contents(id, { state: "stored", order, limit: 3, kind: "rare" })
        assert.deepStrictEqual([full.contents.length, full.next === null], [1, false])
      })
    )
  }
})
