/** The rows that a commit writes to PostgreSQL. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Database from "../support/Postgres.ts"
import { item, page, row, running, settle } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))

/**
 * Returns the contents of this connection, each with the transaction that last wrote its row, so that any write is
 * visible.
 */
const versions = (id: string) =>
  SqlClient.SqlClient.use(
    (sql) => sql`SELECT external_id, xmin::text AS written, changed_xid::text AS changed FROM content
      WHERE connection_id = ${id} ORDER BY external_id`
  )

it.layer(layer, { excludeTestServices: true })("commits in Postgres", (it) => {
  it.effect("content that is the same again is not written, and a new revision alone announces no change", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      yield* commit({ items: [item("a"), item("b")] })
      const before = yield* versions(id)
      yield* commit({ items: [item("a"), item("b")] })
      assert.deepStrictEqual(yield* versions(id), before)
      yield* commit({ items: [item("a", { revision: "r2" })] })
      const [a, b] = yield* versions(id)
      assert.notStrictEqual(a?.["written"], before[0]?.["written"])
      assert.strictEqual(a?.["changed"], before[0]?.["changed"])
      assert.deepStrictEqual(b, before[1])
    })
  )

  it.effect("each announced change carries the transaction that made it", () =>
    Effect.gen(function* () {
      const { commit, fence, id } = yield* running()
      const changed = Effect.map(versions(id), ([first]) => BigInt(String(first?.["changed"])))
      const seen: Array<bigint> = []
      const after = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.andThen(
          effect,
          Effect.map(changed, (xid) => void seen.push(xid))
        )
      yield* after(commit({ items: [item("a")] }))
      yield* after(commit({ items: [item("a", { text: "other" })] }))
      yield* after(commit({ page: page({ patches: [{ externalId: "a", metadata: { n: 1 } }], deleted: ["a"] }) }))
      yield* after(settle(fence, { atMost: 9, share: 1 }))
      yield* after(commit({ items: [item("a")] }))
      assert.deepStrictEqual(
        seen,
        [...new Set(seen)].toSorted((x, y) => (x < y ? -1 : 1))
      )
      assert.strictEqual(seen.length, 5)
    })
  )

  it.effect("a batch as large as batches get is written, and read", () =>
    Effect.gen(function* () {
      const { commit, id } = yield* running()
      const large = (n: number) => new Uint8Array(4_000_000).fill(n)
      const { outcomes } = yield* commit({
        items: [item("a", { bytes: large(1) }), item("b", { bytes: large(2) })]
      })
      assert.strictEqual(outcomes.size, 2)
      assert.strictEqual((yield* row(id, "a")).size, 4_000_000)
    })
  )
})
