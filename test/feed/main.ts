/**
 * `node test/feed/main.ts [--changes 100000] [--seconds 300]`: eight writers, and three consumers of the feed that are
 * repeatedly killed (`kill -9`), and continue from their stored cursor. Every consumer must receive every change. Two
 * consumers read everything, and one reads the changes of one connection.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Told from "./Told.ts"
import * as Writers from "./Writers.ts"

const { values } = parseArgs({
  options: { changes: { type: "string", default: "100000" }, seconds: { type: "string", default: "300" } }
})
const changes = Number(values.changes)
const writers = 8

const temporary = (name: string) =>
  Effect.acquireRelease(
    Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), name))),
    (folder) => Effect.sync(() => Fs.rmSync(folder, { recursive: true, force: true }))
  )

interface Consumer {
  readonly name: string
  readonly connection: string | null
  kills: number
}

/** Starts a consumer repeatedly, and kills it after a random time, until it ends by itself. */
const consume = Effect.fnUntraced(function* (
  consumer: Consumer,
  start: { readonly folder: string; readonly server: Context; readonly isOver: () => boolean }
) {
  const program = Path.join(import.meta.dirname, "consumer.ts")
  for (let count = 0; ; count += 1) {
    const FEED_START = JSON.stringify({ ...start.server, folder: start.folder, ...consumer, start: count })
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        ChildProcess.spawn(process.execPath, [program], {
          stdio: ["ignore", "inherit", "inherit"],
          env: { PATH: process.env["PATH"], HOME: process.env["HOME"], FEED_START }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const ended = Effect.callback<number | null>((resume) => {
      child.once("exit", (code) => resume(Effect.succeed(code)))
    })
    const life = start.isOver() ? 600_000 : yield* Random.nextIntBetween(1000, 4000)
    const code = yield* Effect.timeoutOption(ended, life)
    if (code._tag === "Some") {
      if (code.value === 0) return
      return yield* Effect.die(new Error(`${consumer.name} ended with ${code.value}`))
    }
    const killed = Effect.callback<void>((resume) => {
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGKILL")
    })
    yield* killed
    consumer.kills += 1
  }
})

interface Context {
  readonly socket: string
  readonly username: string
  readonly password: string
  readonly database: string
}

/** Returns only whole lines: a line that was cut short by a kill was written again. */
const linesOf = (file: string): ReadonlyArray<Told.Line> => {
  const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Told.Line))
  return Fs.readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      const decoded = decode(line)
      return decoded._tag === "Some" ? [decoded.value] : []
    })
}

const program = Effect.gen(function* () {
  const folder = yield* temporary("idem-feed-")
  const server = yield* Embedded.make({ folder: yield* temporary("idem-feed-data-") })
  const access = {
    path: server.socket,
    username: server.username,
    password: server.password,
    database: server.database
  }
  const layer = Layer.unwrap(Effect.as(Postgres.migrate, Postgres.layer)).pipe(
    Layer.provide(Blobs.layer),
    Layer.provideMerge(PgClient.layer({ ...access, maxConnections: writers + 2 }))
  )
  return yield* Effect.gen(function* () {
    const store = yield* WholeStore
    const startedAt = yield* Clock.currentTimeMillis
    let committed = 0
    const writing = yield* Effect.forkChild(
      Effect.forEach(
        Array.from({ length: writers }, (_, n) => `writer ${n}`),
        (name) => Writers.write(name, changes / writers, (count) => (committed += count)),
        { concurrency: "unbounded" }
      )
    )
    const one = yield* Effect.repeat(store.connectionByName("writer 3"), { until: (found) => found._tag === "Some" })
    const consumers: ReadonlyArray<Consumer> = [
      { name: "first", connection: null, kills: 0 },
      { name: "second", connection: null, kills: 0 },
      { name: "of one", connection: one._tag === "Some" ? one.value.id : null, kills: 0 }
    ]
    const start = {
      folder,
      server: { ...server, password: Redacted.value(server.password) },
      isOver: () => Fs.existsSync(Path.join(folder, "done"))
    }
    const consuming = yield* Effect.forkChild(
      Effect.forEach(consumers, (consumer) => consume(consumer, start), { concurrency: "unbounded", discard: true })
    )
    const progress = yield* Effect.forkChild(
      Effect.forever(
        Effect.andThen(
          Effect.sleep("10 seconds"),
          Effect.sync(() => console.error(`${committed.toLocaleString("en")} changes committed …`))
        )
      )
    )
    const ledgers = yield* Fiber.join(writing)
    const wroteFor = ((yield* Clock.currentTimeMillis) - startedAt) / 1000
    Fs.writeFileSync(Path.join(folder, "done"), "")
    yield* Fiber.join(consuming)
    yield* Fiber.interrupt(progress)
    const took = ((yield* Clock.currentTimeMillis) - startedAt) / 1000
    const sum = (of: (ledger: Writers.Ledger) => number) => ledgers.reduce((total, ledger) => total + of(ledger), 0)
    console.log(
      `${sum((one) => one.changes).toLocaleString("en")} changes by ${writers} writers in ${wroteFor.toFixed(1)} s ` +
        `(${sum((one) => one.rolledBack)} transactions rolled back, ${sum((one) => one.heldOpen)} held open); ` +
        `all told after ${took.toFixed(1)} s`
    )
    let failures = 0
    for (const consumer of consumers) {
      const mine =
        consumer.connection === null ? ledgers : ledgers.filter((one) => one.connectionId === consumer.connection)
      const verdict = Told.judge(mine, linesOf(Path.join(folder, `${consumer.name}.log`)))
      failures += verdict.problems.length
      console.log(
        `${consumer.name}: killed ${consumer.kills} times, ${verdict.told.toLocaleString("en")} told for ` +
          `${verdict.committed.toLocaleString("en")} committed (${verdict.repeated.toLocaleString("en")} of them again, ` +
          `${verdict.superseded.toLocaleString("en")} by a later change of the same content), ` +
          `${verdict.problems.length === 0 ? "none skipped" : `${verdict.problems.length} PROBLEMS`}`
      )
      for (const problem of verdict.problems.slice(0, 10)) console.log(`  ${problem}`)
    }
    return failures
  }).pipe(Effect.provide(layer))
}).pipe(Effect.scoped, Effect.timeout(`${Number(values.seconds)} seconds`))

program.pipe(
  Effect.flatMap((failures) => Effect.sync(() => void (process.exitCode = failures > 0 ? 1 : 0))),
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  NodeRuntime.runMain({
    teardown: (exit, onExit) => onExit(exit._tag === "Failure" ? 1 : Number(process.exitCode ?? 0))
  })
)
