/**
 * Compares a single table of contents with the same rows in 16 partitions by the hash of the connection: 1,000
 * connections, one of which has a fifth of all rows; only connections that are removed have bodies. The full size takes
 * half an hour and 20 GB of disk.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ContentTable from "./ContentTable.ts"
import { scaled } from "./Scale.ts"
import { median, number, rangeOf, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const rows = scaled(10_000_000)
const partitions = 16
/** The number of rounds of slow operations. Each round removes a connection. */
const rounds = 3

const byHash = [
  ...ContentTable.withoutIndexes("PARTITION BY HASH (connection_id)"),
  ...Array.from(
    { length: partitions },
    (_, index) =>
      `CREATE TABLE content_${index} PARTITION OF content FOR VALUES WITH (MODULUS ${partitions}, REMAINDER ${index})`
  )
]

const decodeTables = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ name: Schema.String })))

const filled = Effect.fnUntraced(function* (database: ContentTable.ContentDatabase, makeTables: ReadonlyArray<string>) {
  const { sql } = database
  yield* ContentTable.fill(database, {
    rows,
    makeTables,
    columns: { title: "'Message ' || i", body_hash: "sha256(i::text::bytea)" }
  })
  yield* sql`INSERT INTO body (hash, size, bytes)
    SELECT body_hash, 100, convert_to(repeat('x', 100), 'UTF8')
    FROM content JOIN connection ON id = connection_id WHERE name::int = 0 OR name::int >= 900`
  const tables = yield* sql`SELECT coalesce(inhrelid, c.oid)::regclass::text AS name FROM pg_class AS c
    LEFT JOIN pg_inherits ON inhparent = c.oid WHERE c.oid = 'content'::regclass`
  return {
    ...(yield* ContentTable.opened(database, rows)),
    tables: (yield* Effect.orDie(decodeTables(tables))).map(({ name }) => name)
  }
})
type Filled = Effect.Success<ReturnType<typeof filled>>

/** Returns the seconds of a statement for each table: the sum, and the slowest. */
const eachTable = ({ sql, tables }: Filled, statement: (table: string) => string) =>
  Effect.map(
    Effect.forEach(tables, (table) => Turns.seconds(sql.unsafe(statement(table)).unprepared)),
    (seconds) => ({ sum: seconds.reduce((sum, one) => sum + one, 0), slowest: Math.max(...seconds) })
  )

const inTurns = <A, E, R>(measure: (round: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(
    Array.from({ length: rounds }, (_, round) => round),
    measure
  )

export const run = Effect.gen(function* () {
  const [one, hash] = yield* Effect.flatMap(ContentTable.withAnother("hashed"), ([one, hash]) =>
    Effect.all([filled(one, ContentTable.withoutIndexes("")), filled(hash, byHash)], { concurrency: 2 })
  )
  const found: Array<Row> = []
  const beside = (what: string, unit: string, ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>) =>
    found.push(
      { what: `partitions: ${what}`, value: median(ours), unit, range: rangeOf(ours) },
      { what: "  by hash", value: median(theirs), unit, ratio: ratioOf(theirs, ours), range: ratioRange(theirs, ours) }
    )

  for (const { name, one: ours, other } of yield* ContentTable.inTurn(one, hash)) beside(name, "ms", ours, other)

  const maintain = Effect.fnUntraced(function* (
    what: string,
    prepare: (round: number) => string,
    statement: (table: string, round: number) => string
  ) {
    const measure = (side: Filled, round: number) =>
      Effect.andThen(
        side.sql.unsafe(prepare(round)).unprepared,
        eachTable(side, (table) => statement(table, round))
      )
    const times = yield* inTurns((round) => Effect.all({ one: measure(one, round), hash: measure(hash, round) }))
    const ours = times.map((each) => each.one.sum)
    const slowest = times.map((each) => each.hash.slowest)
    beside(
      what,
      "s",
      ours,
      times.map((each) => each.hash.sum)
    )
    found.push({ what: "  its slowest partition", value: median(slowest), unit: "s", ratio: ratioOf(slowest, ours) })
  })
  yield* maintain(
    "VACUUM, 1 % of the rows deleted",
    (round) => `DO $$ BEGIN SET LOCAL enable_seqscan = on;
      DELETE FROM content WHERE right(external_id, 2) = '${17 + round}'; END $$`,
    (table) => `VACUUM ${table}`
  )
  yield* maintain(
    "a new index",
    () => "CHECKPOINT",
    (table, round) => `CREATE INDEX ON ${table} (connection_id, kind, (${round}))`
  )

  const removed = yield* inTurns((round) =>
    Effect.all({
      one: Turns.seconds(one.store.disconnect(one.id(900 + round), true)),
      hash: Turns.seconds(hash.store.disconnect(hash.id(900 + round), true))
    })
  )
  const small = `removing a connection of ${number((0.78 * rows) / (ContentTable.connections - 1), 0)} rows`
  beside(
    small,
    "s",
    removed.map((each) => each.one),
    removed.map((each) => each.hash)
  )
  const large = `partitions: removing a connection of ${number(0.2 * rows, 0)} rows`
  found.push({ what: large, value: yield* Turns.seconds(one.store.disconnect(one.id(0), true)), unit: "s" })
  // Creates a separate partition with the statements of docs/scale.md.
  const statements = {
    "moving its rows into a partition of its own": `WITH moved AS (DELETE FROM content
      WHERE connection_id = '${hash.id(0)}' RETURNING *) INSERT INTO content_large SELECT * FROM moved`,
    "dropping that partition": "DROP TABLE content_large"
  }
  yield* hash.sql`CREATE TABLE content_large (LIKE content INCLUDING ALL)`.unprepared
  for (const [what, statement] of Object.entries(statements)) {
    found.push({ what: `  ${what}`, value: yield* Turns.seconds(hash.sql.unsafe(statement).unprepared), unit: "s" })
  }
  return found
}).pipe(Effect.scoped)
