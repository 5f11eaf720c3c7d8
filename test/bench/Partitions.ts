/**
 * Compares a single table of contents with the same rows in 16 partitions by the hash of the connection: 1,000
 * connections, one of which has a fifth of all rows. The rows are narrow, and in the order in which polls would add
 * them; only connections that are removed have bodies. The full size takes half an hour and 20 GB of disk.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { fromContext, WholeStore } from "../../src/testing/WholeStore.ts"
import { idOf } from "../support/InstantSource.ts"
import { Server } from "./Database.ts"
import { batchOf } from "./Growth.ts"
import { scaled } from "./Scale.ts"
import { median, number, rangeOf, ratioOf, ratioRange, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const rows = scaled(10_000_000)
const rowsAtOnce = 1_000_000
const connections = 1000
const partitions = 16
/** The number of connections that are synced in turn: the large one and some of the others. */
const synced = 20
/** The number of rounds of slow operations. Each round removes a connection. */
const rounds = 3

/**
 * Returns statements that replace the table of contents with one without indexes, because indexes are built faster
 * after all rows are inserted.
 */
const withoutIndexes = (partitioning: string) => [
  "ALTER TABLE content RENAME TO content_before",
  `CREATE TABLE content (LIKE content_before INCLUDING ALL EXCLUDING INDEXES) ${partitioning}`
]

const byHash = [
  ...withoutIndexes("PARTITION BY HASH (connection_id)"),
  ...Array.from(
    { length: partitions },
    (_, index) =>
      `CREATE TABLE content_${index} PARTITION OF content FOR VALUES WITH (MODULUS ${partitions}, REMAINDER ${index})`
  )
]

const makeIndexes = `DO $$
DECLARE one record;
BEGIN
  FOR one IN SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'content_before' LOOP
    EXECUTE format('ALTER INDEX %I RENAME TO %I', one.indexname, one.indexname || '_before');
    IF one.indexname = 'content_pkey' THEN
      ALTER TABLE content ADD PRIMARY KEY (connection_id, external_id) INCLUDE (state);
    ELSE
      EXECUTE replace(one.indexdef, '.content_before ', '.content ');
    END IF;
  END LOOP;
  DROP TABLE content_before;
END $$`

/** Returns the connection of row `i`. The large connection is 0. */
const connectionOf = (i: number): number => (i % 5 === 0 ? 0 : 1 + (i % (connections - 1)))
const connectionInSql = `CASE WHEN i % 5 = 0 THEN 0 ELSE 1 + i % ${connections - 1} END`

const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: ConnectionId })))
const decodeTables = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ name: Schema.String })))
const decodeTransaction = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ xid: Schema.BigIntFromString })]))

interface Contents {
  readonly sql: SqlClient.SqlClient
  readonly store: WholeStore
}

const fill = Effect.fnUntraced(function* ({ sql, store }: Contents, makeTables: ReadonlyArray<string>) {
  const int8 = (value: number) => PgTypes.int8(BigInt(value))
  yield* sql.withTransaction(Effect.forEach(makeTables, (statement) => sql.unsafe(statement).unprepared))
  yield* sql`INSERT INTO connection (id, name, domain, account, config, every_ms)
    SELECT md5('connection ' || i)::uuid, lpad(i::text, 4, '0'), 'bench', 'bench', '{}', 3600000
    FROM generate_series(0, ${connections - 1}::int) AS i`
  for (let from = 0; from < rows; from += rowsAtOnce) {
    yield* sql`INSERT INTO content (connection_id, external_id, state, kind, title, body_hash, occurred_at, created_at,
        updated_at, changed_xid, change)
      SELECT md5('connection ' || ${sql.literal(connectionInSql)})::uuid, 'message-' || lpad(i::text, 9, '0'), 'stored',
        'message', 'Message ' || i, sha256(i::text::bytea), now() - i * interval '1 minute', now(), now(),
        pg_current_xact_id(), 'stored'
      FROM generate_series(${int8(from)}::int8, ${int8(Math.min(from + rowsAtOnce, rows) - 1)}::int8) AS i`
  }
  yield* sql.unsafe(makeIndexes).unprepared
  const ids = (yield* Effect.orDie(decodeIds(yield* sql`SELECT id FROM connection ORDER BY name`))).map(({ id }) => id)
  const id = (connection: number) => ids[connection] ?? ConnectionId.make("")
  yield* sql`INSERT INTO body (hash, size, bytes)
    SELECT body_hash, 100, convert_to(repeat('x', 100), 'UTF8')
    FROM content JOIN connection ON id = connection_id WHERE name::int = 0 OR name::int >= 900`
  yield* sql`VACUUM ANALYZE`.unprepared
  yield* sql`CHECKPOINT`.unprepared
  const runs = yield* Effect.forEach(
    Array.from({ length: synced }, (_, connection) => connection),
    Effect.fnUntraced(function* (connection) {
      const taken = yield* store.acquire(id(connection), { holder: "bench", ttl: Duration.hours(5) })
      if (taken._tag === "None") return yield* Effect.die(new Error("not taken"))
      const fence = { connectionId: id(connection), fence: taken.value.fence }
      const runId = RunId.make(`run ${connection}`)
      yield* store.beginRun(fence, { runId, taskId: undefined })
      return { fence, runId }
    })
  )
  const tables = yield* sql`SELECT coalesce(inhrelid, c.oid)::regclass::text AS name FROM pg_class AS c
    LEFT JOIN pg_inherits ON inhparent = c.oid WHERE c.oid = 'content'::regclass`
  const [{ xid }] = yield* Effect.orDie(
    decodeTransaction(yield* sql`SELECT changed_xid::text AS xid FROM content LIMIT 1`)
  )
  return { sql, store, id, runs, tables: (yield* Effect.orDie(decodeTables(tables))).map(({ name }) => name), xid }
})
type Filled = Effect.Success<ReturnType<typeof fill>>

