/** How fast the checker answers, beside the driver's bare prepared query and one query per id. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { Bench } from "tinybench"
import { Store } from "../../src/engine/Store.ts"
import { texts } from "../../src/stores/postgres/Sql.ts"
import { idOf } from "../support/InstantSource.ts"
import { median, type Row } from "./Table.ts"

const rows = 1_000_000
const pageSize = 500
const rounds = 9

export const run = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const store = yield* Store
  const context = yield* Effect.context<never>()
  const { id } = yield* store.createConnection({
    name: "check",
    domain: "bench",
    account: "check",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  yield* sql`INSERT INTO content (connection_id, external_id, state, metadata, created_at, updated_at)
    SELECT ${id}::uuid, 'message-' || lpad(i::text, 9, '0'), 'stored', '{}', now(), now()
    FROM generate_series(0, ${PgTypes.int8(BigInt(2 * rows - 1))}::int8, 2) AS i`
  yield* sql`VACUUM ANALYZE content`.unprepared

  // Half of each page is known (odd numbers are not); the pages jump about, as those of many connections do.
  let turn = 0
  const nextPage = () => {
    turn = (turn + 7919) % ((2 * rows) / pageSize)
    return Array.from({ length: pageSize }, (_, index) => idOf(turn * pageSize + index))
  }
  const known = "state IN ('stored', 'failed', 'dead', 'deferred')"
  const all = `SELECT external_id FROM content WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`
  const one = `SELECT external_id FROM content WHERE connection_id = $1 AND external_id = $2 AND ${known}`
  const bare = (page: ReadonlyArray<string>) => sql.unsafe(all, [id, texts(page)]).values
  const single = (page: ReadonlyArray<string>) =>
    Effect.forEach(page, (externalId) => sql.unsafe(one, [id, externalId]).values, { discard: true })
  const promise = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromiseWith(context)(effect)

  const bench = new Bench({ time: 500, warmupTime: 100 })
    .add("checker", () => promise(store.existing(id, nextPage())))
    .add("bare", () => promise(bare(nextPage())))
    .add("single", () => promise(single(nextPage())))
  // Short rounds in turn, and their medians: what else the machine does then falls on all of them.
  const found: Record<"checker" | "bare" | "single", Array<number>> = { checker: [], bare: [], single: [] }
  for (let round = 0; round < rounds; round += 1) {
    yield* Effect.promise(() => bench.run())
    for (const name of ["checker", "bare", "single"] as const) {
      const result = bench.getTask(name)?.result
      found[name].push(
        result !== undefined && "latency" in result ? (pageSize * 1000) / result.latency.p50 : Number.NaN
      )
    }
  }

  const beside = (what: string, name: "bare" | "single", goal: number): Row => ({
    what,
    perSecond: median(found[name]),
    ratio: median(found.checker.map((ours, round) => ours / (found[name][round] ?? Number.NaN))),
    goal
  })
  return [
    {
      what: `check: ids a second, pages of ${pageSize}, ${rows.toLocaleString("en")} rows, half known`,
      perSecond: median(found.checker)
    },
    beside("  the driver's bare prepared query", "bare", 0.9),
    beside("  one query per id", "single", 20)
  ]
})
