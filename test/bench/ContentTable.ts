/**
 * A table of contents with any number of narrow rows, and the frequent operations on it. The rows belong to 1,000
 * connections, one of which has a fifth of all rows, and are in the order in which polls would add them.
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
import * as Turns from "./Turns.ts"

const rowsAtOnce = 1_000_000
export const connections = 1000
/** The number of connections that are synced in turn: the large one and some of the others. */
const synced = 20

/** A database, with its client and its store. */
export interface ContentDatabase {
  readonly sql: SqlClient.SqlClient
  readonly store: WholeStore
}

/** Returns the database of the benchmark, and another migrated database of the same server. */
export const withAnother = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  const server = yield* Server
  yield* sql`CREATE DATABASE ${sql(name)}`.unprepared
  const client = yield* Layer.build(PgClient.layerFrom(Client.make({ ...server, path: server.socket, database: name })))
  yield* Effect.provideContext(Postgres.migrate, client)
  // Fresh, because the benchmark has the same layers over its own client.
  const store = yield* Layer.build(Layer.fresh(Layer.provide(Postgres.layer, Layer.fresh(Blobs.layer)))).pipe(
    Effect.provideContext(client)
  )
  return [
    { sql, store: yield* WholeStore },
    { sql: Context.get(client, SqlClient.SqlClient), store: fromContext(store) }
  ] as const satisfies ReadonlyArray<ContentDatabase>
})

/**
 * Returns statements that replace the table of contents with one without indexes, because indexes are built faster
 * after all rows are inserted.
 */
export const withoutIndexes = (partitioning: string) => [
  "ALTER TABLE content RENAME TO content_before",
  `CREATE TABLE content (LIKE content_before INCLUDING ALL EXCLUDING INDEXES) ${partitioning}`
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
const decodeTransaction = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ xid: Schema.BigIntFromString })]))

/** Fills the table, and builds its indexes. The rows have no title and no body, unless `columns` gives them some. */
export const fill = Effect.fnUntraced(function* (
  { sql }: ContentDatabase,
  options: {
    readonly rows: number
    readonly makeTables: ReadonlyArray<string>
    /** More columns, with their expressions of the row's number `i`. */
    readonly columns?: Readonly<Record<string, string>>
  }
) {
  const { columns = {}, makeTables, rows } = options
  const int8 = (value: number) => PgTypes.int8(BigInt(value))
  yield* sql`INSERT INTO connection (id, name, domain, account, config, every_ms)
    SELECT md5('connection ' || i)::uuid, lpad(i::text, 4, '0'), 'bench', 'bench', '{}', 3600000
    FROM generate_series(0, ${connections - 1}::int) AS i`
  const names = Object.keys(columns).map((name) => `, ${name}`)
  const values = Object.values(columns).map((value) => `, ${value}`)
  // In one transaction: PostgreSQL needs no log for the rows of a table that the same transaction created.
  yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* Effect.forEach(makeTables, (statement) => sql.unsafe(statement).unprepared)
      for (let from = 0; from < rows; from += rowsAtOnce) {
        yield* sql`INSERT INTO content (connection_id, external_id, state, kind, occurred_at, created_at, updated_at,
            changed_xid, change${sql.literal(names.join(""))})
          SELECT ids[1 + ${sql.literal(connectionInSql)}], 'message-' || lpad(i::text, 9, '0'), 'stored', 'message',
            now() - i * interval '1 minute', now(), now(), pg_current_xact_id(), 'stored'${sql.literal(values.join(""))}
          FROM (SELECT array_agg(id ORDER BY name) AS ids FROM connection) AS connections,
            generate_series(${int8(from)}::int8, ${int8(Math.min(from + rowsAtOnce, rows) - 1)}::int8) AS i`
      }
    })
  )
  yield* sql.withTransaction(
    Effect.andThen(sql`SET LOCAL maintenance_work_mem = '1GB'`.unprepared, sql.unsafe(makeIndexes).unprepared)
  )
  yield* sql`INSERT INTO totals (connection_id, stored) SELECT connection_id, count(*) FROM content GROUP BY 1`
})

/** Acquires the connections that are synced, after the table was filled. */
export const opened = Effect.fnUntraced(function* ({ sql, store }: ContentDatabase, rows: number) {
  yield* sql`VACUUM ANALYZE`.unprepared
  yield* sql`CHECKPOINT`.unprepared
  const ids = (yield* Effect.orDie(decodeIds(yield* sql`SELECT id FROM connection ORDER BY name`))).map(({ id }) => id)
  const id = (connection: number) => ids[connection] ?? ConnectionId.make("")
  const runs = yield* Effect.forEach(
    Array.from({ length: synced }, (_, connection) => connection),
    Effect.fnUntraced(function* (connection) {
      const taken = yield* store.acquire(id(connection), { holder: "bench", ttl: Duration.hours(5) })
      if (taken._tag === "None") return yield* Effect.die(new Error("not taken"))
      const fence = { connectionId: id(connection), fence: taken.value.fence }
      const runId = RunId.make(`run ${connection}`)
      yield* store.beginRun(fence, { runId, taskId: undefined })
      return { connection, fence, runId }
    })
  )
  const [{ xid }] = yield* Effect.orDie(
    decodeTransaction(yield* sql`SELECT changed_xid::text AS xid FROM content LIMIT 1`)
  )
  return { sql, store, id, rows, runs, xid }
})

export type Opened = Effect.Success<ReturnType<typeof opened>>

/** The frequent operations. Each call concerns another row's connection: in a fifth of the calls, the large one. */
export const operations = ({ id, rows, runs, store, xid }: Opened) => {
  let row = 0
  const next = () => (row = (row + 7919) % rows)
  const nextRun = () => runs[next() % 5 === 0 ? 0 : row % runs.length] ?? (runs[0] as (typeof runs)[number])
  let listings = 0
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
      const { fence, runId } = nextRun()
      return store.commit(fence, batchOf(row, runId, 200))
    },
    "a page of a listing that covers 10,000 ids": () => {
      const { connection, fence, runId } = nextRun()
      const { page, ...batch } = batchOf(row, runId, 200)
      const prefix = idOf(row).slice(0, -4)
      const seen = Array.from(
        { length: 10_000 },
        (_, index) => Number(`${prefix.slice("message-".length)}0000`) + index
      )
      return store.commit(fence, {
        ...batch,
        items: [],
        counts: {},
        page: page && {
          ...page,
          listing: `listing ${(listings += 1)}`,
          seen: seen.filter((i) => connectionOf(i) === connection).map(idOf),
          covers: [{ prefix }]
        }
      })
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
      }),
    "the totals of all connections, for the status": () => store.overview
  } satisfies Readonly<Record<string, () => Effect.Effect<unknown, unknown>>>
}

/** Measures each operation on both databases in turn. Returns its milliseconds, one figure for each round. */
export const inTurn = Effect.fnUntraced(function* (one: Opened, other: Opened) {
  const ofOther = new Map<string, () => Effect.Effect<unknown, unknown>>(Object.entries(operations(other)))
  const millis = (each: ReadonlyArray<number>) => each.map((rate) => 1000 / rate)
  return yield* Effect.forEach(
    Object.entries(operations(one)),
    Effect.fnUntraced(function* ([name, operation]) {
      const rates = yield* Turns.rates(
        {
          one: () => Effect.runPromise<unknown, unknown>(operation()),
          other: () => Effect.runPromise(ofOther.get(name)?.() ?? Effect.void)
        },
        { rounds: 7, millis: 500 }
      )
      return { name, one: millis(rates.one), other: millis(rates.other) }
    })
  )
})
