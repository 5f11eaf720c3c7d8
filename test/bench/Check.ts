/**
 * Measures how fast the checker responds. Compares it with the same query sent directly with Idem's driver, with `pg`
 * and with `postgres`; with one query for each id; and with reading whole rows into a Set of their ids.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { texts } from "../../src/stores/postgres/Parameters.ts"
import { idOf } from "../support/InstantSource.ts"
import * as Drivers from "./Drivers.ts"
import { scaled } from "./Scale.ts"
import { median, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const sizes = [1_000_000, 10_000_000].map(scaled)
const pageSizes = [50, 500, 5000]
const inFlight = 16

const known = "state IN ('stored', 'failed', 'dead', 'deferred')"
const all = `SELECT external_id FROM content WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`
const one = `SELECT external_id FROM content WHERE connection_id = $1 AND external_id = $2 AND ${known}`
const rows = `SELECT * FROM content WHERE connection_id = $1 AND external_id = ANY($2::text[]) AND ${known}`

/** Even numbers are stored, so half of each page is known. */
const fill = Effect.fnUntraced(function* (id: ConnectionId, from: number, to: number) {
  const sql = yield* SqlClient.SqlClient
  const int8 = (value: number) => PgTypes.int8(BigInt(value))
  yield* sql`INSERT INTO content (connection_id, external_id, state, kind, title, metadata, created_at, updated_at)
    SELECT ${id}::uuid, 'message-' || lpad(i::text, 9, '0'), 'stored', 'message', 'Message ' || i,
      '{"threadId": "thread", "labels": {"INBOX": true}}', now(), now()
    FROM generate_series(${int8(2 * from)}::int8, ${int8(2 * to - 1)}::int8, 2) AS i`
  yield* sql`VACUUM ANALYZE content`.unprepared
})

const measure = Effect.fnUntraced(function* (
  id: ConnectionId,
  size: number,
  pageSize: number,
  drivers: Drivers.Drivers
) {
  const sql = yield* SqlClient.SqlClient
  const store = yield* WholeStore
  const context = yield* Effect.context<never>()
  const promise = <A, E>(effect: Effect.Effect<A, E>) => Effect.runPromiseWith(context)(effect)
  // The pages are not consecutive, like the pages of many connections.
  let turn = 0
  const nextPage = () => {
    turn = (turn + 7919) % Math.floor((2 * size) / pageSize)
    return Array.from({ length: pageSize }, (_, index) => idOf(turn * pageSize + index))
  }
  const many = (ask: () => Promise<unknown>) => () => Promise.all(Array.from({ length: inFlight }, ask))
  const checker = () => promise(store.existing(id, nextPage()))
  const bare = () => promise(sql.unsafe(all, [id, texts(nextPage())]).values)
  const pg = () => drivers.pg.query({ name: "all", text: all, values: [id, nextPage()], rowMode: "array" })
  const postgres = () => drivers.postgres.unsafe(all, [id, nextPage()], { prepare: true }).values()

  const alone = yield* Turns.rates(
    {
      checker,
      bare,
      pg,
      postgres,
      naive: () => drivers.pg.query({ name: "rows", text: rows, values: [id, nextPage()] }),
      // One query for each id is not realistic for larger pages.
      ...(pageSize > 500
        ? {}
        : {
            single: () =>
              promise(
                Effect.forEach(nextPage(), (externalId) => sql.unsafe(one, [id, externalId]).values, { discard: true })
              )
          })
    },
    { rounds: 7, millis: 250 }
  )
  const together = yield* Turns.rates(
    { checker: many(checker), bare: many(bare), pg: many(pg), postgres: many(postgres) },
    { rounds: 7, millis: 250 }
  )
  const ids = (rates: ReadonlyArray<number>, times = 1) => median(rates) * pageSize * times
  const beside = (what: string, name: keyof typeof alone, goal?: number): ReadonlyArray<Row> => {
    const theirs = alone[name]
    return theirs === undefined
      ? []
      : [
          {
            what: `  ${what}`,
            value: ids(theirs),
            unit: "ids/s",
            ratio: ratioOf(alone.checker, theirs),
            range: ratioRange(alone.checker, theirs),
            goal: goal === undefined ? undefined : { atLeast: goal }
          }
        ]
  }
  const besideTogether = (what: string, name: keyof typeof together, goal?: number): Row => ({
    what: `  ${what}`,
    value: ids(together[name], inFlight),
    unit: "ids/s",
    ratio: ratioOf(together.checker, together[name]),
    range: ratioRange(together.checker, together[name]),
    goal: goal === undefined ? undefined : { atLeast: goal }
  })
  const table = `${size.toLocaleString("en")} rows, pages of ${pageSize}`
  return [
    { what: `check: ${table}`, value: ids(alone.checker), unit: "ids/s" },
    ...beside("the driver's bare prepared query", "bare", 0.95),
    ...beside("pg", "pg"),
    ...beside("postgres", "postgres"),
    ...beside("one query per id", "single"),
    ...beside("whole rows, and a Set of their ids", "naive"),
    { what: `check: ${table}, ${inFlight} in flight`, value: ids(together.checker, inFlight), unit: "ids/s" },
    besideTogether("the driver's bare prepared query", "bare", 0.95),
    besideTogether("pg", "pg", 1),
    besideTogether("postgres", "postgres")
  ] satisfies ReadonlyArray<Row>
})

export const run = Effect.gen(function* () {
  const store = yield* WholeStore
  const drivers = yield* Drivers.make
  const { id } = yield* store.createConnection({
    name: "check",
    domain: "bench",
    account: "check",
    config: {},
    credentials: new Uint8Array(),
    every: Duration.hours(1)
  })
  const found: Array<Row> = []
  let filled = 0
  for (const size of sizes) {
    yield* fill(id, filled, size)
    filled = size
    for (const pageSize of pageSizes) found.push(...(yield* measure(id, size, pageSize, drivers)))
  }
  return found
})
