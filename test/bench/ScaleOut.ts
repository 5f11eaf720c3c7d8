/**
 * Measures the items a second of one, two and three processes that share their connections. The source responds in 50
 * ms, and limits the concurrent items of each process. This measures the sharing, as long as the machine has CPU to
 * spare.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Layer from "effect/Layer"
import { cpus } from "node:os"
import { credentialsContext } from "../../src/engine/secrets/Vault.ts"
import * as Vault from "../../src/engine/secrets/Vault.ts"
import * as CounterServer from "../cluster/CounterServer.ts"
import * as Fleet from "../cluster/Fleet.ts"
import * as Database from "./Database.ts"
import { scaled } from "./Scale.ts"
import type { Row } from "./Table.ts"

const connections = 48
const itemsEach = scaled(20_000)
const seconds = Math.max(5, scaled(20))
const latency = 50
const atOnce = 16

const vault = Vault.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: Fleet.envOf({ databaseUrl: "" }) })))
)

const measure = Effect.fnUntraced(function* (processes: number) {
  const sql = yield* SqlClient.SqlClient
  const { seal } = yield* Vault.Vault
  const databaseUrl = yield* Database.url
  const counter = yield* CounterServer.make
  counter.delay = latency
  counter.atOnce = atOnce
  counter.pageSize = 500
  const credentials = yield* seal({}, credentialsContext({ domain: "counter", account: "one" }))
  yield* sql`TRUNCATE connection, content, body, run, task`
  for (let index = 0; index < connections; index += 1) counter.sizes.set(`c${index}`, itemsEach)
  yield* sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms)
    SELECT 'c' || i, 'counter', 'one', json_build_object('url', ${counter.url}::text, 'account', 'c' || i, 'owner', 'c' || i),
      ${credentials}, 3600000 FROM generate_series(0, ${connections - 1}::int) i`
  yield* Effect.all(
    Array.from({ length: processes }, () => Fleet.member({ databaseUrl })),
    { concurrency: "unbounded" }
  )
  // Waits until the shards have settled and all processes are working.
  yield* Effect.sleep("8 seconds")
  const from = performance.now()
  const busy = cpus().map(({ times }) => times)
  yield* Effect.sleep(`${seconds} seconds`)
  const idle = cpus().map(({ times }, index) => {
    const before = busy[index] ?? times
    const total =
      Object.values(times).reduce((sum, value) => sum + value, 0) -
      Object.values(before).reduce((sum, value) => sum + value, 0)
    return (times.idle - before.idle) / total
  })
  return {
    rate: counter.downloadsSince(from).length / seconds,
    idle: idle.reduce((sum, share) => sum + share, 0) / idle.length
  }
}, Effect.scoped)

export const run = Effect.gen(function* () {
  const rows: Array<Row> = []
  let one: number | undefined
  for (const processes of [1, 2, 3]) {
    const { idle, rate } = yield* measure(processes)
    one ??= rate
    rows.push({
      what: `${processes === 1 ? "scale out: " : "  "}${processes} ${processes === 1 ? "process" : "processes"}, ${atOnce} items in ${latency} ms each, ${Math.round(100 * idle)} % of the CPU idle`,
      value: rate,
      unit: "items/s",
      ...(processes === 1 ? {} : { ratio: rate / one / processes, goal: { atLeast: 0.9 } })
    })
  }
  return rows
}).pipe(Effect.provide(vault))