/** The frequent operations. Each call concerns another row's connection: in a fifth of the calls, the large one. */
const operations = ({ id, runs, store, xid }: Filled) => {
  let row = 0
  const next = () => (row = (row + 7919) % rows)
  return {
    "a page's check of 500 ids": () => {
      const connection = connectionOf(next())
      const step = connection === 0 ? 5 : connections - 1
      const first = (row % step) + step * Math.floor(row / step / 2)
      return store.existing(
        id(connection),
        Array.from({ length: 500 }, (_, index) => `${idOf(first + step * index)}${index % 2 === 0 ? "" : "?"}`)
      )
    },
    "a commit of 100 new items of 200 bytes": () => {
      const { fence, runId } = runs[next() % 5 === 0 ? 0 : row % runs.length] ?? (runs[0] as (typeof runs)[number])
      return store.commit(fence, batchOf(row, runId, 200))
    },
    "a list of 100 contents by id": () => store.contents(id(connectionOf(next())), { state: "stored", limit: 100 }),
    "a list of 100 contents by time": () =>
      store.contents(id(connectionOf(next())), { state: "stored", limit: 100, order: "newest" }),
    "an idle poll's lease": () => {
      const connectionId = id(synced + (next() % 500))
      return Effect.flatMap(store.acquire(connectionId, { holder: "bench", ttl: Duration.minutes(1) }), (taken) =>
        taken._tag === "None"
          ? Effect.die(new Error("not taken"))
          : store.release({ connectionId, fence: taken.value.fence }, { pollIn: Duration.hours(1), checked: true })
      )
    },
    "a page of 100 changes": () =>
      store.changes({
        after: { transaction: xid, row: { connectionId: id(connectionOf(next())), externalId: "" } },
        limit: 100
      })
  } satisfies Readonly<Record<string, () => Effect.Effect<unknown, unknown>>>
}

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

/** The database of the benchmark, and another database of the same server, whose contents are partitioned. */
const databases = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const server = yield* Server
  yield* sql`CREATE DATABASE hashed`.unprepared
  const client = yield* Layer.build(
    PgClient.layerFrom(Client.make({ ...server, path: server.socket, database: "hashed" }))
  )
  const hashed = Context.get(client, SqlClient.SqlClient)
  yield* Effect.provideContext(Postgres.migrate, client)
  // Fresh, because the benchmark has the same layers over its own client.
  const store = yield* Layer.build(Layer.fresh(Layer.provide(Postgres.layer, Layer.fresh(Blobs.layer)))).pipe(
    Effect.provideContext(client)
  )
  return [
    { sql, store: yield* WholeStore },
    { sql: hashed, store: fromContext(store) }
  ] as const
})

export const run = Effect.gen(function* () {
  const [one, hash] = yield* Effect.flatMap(databases, ([one, hash]) =>
    Effect.all([fill(one, withoutIndexes("")), fill(hash, byHash)], { concurrency: 2 })
  )
  const found: Array<Row> = []
  const beside = (what: string, unit: string, ours: ReadonlyArray<number>, theirs: ReadonlyArray<number>) =>
    found.push(
      { what: `partitions: ${what}`, value: median(ours), unit, range: rangeOf(ours) },
      { what: "  by hash", value: median(theirs), unit, ratio: ratioOf(theirs, ours), range: ratioRange(theirs, ours) }
    )

  const ofHash = new Map<string, () => Effect.Effect<unknown, unknown>>(Object.entries(operations(hash)))
  for (const [name, operation] of Object.entries(operations(one))) {
    const rates = yield* Turns.rates(
      {
        one: () => Effect.runPromise<unknown, unknown>(operation()),
        hash: () => Effect.runPromise(ofHash.get(name)?.() ?? Effect.void)
      },
      { rounds: 7, millis: 500 }
    )
    const millis = (each: ReadonlyArray<number>) => each.map((rate) => 1000 / rate)
    beside(name, "ms", millis(rates.one), millis(rates.hash))
  }

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
  const small = `removing a connection of ${number((0.78 * rows) / (connections - 1), 0)} rows`
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
