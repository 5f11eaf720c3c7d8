/**
 * A lean process of the harness: the real engine and integrations over the real store, with short bounds and a clock
 * that runs eight times as fast. The process polls the connections that are due and runs requested tasks. If the seed
 * says so, it also serves HTTP and delivers webhooks. It plays one seed after the other until it is killed.
 */
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Readline from "node:readline"
import { poll } from "../../src/contract/SyncTask.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { PendingHints } from "../../src/engine/schedule/PendingHints.ts"
import { PollingClaim } from "../../src/engine/locks/PollingClaim.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { Limits } from "../../src/engine/Limits.ts"
import type { Superseded } from "../../src/engine/store/Fence.ts"
import type { StoreError } from "../../src/engine/store/StoreError.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as FastClock from "./FastClock.ts"
import * as LeanEngine from "./LeanEngine.ts"
import { type Command, CommandLine, type Reply, ReplyLine, type Start } from "./Protocol.ts"

const encode = Schema.encodeSync(ReplyLine)
const say = (reply: Reply): void => void process.stdout.write(`${encode(reply)}\n`)

/** Reports a defect. Expected failures and interruptions are not reported. */
const defectOf = <A, E>(exit: Exit.Exit<A, E>) =>
  Exit.isFailure(exit) && Cause.hasDies(exit.cause)
    ? Effect.sync(() => say({ _tag: "Defect", message: Cause.pretty(exit.cause) }))
    : Effect.void

/** The HTTP server and the delivery of webhooks, loaded only in a process that serves. */
const serving = Effect.gen(function* () {
  const [HttpServer, Dispatcher, Feed, WebhookSender, Destination] = yield* Effect.promise(() =>
    Promise.all([
      import("../../src/http/Server.ts"),
      import("../../src/engine/webhooks/Dispatcher.ts"),
      import("../../src/engine/feed/Feed.ts"),
      import("../../src/http/webhooks/WebhookSender.ts"),
      import("../../src/engine/webhooks/Destination.ts")
    ])
  )
  const sender = Layer.provideMerge(WebhookSender.layer, Layer.provide(Destination.layer, NodeDns.layer))
  const beside = Layer.mergeAll(
    Feed.layer,
    sender,
    Layer.succeed(PollingClaim, PollingClaim.of({ takenOver: Effect.succeedNone })),
    NodeFileSystem.layer,
    NodePath.layer
  ).pipe(
    Layer.provideMerge(ConfigProvider.layer(ConfigProvider.fromUnknown({ PORT: "0", IDEM_WEBHOOK_ALLOW: "127.0.0.1" })))
  )
  const context = yield* Layer.build(Layer.provideMerge(HttpServer.layerConfig, beside))
  yield* Dispatcher.run.pipe(Effect.provideContext(context), Effect.onExit(defectOf), Effect.forkScoped)
  const url = yield* Effect.provideContext(HttpServer.url, context)
  return Number(new URL(url).port)
})

/** Ignores an unreachable database and a lost lease, which seeds cause on purpose. */
const quietly = <A, R>(effect: Effect.Effect<A, StoreError | Superseded, R>): Effect.Effect<void, never, R> =>
  Effect.catch(Effect.asVoid(effect), (error) => Effect.logDebug(error.message))

/** Runs one slice of each due connection, again and again: a slice of its oldest task, or a poll. */
const polling = Effect.gen(function* () {
  const store = yield* WholeStore
  const look = Effect.gen(function* () {
    for (const { connectionId, requested } of yield* store.due(10)) yield* Scheduler.poll(connectionId, { requested })
  }).pipe(quietly)
  return yield* Effect.forever(Effect.andThen(look, Effect.sleep("100 millis")))
})

/**
 * Accepts a hint, and runs the poll that it requests. By this process's clock, which is ahead, each connection is due:
 * `Scheduler.pollHinted` would leave the hint to the scheduled poll.
 */
const hint = Effect.fnUntraced(function* ({ connectionId, isListening, parts }: Extract<Command, { _tag: "Hint" }>) {
  const pending = yield* PendingHints
  if (isListening !== null) pending.setListening(connectionId, isListening)
  pending.add(connectionId, parts, parts.length === 0)
  say({ _tag: "Hinted" })
  const looks = yield* pending.due(connectionId)
  // The present or the next poll takes the hint.
  if (looks === undefined) return
  yield* quietly(Scheduler.poll(connectionId, { hintedOnly: looks === "parts" }))
})

