/**
 * The polls a second of 1,000 connections without work, by the scheduler of `idem serve`, compared with two job queues
 * that run an empty job for each.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { Logger, makeWorkerUtils, run as graphile } from "graphile-worker"
import { Pool } from "pg"
import { PgBoss } from "pg-boss"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../src/testing/WholeStore.ts"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Webhooks from "../../src/stores/postgres/WebhookStore.ts"
import * as Database from "./Database.ts"
import { quiet } from "./QuietSource.ts"
import { scaled } from "./Scale.ts"
import * as Statements from "./Statements.ts"
import { median, ratioOf, type Row } from "./Table.ts"
import * as Turns from "./Turns.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"

const connections = scaled(1000)
const rounds = 3
const concurrency = 8

const ours = Effect.gen(function* () {
  const server = yield* Database.Server
  const { count, socket } = yield* Statements.counting(server.socket)
  const client = PgClient.layerFrom(Client.make({ ...server, path: socket }))
  // Fresh, because the benchmark has the same layer over its own client.
  const store = Layer.fresh(Layer.merge(Postgres.layer.pipe(Layer.provide(Blobs.layer)), Webhooks.layer)).pipe(
    Layer.provideMerge(client)
  )
  return yield* Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM connection`
    yield* sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms, checkpoint, scope)
      SELECT 'quiet ' || i, 'quiet', 'nobody', '{}', '\\x7b7d', 3600000, '1',
        encode(sha256('{}'), 'hex')
      FROM generate_series(1, ${connections}::int) AS i`
    yield* sql`ANALYZE connection`
    let polled = 0
    const all = yield* Deferred.make<void>()
    const integration = quiet(() => {
      polled += 1
      if (polled === connections) Deferred.doneUnsafe(all, Effect.void)
    })
    const services = Layer.mergeAll(
      Integrations.layer({ quiet: Effect.succeed(integration) }),
      Quotas.layerMemory,
      UnsealedVault.layer,
      wholeStoreLayer(yield* WholeStore),
      Layer.succeed(WebhookStore, yield* WebhookStore)
    )
    const before = count()
    const took = yield* Turns.seconds(
      Effect.scoped(Effect.andThen(Layer.build(Layer.provide(Scheduler.layer, services)), Deferred.await(all)))
    )
    return { rate: connections / took, statements: (count() - before) / connections }
  }).pipe(Effect.provide(store))
}).pipe(Effect.scoped)

const boss = (url: string) =>
  Effect.promise(async () => {
    const queue = new PgBoss({ connectionString: url, schema: "boss" })
    await queue.start()
    await queue.createQueue("empty")
    await queue.insert(
      "empty",
      Array.from({ length: connections }, (_, index) => ({ data: { index } }))
    )
    let done = 0
    const before = performance.now()
    await new Promise<void>((resolve) => {
      void queue.work("empty", { batchSize: concurrency, pollingIntervalSeconds: 0.5 }, async (jobs) => {
        done += jobs.length
        if (done >= connections) resolve()
      })
    })
    const took = (performance.now() - before) / 1000
    await queue.stop({ graceful: true })
    return connections / took
  })

const worker = (url: string) =>
  Effect.promise(async () => {
    let done = 0
    let finish: () => void = () => undefined
    const all = new Promise<void>((resolve) => (finish = resolve))
    const utils = await makeWorkerUtils({ connectionString: url })
    await utils.migrate()
    await utils.addJobs(
      Array.from({ length: connections }, (_, index) => ({ identifier: "empty", payload: { index } }))
    )
    await utils.release()
    const before = performance.now()
    // A separate pool, so that its end can be awaited before the server stops.
    const pgPool = new Pool({ connectionString: url, max: concurrency })
    const runner = await graphile({
      pgPool,
      concurrency,
      noHandleSignals: true,
      // Disabled, because it has a line for each job.
      logger: new Logger(() => () => undefined),
      pollInterval: 500,
      taskList: {
        empty: async () => {
          done += 1
          if (done === connections) finish()
        }
      }
    })
    await all
    const took = (performance.now() - before) / 1000
    await runner.stop()
    await pgPool.end()
    return connections / took
  })

export const run = Effect.gen(function* () {
  const url = yield* Database.url
  const found = { ours: new Array<number>(), boss: new Array<number>(), worker: new Array<number>() }
  const statements: Array<number> = []
  for (let round = 0; round < rounds; round += 1) {
    const one = yield* ours
    found.ours.push(one.rate)
    statements.push(one.statements)
    found.boss.push(yield* boss(url))
    found.worker.push(yield* worker(url))
  }
  const quicker = found.boss.map((rate, round) => Math.max(rate, found.worker[round] ?? 0))
  return [
    {
      what: `many: ${connections.toLocaleString("en")} connections, nothing new`,
      value: median(found.ours),
      unit: "polls/s"
    },
    { what: "  statements a poll, begins and commits too", value: median(statements), unit: "statements" },
    {
      what: "  pg-boss, an empty job for each",
      value: median(found.boss),
      unit: "jobs/s",
      ratio: ratioOf(found.ours, found.boss)
    },
    {
      what: "  graphile-worker, an empty job for each",
      value: median(found.worker),
      unit: "jobs/s",
      ratio: ratioOf(found.ours, found.worker)
    },
    {
      what: "  the quicker of the two",
      value: median(quicker),
      unit: "jobs/s",
      ratio: ratioOf(found.ours, quicker),
      goal: { atLeast: 0.3 }
    }
  ] satisfies ReadonlyArray<Row>
})
