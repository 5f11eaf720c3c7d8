/**
 * Plays one seed: processes over one store in memory, sources, people, faults, and the time between them. All of it is
 * one synchronous computation, so the same plan gives the same trace.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as EffectRandom from "effect/Random"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as EffectScheduler from "effect/Scheduler"
import { Limits } from "../../src/engine/Limits.ts"
import { type WholeStore, fromContext } from "../../src/testing/WholeStore.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { Random } from "../chaos/Random.ts"
import * as Account from "./Account.ts"
import { Caller } from "./Caller.ts"
import { Faults } from "./Faults.ts"
import * as FaultyStore from "./FaultyStore.ts"
import { Interleaving, VirtualClock } from "./Interleaving.ts"
import { Oracle } from "./Oracle.ts"
import { Polling } from "./Polling.ts"
import * as Process from "./Process.ts"
import { Checkpoint, type Pass } from "./SimulatedCheckpoint.ts"
import * as SimulatedIntegration from "./SimulatedIntegration.ts"
import { SimulatedSource, Ticks } from "./SimulatedSource.ts"
import * as SourceProfile from "./SourceProfile.ts"

type Service = WholeStore

/** Tasks that may run while time stands still. */
const tasksAtOnce = 20_000

const logger = (say: Simulation["say"]) =>
  Logger.make(({ cause, message }) => {
    say(() => `log: ${String(message)} ${cause.reasons.length === 0 ? "" : Cause.pretty(cause)}`)
  })

export class Simulation {
  readonly random: Random
  readonly ticks = new Ticks()
  readonly faults = new Faults()
  readonly clock = new VirtualClock(Date.UTC(2026, 0, 10))
  readonly interleaving: Interleaving
  readonly accounts: ReadonlyArray<Account.Account>
  readonly processes: Array<Process.Process> = []
  readonly trace: Array<string> = []
  readonly store: Service
  readonly oracle: Oracle
  readonly polling = new Polling(this)
  readonly limits: Limits
  /** False after faults have ended: no call is slow any more. */
  isRough = true
  readonly say: (text: () => string) => void
  readonly #context: Context.Context<never>
  readonly #integration: ReturnType<typeof SimulatedIntegration.make>
  readonly #decorate: (store: Service) => Service
  readonly #decodeCheckpoint = Schema.decodeUnknownSync(Checkpoint)
  /** The polls and the persons' requests that have not ended. */
  readonly #underWay = new Set<Caller>()
  #tokens = 0

