/**
 * Measures a poll of an unchanged mailbox by the number of its stored messages: calls, quota, statements and CPU.
 * Compares it with the naive design, which lists all pages and queries each id.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import * as Lease from "../../src/engine/locks/Lease.ts"
import * as LeasedSlice from "../../src/engine/sync/LeasedSlice.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { Server } from "./Database.ts"
import * as Mailbox from "./Mailbox.ts"
import { scaled } from "./Scale.ts"
import * as Statements from "./Statements.ts"
import { median, type Row } from "./Table.ts"

const sizes = [10_000, 100_000, 1_000_000].map(scaled)
const polls = 60

/** Returns the CPU time of this process, in milliseconds. */
const cpu = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

const measure = Effect.fnUntraced(function* (count: () => number) {
  const sql = yield* SqlClient.SqlClient
  const engine = yield* Engine
  const mailbox = yield* Mailbox.start(20)
  const [user = ""] = mailbox.users
  const { connection } = yield* engine.connect({
    domain: "gmail",
    name: user,
    config: Mailbox.configOf(mailbox.url),
    credentials: { accessToken: user },
    every: undefined
  })
  yield* engine.sync(connection, poll, { spec: "", wait: true })

  /** Polls as the poller does: takes the lease, runs a slice, and releases the lease. */
  const one = Effect.gen(function* () {
    const before = { statements: count(), cpu: cpu() }
    const turn = yield* LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(LeasedSlice.poll))
    if (turn._tag !== "Ran") return yield* Effect.die(new Error("somebody else runs"))
    const { counts } = turn.result
    return {
      calls: counts.apiCalls,
      units: counts.quotaUnits,
      statements: count() - before.statements,
      cpu: cpu() - before.cpu
    }
  })

  const rows: Array<Row> = []
  let filled = 0
  let small: number | undefined
  for (const size of sizes) {
    yield* sql`INSERT INTO content (connection_id, external_id, state, kind, metadata, created_at, updated_at, changed_xid, change)
      SELECT ${connection.id}::uuid, 'filler-' || lpad(i::text, 9, '0'), 'stored', 'message', '{}', now(), now(),
        pg_current_xact_id(), 'stored'
      FROM generate_series(${filled}::int, ${size - 1}::int) AS i`
    filled = size
    yield* sql`VACUUM ANALYZE content`.unprepared
    yield* Effect.repeat(one, { times: 9 })
    const found = yield* Effect.all(Array.from({ length: polls }, () => one))
    const of = (name: keyof (typeof found)[number]) => median(found.map((each) => each[name]))
    small ??= of("cpu")
    const pages = Math.ceil(size / 500)
    const what = `idle poll: Gmail, ${size.toLocaleString("en")} stored`
    rows.push(
      { what: `${what}: API calls`, value: of("calls"), unit: "calls", goal: { atMost: 1 } },
      { what: "  the naive design lists all pages", value: pages, unit: "calls" },
      { what: "  quota", value: of("units"), unit: "units", goal: { atMost: 2 } },
      { what: "  the naive design", value: 5 * pages, unit: "units" },
      {
        what: "  SQL statements, begins and commits too",
        value: of("statements"),
        unit: "statements",
        goal: { atMost: 2 }
      },
      { what: "  the naive design asks for each id", value: size, unit: "statements" },
      {
        what: "  CPU, beside the smallest",
        value: of("cpu"),
        unit: "ms",
        ratio: of("cpu") / small,
        goal: { atMost: 1.5 }
      }
    )
  }
  return rows
}, Effect.scoped)

export const run = Effect.gen(function* () {
  const server = yield* Server
  const { count, socket } = yield* Statements.counting(server.socket)
  const client = PgClient.layerFrom(Client.make({ ...server, path: socket }))
  // Fresh, because the benchmark has the same layer over its own client.
  const store = Layer.fresh(Postgres.layer.pipe(Layer.provide(Blobs.layer))).pipe(Layer.provideMerge(client))
  return yield* Effect.provide(measure(count), Layer.provideMerge(Mailbox.engine, store))
}).pipe(Effect.scoped)
