/**
 * Three processes share 300 connections. Every ten seconds one of them is killed and replaced, for two minutes: `node
 * test/cluster/kills.ts [SECONDS]`. Then every item must be stored once, and no connection may be stuck.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Path from "node:path"
import { credentialsContext } from "../../src/engine/secrets/Vault.ts"
import * as Vault from "../../src/engine/secrets/Vault.ts"
import * as PostgresServer from "../support/PostgresServer.ts"
import * as CounterServer from "./CounterServer.ts"
import * as Fleet from "./Fleet.ts"

const seconds = Number(process.argv[2] ?? 120)
const connections = 300
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const vault = Vault.layer.pipe(
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: Fleet.envOf({ databaseUrl: "" }) })))
)

const work = (databaseUrl: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { seal } = yield* Vault.Vault
    const counter = yield* CounterServer.make
    counter.delay = 5
    const names = Array.from({ length: connections }, (_, index) => `c${index + 1}`)
    for (const name of names) counter.sizes.set(name, 20)
    const credentials = yield* seal({}, credentialsContext({ domain: "counter", account: "one" }))
    yield* sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms)
      SELECT 'c' || i, 'counter', 'one', json_build_object('url', ${counter.url}::text, 'account', 'c' || i, 'owner', 'one'),
        ${credentials}, 2000 FROM generate_series(1, ${connections}::int) i`
    // With the process's own defaults, not those of the tests.
    const one = Fleet.serving({ databaseUrl, env: { IDEM_CLUSTER: "1" } })
    const members = yield* Effect.all([one, one, one], { concurrency: 3 })
    const from = performance.now()
    const growing = yield* Effect.forkScoped(
      Effect.forever(
        Effect.andThen(
          Effect.sleep("1 second"),
          Effect.sync(() => {
            for (const name of names.filter(() => Math.random() < 0.3)) {
              counter.sizes.set(name, (counter.sizes.get(name) ?? 0) + 1)
            }
          })
        )
      )
    )
    const takeOvers: Array<number> = []
    for (let round = 0; performance.now() - from < seconds * 1000; round += 1) {
      yield* Effect.sleep("10 seconds")
      const at = round % 3
      const gone = members[at]
      if (gone === undefined) continue
      const its = names.filter((name) => counter.of(name).findLast(({ what }) => what === "list")?.process === gone.pid)
      const killed = performance.now()
      gone.process.kill("SIGKILL")
      const replaced = yield* one
      members[at] = replaced
      while (!its.every((name) => counter.of(name).some((asked) => asked.at > killed && asked.process !== gone.pid))) {
        yield* Effect.sleep("50 millis")
        if (performance.now() - killed > 60_000) break
      }
      takeOvers.push(performance.now() - killed)
      say(
        `killed one with ${its.length}: all of them polled again after ${((takeOvers.at(-1) ?? 0) / 1000).toFixed(1)} s`
      )
    }
    const total = () => names.reduce((sum, name) => sum + (counter.sizes.get(name) ?? 0), 0)
    const stored = sql<{ readonly count: number }>`SELECT count(*)::float8 AS count FROM content WHERE state = 'stored'`
    yield* Fiber.interrupt(growing)
    const target = total()
    const ended = performance.now()
    while (((yield* stored)[0]?.count ?? 0) < target && performance.now() - ended < 60_000)
      yield* Effect.sleep("100 millis")
    const [ids] = yield* stored
    const [twice] = yield* sql<{ readonly sum: number }>`SELECT sum(stored)::float8 AS sum FROM run`
    const runs = yield* sql`SELECT status, count(*)::int AS runs, sum(stored)::int AS stored FROM run GROUP BY status`
    const stuck = names.filter((name) => (counter.of(name).at(-1)?.at ?? 0) < performance.now() - 30_000)
    say(
      `target ${target}, stored ${ids?.count}, by runs ${twice?.sum}, downloads ${counter.downloads().length}, stuck ${stuck.length}`
    )
    say(JSON.stringify(runs))
    say(`take-over: ${takeOvers.map((ms) => (ms / 1000).toFixed(1)).join(", ")} s`)
  }).pipe(Effect.scoped)

Effect.gen(function* () {
  const { database, password, socket, username } = yield* PostgresServer.start
  const query = new URLSearchParams({ host: Path.dirname(socket), user: username, password })
  yield* work(`postgresql:///${database}?${query.toString()}`).pipe(
    Effect.provide(
      Layer.merge(vault, PgClient.layer({ path: socket, username, password: Redacted.make(password), database }))
    )
  )
}).pipe(Effect.scoped, Effect.runPromise)