  constructor(
    seed: number,
    options: { readonly isTraced: boolean; readonly decorate?: (store: Service) => Service | undefined }
  ) {
    this.random = new Random(seed * 2)
    const { random } = this
    this.interleaving = new Interleaving(random)
    this.#decorate = (store) => options.decorate?.(store) ?? store
    this.say = options.isTraced
      ? (text) => this.trace.push(`${this.clock.currentTimeMillisUnsafe() - Date.UTC(2026, 0, 10)} ms  ${text()}`)
      : () => {}
    this.limits = {
      ...Context.get(Context.empty(), Limits),
      sliceTime: Duration.seconds(random.pick([10, 60])),
      slicePages: random.between(1, 5),
      batchItems: random.between(1, 6),
      concurrency: random.between(1, 4),
      stallAfter: Duration.minutes(3),
      inlineBytes: 64,
      downAfter: random.between(2, 5),
      abortAfter: random.between(3, 10),
      retries: random.pick([1, 3, 500]),
      deletions: random.between(0, 3),
      deletionShare: random.pick([0.1, 0.3]),
      groupItems: random.between(1, 12)
    }
    this.#context = Context.empty().pipe(
      Context.add(EffectScheduler.Scheduler, this.interleaving),
      Context.add(Clock.Clock, this.clock),
      Context.add(EffectRandom.Random, {
        nextDoubleUnsafe: () => random.next(),
        nextIntUnsafe: () => random.between(-1e9, 1e9)
      }),
      Context.add(References.MinimumLogLevel, options.isTraced ? "Warn" : "None"),
      Context.add(Logger.CurrentLoggers, new Set([logger(this.say)])),
      Context.add(References.TracerEnabled, false),
      Context.add(Limits, this.limits)
    )
    this.store = fromContext(this.now(Effect.scoped(Layer.build(Memory.layer))))
    const names = random.chance(0.3) ? ["one", "two"] : ["one"]
    this.accounts = names.map((name) =>
      Account.make(
        name,
        new SimulatedSource(`account of ${name}`, SourceProfile.draw(random), this.ticks, () =>
          this.clock.currentTimeMillisUnsafe()
        )
      )
    )
    this.oracle = new Oracle(this.store, this.accounts, this.limits, this.say)
    this.#integration = SimulatedIntegration.make({
      sources: new Map(this.accounts.map(({ source }) => [source.account, source])),
      faults: this.faults,
      random,
      now: () => this.clock.currentTimeMillisUnsafe(),
      isRough: () => this.isRough,
      say: this.say,
      passesOf: (account) => this.#passesOf(account),
      opened: (caller, account) => this.#opened(caller, account)
    })
    this.say(() => `limits ${JSON.stringify(this.limits)}`)
    for (const { name, source } of this.accounts) this.say(() => `${name}: ${JSON.stringify(source.profile)}`)
  }

  // ---- running ---------------------------------------------------------------------------------------------------

  /** Runs an effect of the harness in one step. */
  now<A, E>(effect: Effect.Effect<A, E>): A {
    const was = this.interleaving.isAtomic
    this.interleaving.isAtomic = true
    const fiber = Effect.runForkWith(this.#context)(effect)
    this.interleaving.isAtomic = was
    const exit = fiber.pollUnsafe()
    if (exit === undefined) throw new Error("a step of the harness did not end at once")
    if (Exit.isFailure(exit)) throw new Error("a step of the harness failed", { cause: exit.cause })
    return exit.value
  }

  /** Starts an effect in a process; `done` is called with its exit. */
  fork<A, E>(
    process: Process.Process,
    kind: Caller["kind"],
    effect: Effect.Effect<A, E>,
    done: (exit: Exit.Exit<A, E>) => void = () => {},
    isDry = false
  ): void {
    const caller: Caller = {
      process,
      kind,
      isDry,
      since: this.ticks.next(),
      isStruck: false,
      told: { problems: 0, failedItems: 0 }
    }
    const context = Context.add(process.context, Caller, caller)
    this.#underWay.add(caller)
    Effect.runForkWith(context)(effect).addObserver((exit) => {
      this.#underWay.delete(caller)
      if (!process.dead) done(exit)
    })
  }

  startProcess(): void {
    const name = `p${this.processes.length + 1}`
    const store = FaultyStore.make({
      store: this.#decorate(this.store),
      faults: this.faults,
      interleaving: this.interleaving,
      random: this.random,
      now: () => this.clock.currentTimeMillisUnsafe(),
      slow: () => (this.isRough ? 0.05 : 0),
      say: this.say,
      watch: {
        written: this.oracle.written,
        committed: this.oracle.committed,
        finished: (status, caller) => this.oracle.finished(status, caller),
        acquired: (id, caller) => this.oracle.acquired(id, caller, this.clock.currentTimeMillisUnsafe()),
        released: (fence, next, caller) => {
          this.oracle.released(fence.connectionId, caller)
          return this.oracle.leftAlone(fence, next)
        }
      }
    })
    const isDead = (holder: string) => this.processes.find((each) => each.name === holder)?.dead ?? false
    this.processes.push(
      this.now(
        Process.start({ name, store, integration: this.#integration, isDead }).pipe(Effect.provide(this.#context))
      )
    )
    this.say(() => `${name} starts`)
  }

  alive(which: number): Process.Process {
    let alive = this.processes.filter((process) => !process.dead)
    if (alive.length === 0) {
      this.startProcess()
      alive = this.processes.slice(-1)
    }
    const found = alive[Math.floor(which * alive.length)]
    if (found === undefined) throw new Error("no process is alive")
    return found
  }

  /** Runs the tasks that need no time to pass, but at most this many. */
  settle(atMost = Number.POSITIVE_INFINITY): void {
    let ran = 0
    while (ran < atMost && this.interleaving.step()) {
      ran += 1
      if (ran > tasksAtOnce) {
        this.oracle.problem("something runs for ever while time stands still")
        return
      }
    }
  }

  /** Lets time pass until nothing is running and nothing is due, but at most for this long. */
  rest(atMostMillis: number): void {
    this.advance(atMostMillis, () => [...this.#underWay].every(({ process }) => process.dead))
  }

  /** Lets time pass: runs timers in order, and polls as they become due. Ends early once `isOver` returns true. */
  advance(millis: number, isOver: () => boolean = () => false): void {
    const until = this.clock.currentTimeMillisUnsafe() + Math.round(millis)
    while (this.oracle.problems.length === 0) {
      this.settle()
      this.polling.wakeDue()
      this.settle()
      if (isOver()) return
      const next = this.clock.next
      if (next === undefined || next > until) break
      this.clock.moveTo(next, (wake) => this.interleaving.scheduleTask(wake))
    }
    if (until > this.clock.currentTimeMillisUnsafe()) {
      this.clock.moveTo(until, (wake) => this.interleaving.scheduleTask(wake))
      for (let rounds = 0; rounds < 100 && this.polling.wakeDue(); rounds += 1) this.settle()
    }
  }

  /** Kills a process: the results of its polls are lost. */
  died(process: Process.Process): void {
    process.dead = true
    this.say(() => `${process.name} dies`)
  }

  newToken(): string {
    this.#tokens += 1
    return `token${this.#tokens}`
  }

  /** Returns the connection's row. */
  row({ id }: Account.Account) {
    return id === undefined ? undefined : Option.getOrUndefined(this.now(this.store.connection(id)))
  }

  /** Returns true for a checkpoint within a pass. */
  hasPass(checkpoint: unknown): boolean {
    return this.#decodeCheckpoint(checkpoint).pass !== null
  }

  #passesOf(name: string): ReadonlyArray<Pass> {
    const account = this.accounts.find(({ source }) => source.account === name)
    const checkpoint = account === undefined ? undefined : this.row(account)?.checkpoint
    if (checkpoint?._tag !== "Some") return []
    const { done, pass } = this.#decodeCheckpoint(checkpoint.value)
    return pass === null ? done : [...done, pass]
  }

  #opened(caller: Caller, name: string): void {
    const account = this.accounts.find(({ source }) => source.account === name)
    if (account === undefined || caller.kind !== "poll") return
    const { disconnectedAt, pausedSince } = account
    const isForgotten = this.row(account)?.credentials === null
    if (disconnectedAt !== undefined && caller.since > disconnectedAt && isForgotten) {
      this.oracle.problem(`${account.name} was polled after it was disconnected`)
    }
    if (pausedSince === undefined || caller.since <= pausedSince || account.id === undefined) return
    const tasks = this.now(this.store.taskSummaries(account.id, { limit: 100 }))
    if (tasks.every(({ task }) => !task.requested || task.finishedAt !== null)) {
      this.oracle.problem(`${account.name} was polled while a person had paused it`)
    }
  }
}
