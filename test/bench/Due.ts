/**
 * Measures how long one, two and four processes take to poll many connections that become due at the same moment and
 * have nothing new.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { readFileSync } from "node:fs"
import { cpus } from "node:os"
import { credentialsContext } from "../../src/engine/secrets/Vault.ts"
import * as Vault from "../../src/engine/secrets/Vault.ts"
import * as Fleet from "../cluster/Fleet.ts"
import { programFile } from "../support/IdemProcess.ts"
import * as Database from "./Database.ts"
import { scaled } from "./Scale.ts"
import { number, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"

const connections = scaled(100_000)
/** The connections that each process polls before the measurement, so that its code is compiled. */
const warmUp = scaled(10_000)

const vault = Vault.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: Fleet.envOf({ databaseUrl: "" }) })))
)

const decodeCount = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ left: Schema.Int })]))

/** Makes connections due, and returns how many seconds it takes until all of them were polled. */
const pollAll = Effect.fnUntraced(function* (limit: number) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE connection SET last_checked_at = NULL, due_at = now(), next_poll_at = now()
    WHERE id IN (SELECT id FROM connection ORDER BY id LIMIT ${limit}::int)`
  const left = Effect.flatMap(
    sql`SELECT count(*)::int AS left FROM connection WHERE due_at <= now() OR lease_holder IS NOT NULL`,
    decodeCount
  )
  return yield* Turns.seconds(
    Effect.gen(function* () {
      while ((yield* Effect.orDie(left))[0].left > 0) yield* Effect.sleep("500 millis")
    })
  )
})

/** Returns the seconds of CPU that a process has used, and its resident memory in megabytes. */
const usage = (pid: number) => {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
  const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, megabytes: Number(resident) / 1024 }
}

/** Returns the seconds of CPU that the machine has used. */
const busySeconds = () =>
  cpus().reduce((sum, { times }) => sum + times.user + times.sys + times.irq + times.nice, 0) / 1000

const measure = Effect.fnUntraced(function* (processes: number) {
  const sql = yield* SqlClient.SqlClient
  const { seal } = yield* Vault.Vault
  const databaseUrl = yield* Database.url
  const credentials = yield* seal({}, credentialsContext({ domain: "quiet", account: "nobody" }))
  yield* sql`TRUNCATE connection, content, body, run, task`
  yield* sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms, checkpoint, scope, due_at,
      next_poll_at)
    SELECT 'quiet ' || i, 'quiet', 'nobody', '{}', ${credentials}, 3600000, '1', encode(sha256('{}'), 'hex'),
      now() + interval '1 day', now() + interval '1 day'
    FROM generate_series(1, ${connections}::int) AS i`
  yield* sql`VACUUM ANALYZE connection`.unprepared
  const members = yield* Effect.all(
    Array.from({ length: processes }, () =>
      Fleet.member({ databaseUrl, env: { IDEM_CONFIG: programFile("test/bench/quiet.config.ts") } })
    ),
    { concurrency: "unbounded" }
  )
  // Waits until the shards have settled and all processes are working.
  yield* Effect.sleep("8 seconds")
  yield* pollAll(warmUp)
  const cpuOf = () => members.reduce((sum, { pid }) => sum + usage(pid).cpu, 0)
  const [cpuBefore, busyBefore] = [cpuOf(), busySeconds()]
  const took = yield* pollAll(connections)
  const cpu = cpuOf() - cpuBefore
  return {
    took,
    cpu: cpu / connections,
    others: (busySeconds() - busyBefore - cpu) / connections,
    megabytes: Math.max(...members.map(({ pid }) => usage(pid).megabytes))
  }
}, Effect.scoped)

export const run = Effect.gen(function* () {
  const rows: Array<Row> = []
  for (const processes of [1, 2, 4]) {
    const { cpu, megabytes, others, took } = yield* measure(processes)
    const who = `${processes} ${processes === 1 ? "process" : "processes"}`
    rows.push(
      { what: `due: ${number(connections, 0)} connections, ${who}`, value: took, unit: "s", goal: { atMost: 60 } },
      { what: "  polls a second", value: connections / took, unit: "polls/s" },
      { what: "  CPU of the processes, for each poll", value: 1000 * cpu, unit: "ms" },
      { what: "  CPU of PostgreSQL and others, for each poll", value: 1000 * others, unit: "ms" },
      { what: "  memory of the largest process", value: megabytes, unit: "MB" }
    )
  }
  return rows
}).pipe(Effect.provide(vault))