const sync = Effect.fnUntraced(function* (command: Extract<Command, { _tag: "Sync" }>) {
  const engine = yield* Engine
  const store = yield* WholeStore
  const connection = yield* Effect.flatMap(store.connectionByName(command.name), Effect.fromOption)
  const { force, forceIds } = command
  const result = yield* engine.sync(
    connection,
    { ...poll, force, forceIds },
    { spec: JSON.stringify({ force, forceIds }), wait: true }
  )
  const error = result.error === null ? "" : `${result.error.reason}: ${result.error.message}`
  return { _tag: "Synced", status: result.status, error, counts: { ...result.counts } } as const
})

interface Session {
  /** The scope of the engine, closed when the engine is no longer used. */
  readonly scope: Scope.Closeable
  readonly polling: Fiber.Fiber<unknown, unknown>
  /** The engine, available after the database was reached. */
  readonly engine: Deferred.Deferred<Context.Context<LeanEngine.Services>>
  readonly limits: Limits
}

/** Begins to poll. While the database can't be reached, retries as a supervisor would. */
const begin = Effect.fnUntraced(function* (start: Start) {
  const scope = yield* Scope.make()
  const engine = yield* Deferred.make<Context.Context<LeanEngine.Services>>()
  const bounds = yield* LeanEngine.limits(start)
  const serve = Effect.gen(function* () {
    const context = yield* Layer.build(LeanEngine.layer(start)).pipe(
      Effect.retry({ while: (error) => error._tag !== "SchemaTooNew", schedule: Schedule.spaced("400 millis") }),
      Scope.provide(scope)
    )
    yield* Deferred.succeed(engine, context)
    say({ _tag: "Started" })
    if (start.serves) {
      // The process polls while the server's modules are loaded.
      yield* serving.pipe(
        Effect.map((port) => say({ _tag: "Serving", port })),
        Effect.provideContext(context),
        Effect.orDie,
        Effect.onExit(defectOf),
        Effect.forkIn(scope),
        Scope.provide(scope)
      )
    }
    return yield* Effect.provideContext(polling, context)
  })
  const fiber = yield* serve.pipe(Effect.provideService(Limits, bounds), Effect.onExit(defectOf), Effect.forkDetach)
  return { scope, engine, limits: bounds, polling: fiber } satisfies Session
})

const main = Effect.fnUntraced(function* (clock: FastClock.FastClock) {
  const commands = yield* Queue.unbounded<Exclude<Command, { _tag: "Later" }>>()
  const decode = Schema.decodeUnknownSync(CommandLine)
  const lines = Readline.createInterface({ input: process.stdin })
  lines.on("line", (line) => {
    const command = decode(line)
    // Executed at once, even while another command runs.
    if (command._tag === "Later") clock.forward(Duration.hours(command.hours))
    else Queue.offerUnsafe(commands, command)
  })
  // The harness has ended.
  lines.on("close", () => process.exit(0))

  let session: Session | undefined
  say({ _tag: "Ready" })
  while (true) {
    const command = yield* Queue.take(commands)
    if (command._tag === "Start") session = yield* begin(command)
    else if (session === undefined) say({ _tag: "Defect", message: `${command._tag} before Start` })
    else if (command._tag === "Stop") {
      yield* Fiber.interrupt(session.polling)
      yield* Scope.close(session.scope, Exit.void)
      session = undefined
      say({ _tag: "Stopped" })
    } else if (command._tag === "Hint") {
      // If the process can't reach its database yet, the hint is lost.
      const engine = Option.getOrUndefined(yield* Deferred.poll(session.engine))
      if (engine === undefined) continue
      yield* hint(command).pipe(
        Effect.provideContext(yield* engine),
        Effect.provideService(Limits, session.limits),
        Effect.onExit(defectOf),
        Effect.forkIn(session.scope)
      )
    } else {
      const engine = yield* Deferred.await(session.engine)
      const result = yield* sync(command).pipe(
        Effect.provideContext(engine),
        Effect.provideService(Limits, session.limits),
        Effect.onExit(defectOf),
        Effect.catch((error) =>
          Effect.succeed({ _tag: "Synced", status: "failed", error: String(error), counts: {} } as const)
        )
      )
      say(result)
    }
  }
})

await Effect.gen(function* () {
  const clock = FastClock.make(yield* Clock.Clock, LeanEngine.speed)
  yield* Effect.provideService(main(clock), Clock.Clock, clock)
}).pipe(
  Effect.provideService(References.MinimumLogLevel, process.env["CHAOS_LOG"] === "1" ? "Debug" : "Error"),
  Effect.runPromise
)
