/**
 * Measures a process with many connections: `node test/cluster/main.ts [COUNT]`. The delay of the last poll if all
 * connections are due at once, the memory that this takes, and the cost of the connections while none is due.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { credentialsContext } from "../../src/engine/secrets/Vault.ts"
import * as Vault from "../../src/engine/secrets/Vault.ts"
import * as PostgresServer from "../support/PostgresServer.ts"
import * as CounterServer from "./CounterServer.ts"
import * as Fleet from "./Fleet.ts"

const count = Number(process.argv[2] ?? 10_000)

/** Returns the CPU time of a process in milliseconds, and its resident memory in MB. */
const usage = (pid: number) =>
  Effect.promise(async () => {
    const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    const status = await Fs.readFile(`/proc/${pid}/status`, "utf8")
    return {
      cpu: (Number(fields[11]) + Number(fields[12])) * 10,
      resident: Math.round(Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024),
      peak: Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024)
    }
  })

const vault = Vault.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: Fleet.envOf({ databaseUrl: "" }) })))
)

const measure = (databaseUrl: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { seal } = yield* Vault.Vault
    const counter = yield* CounterServer.make
    const credentials = yield* seal({}, credentialsContext({ domain: "counter", account: "one" }))
    yield* sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms)
      SELECT 'c' || i, 'counter', 'one', json_build_object('url', ${counter.url}::text, 'account', 'c' || i, 'owner', 'one'),
        ${credentials}, 3600000 FROM generate_series(1, ${count}::int) i`
    yield* sql`ANALYZE connection`

    const from = performance.now()
    const member = yield* Fleet.serving({ databaseUrl })
    const started = performance.now()
    const polled = () => counter.asked.size
    while (polled() < count) {
      yield* Effect.sleep("100 millis")
      if (performance.now() - from > 300_000) break
    }
    const late = [...counter.asked.values()]
      .map(([first]) => (first?.at ?? started) - started)
      .toSorted((a, b) => a - b)
    const { cpu, peak } = yield* usage(member.pid)
    process.stdout.write(
      `${count} connections due at once: ${polled()} polled, the median after ${((late[late.length >> 1] ?? 0) / 1000).toFixed(1)} s, ` +
        `the last after ${((late.at(-1) ?? 0) / 1000).toFixed(1)} s; ${(cpu / 1000).toFixed(1)} s of CPU, at most ${peak} MB\n`
    )

    // Waits until the woken entities are released.
    yield* Effect.sleep("90 seconds")
    const statements = sql<{ readonly calls: number }>`SELECT xact_commit::float8 AS calls FROM pg_stat_database
      WHERE datname = current_database()`
    const [before] = yield* statements
    const idle = yield* usage(member.pid)
    yield* Effect.sleep("30 seconds")
    const [after] = yield* statements
    const later = yield* usage(member.pid)
    process.stdout.write(
      `${count} connections not yet due: ${((later.cpu - idle.cpu) / 30).toFixed(1)} ms of CPU a second, ` +
        `${(((after?.calls ?? 0) - (before?.calls ?? 0)) / 30).toFixed(1)} transactions a second, ${later.resident} MB\n`
    )
  }).pipe(Effect.scoped)

Effect.gen(function* () {
  const { database, password, socket, username } = yield* PostgresServer.start
  const query = new URLSearchParams({ host: Path.dirname(socket), user: username, password })
  yield* measure(`postgresql:///${database}?${query.toString()}`).pipe(
    Effect.provide(
      Layer.merge(vault, PgClient.layer({ path: socket, username, password: Redacted.make(password), database }))
    )
  )
}).pipe(Effect.scoped, Effect.runPromise)
