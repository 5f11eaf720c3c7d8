/**
 * A model of the run, its lease and its fence, in one process: several engines over one store in memory, each step of
 * each of them let through one at a time. A step is a call of the store (held up before it, and again before its answer
 * is heard), a page, or a download. In between a process is killed, frozen and thawed, time passes, and the source
 * changes. After each step what must always be true is looked at.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { IntegrationError, Transient } from "../../src/contract/IntegrationError.ts"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { Limits } from "../../src/engine/Limits.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import * as Run from "../../src/engine/sync/Run.ts"
import { Store } from "../../src/engine/Store.ts"
import { Vault } from "../../src/engine/secrets/Vault.ts"
import * as Memory from "../../src/stores/Memory.ts"
import * as Broken from "./Broken.ts"
import { Checkpoint, ModelSource } from "./ModelSource.ts"
import type { Broken as BrokenName } from "./Protocol.ts"

type Service = Store["Service"]

/** One thing that happens; `which` chooses among what there is to choose from. */
export const Step = Schema.Struct({
  what: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 69 }))),
  which: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 99 })))
})
export type Step = typeof Step.Type

interface Parked {
  readonly process: Process
  readonly what: string
  /** What is let through may also fail, where it is a request to the source. */
  readonly through: Deferred.Deferred<void, IntegrationError>
}

interface Process {
  readonly name: string
  frozen: boolean
  dead: boolean
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

const batchItems = 3
const concurrency = 2

/** The open batch, what is in flight, and what waits between the two. */
const crashCost = batchItems + concurrency + 16

const limits = Layer.effect(
  Limits,
  Effect.map(Limits, (defaults): Limits => ({ ...defaults, batchItems, concurrency, slicePages: 3 }))
)

const vault = Layer.succeed(
  Vault,
  Vault.of({
    seal: () => Effect.succeed(new Uint8Array([1])),
    unseal: () => Effect.succeed({}),
    keys: Effect.succeed({ current: "0011223344556677", former: [] })
  })
)

const leaseTtl = Duration.seconds(30)

/** Lets every fiber run until all of them wait for a gate or for the clock. */
const settle = Effect.promise(async () => {
  for (let turn = 0; turn < 6; turn += 1) await new Promise<void>((resolve) => setImmediate(resolve))
})

/** Plays these steps, then lets one process end the work. Gives what was found wrong, and what was done. */
export const play = Effect.fn("Model.play")(function* (steps: ReadonlyArray<Step>, broken: BrokenName | null = null) {
  const problems: Array<string> = []
  const trace: Array<string> = []
  const source = new ModelSource()
  const parked: Array<Parked> = []
  const processes: Array<Process> = []
  const shared = Context.get(yield* Layer.build(Memory.layer), Store)
  let born = 0
  let disruptions = 0
  let free = false

  const { id } = yield* shared.createConnection({
    name: "model",
    domain: "model",
    account: "me",
    config: {},
    credentials: new Uint8Array([1]),
    every: Duration.seconds(10)
  })

  // ---- one process -----------------------------------------------------------------------------------------------
  // Nothing of a dead process reaches anything, and it hears nothing; what is uninterruptible ends with the test.
  const gone = Effect.interruptible(Effect.never)
  const wait = (process: Process, what: string): Effect.Effect<void, IntegrationError> =>
    Effect.suspend(() => {
      if (process.dead) return gone
      if (free && !process.frozen) return Effect.void
      const through = Deferred.makeUnsafe<void, IntegrationError>()
      parked.push({ process, what, through })
      return Effect.andThen(
        Deferred.await(through),
        Effect.suspend(() => (process.dead ? gone : Effect.void))
      )
    })

  /** The store as a process reaches it: each call takes two steps, one until it is made and one until it is heard. */
  const reached = (process: Process): Service => {
    const steps =
      <Args extends ReadonlyArray<unknown>, A, E>(name: string, call: (...args: Args) => Effect.Effect<A, E>) =>
      (...args: Args): Effect.Effect<A, E> =>
        Effect.orDie(wait(process, `ask ${name}`)).pipe(
          Effect.andThen(Effect.suspend(() => call(...args))),
          Effect.tap(() => Effect.orDie(wait(process, `hear ${name}`)))
        )
    const stepped: Service = {
      ...watched,
      acquire: steps("acquire", watched.acquire),
      renew: steps("renew", watched.renew),
      release: steps("release", watched.release),
      beginRun: steps("beginRun", watched.beginRun),
      finishRun: steps("finishRun", watched.finishRun),
      commit: steps("commit", watched.commit),
      changeScope: steps("changeScope", watched.changeScope),
      completeDeletions: steps("completeDeletions", watched.completeDeletions),
      applyDeletions: steps("applyDeletions", watched.applyDeletions),
      revisions: steps("revisions", watched.revisions),
      retriesDue: steps("retriesDue", watched.retriesDue)
    }
    return Broken.decorate(stepped, broken)
  }

  /** The store itself, watched: how often something became stored. */
  const watched: Service = {
    ...shared,
    commit: (fence, batch) =>
      Effect.tap(shared.commit(fence, batch), ({ outcomes }) =>
        Effect.sync(() => {
          for (const outcome of outcomes.values()) if (outcome === "stored") born += 1
        })
      )
  }

  const begin = Effect.fnUntraced(function* () {
    const process: Process = { name: `p${processes.length}`, frozen: false, dead: false, fiber: undefined }
    const store = reached(process)
    const gate = (what: string) => wait(process, what)
    const services = Layer.mergeAll(
      Layer.succeed(Store, store),
      Quotas.layerMemory,
      vault,
      limits,
      Integrations.layer({ model: Effect.succeed(source.integration(gate)) })
    )
    const living = Effect.gen(function* () {
      while (true) {
        // From the moment that the connection is ours until it is given back, an interruption must not come between.
        const taken = yield* store.acquire(id, { holder: process.name, ttl: leaseTtl })
        if (Option.isSome(taken)) {
          yield* Run.run(taken.value, { _tag: "Live", recorded: false, retryFailed: true }, () => Effect.void)
        }
        yield* Effect.sleep(Option.isSome(taken) ? "1 second" : "20 seconds")
      }
    })
    process.fiber = yield* Effect.forkScoped(
      Effect.onExit(Effect.provide(living, services), (exit) =>
        Effect.sync(() => {
          if (Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) && !process.dead) {
            problems.push(`${process.name} ended: ${Cause.pretty(exit.cause)}`)
          }
        })
      )
    )
    processes.push(process)
  })

  // ---- what must always be true ------------------------------------------------------------------------------------
  const decodeCheckpoint = Schema.decodeUnknownSync(Checkpoint)

  const look = Effect.gen(function* () {
    const connection = Option.getOrThrow(yield* shared.connection(id))
    const runs = yield* shared.runs(id, 1000)
    for (const run of runs) {
      if (!RunCounts.addUp(run.counts)) problems.push(`the counts of a run don't add up: ${JSON.stringify(run.counts)}`)
      if (run.error !== null && !expected.has(run.error.reason)) {
        problems.push(`a run failed: ${run.error.reason}, ${run.error.message}`)
      }
    }
    const counted = runs.reduce((sum, run) => sum + run.counts.stored, 0)
    if (counted !== born) problems.push(`runs count ${counted} stored items, and ${born} were`)
    if (Option.isNone(connection.checkpoint)) return
    const { pass, position } = decodeCheckpoint(connection.checkpoint.value)
    const due = [...source.items.keys()].filter((externalId) => {
      const changedAt = source.changedAt(externalId)
      if (changedAt >= position) return false
      return pass === null || changedAt >= pass.from || externalId <= pass.after
    })
    const known = yield* shared.revisions(id, due)
    for (const externalId of due) {
      const revision = known.get(externalId)
      if (revision === undefined) problems.push(`the checkpoint is ahead: ${externalId} is not known`)
    }
  })
  const expected = new Set(["Transient", "TooManyFailures"])

  // ---- what happens ------------------------------------------------------------------------------------------------
  const pick = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[which % Math.max(1, from.length)]
  const alive = () => processes.filter((process) => !process.dead)
  const take = Effect.fnUntraced(function* ({ what, which }: Step) {
    const said = (text: string) => trace.push(text)
    const ids = [...source.items.keys()]
    if (what < 52) {
      const next = pick(
        parked.filter(({ process }) => !process.frozen && !process.dead),
        which
      )
      if (next === undefined) return yield* TestClock.adjust("1 second")
      parked.splice(parked.indexOf(next), 1)
      const fails = what === 51 && /^(download|list|changes)/.test(next.what)
      said(`${next.process.name}: ${next.what}${fails ? " fails" : ""}`)
      yield* fails
        ? Deferred.fail(next.through, new IntegrationError({ reason: new Transient({ message: "not now" }) }))
        : Deferred.succeed(next.through, undefined)
      return
    }
    switch (what) {
      case 52:
      case 53: {
        const victim = pick(alive(), which)
        if (victim === undefined) return
        disruptions += 1
        victim.dead = true
        for (const one of parked.filter(({ process }) => process === victim)) {
          parked.splice(parked.indexOf(one), 1)
          yield* Deferred.succeed(one.through, undefined)
        }
        said(`kill ${victim.name}`)
        return yield* begin()
      }
      case 54:
      case 55:
      case 56: {
        const victim = pick(
          alive().filter(({ frozen }) => !frozen),
          which
        )
        if (victim === undefined) return
        disruptions += 1
        victim.frozen = true
        return said(`freeze ${victim.name}`)
      }
      case 57:
      case 58: {
        const lucky = pick(
          alive().filter(({ frozen }) => frozen),
          which
        )
        if (lucky === undefined) return
        lucky.frozen = false
        return said(`thaw ${lucky.name}`)
      }
      case 59:
        if (alive().length < 3) yield* begin()
        return said("another process")
      case 60:
      case 61:
      case 62:
      case 63: {
        // Longer than a lease, or so long that it is to be renewed.
        const seconds = what === 60 ? 31 : what === 61 ? 11 : 1
        said(`${seconds} s`)
        return yield* TestClock.adjust(Duration.seconds(seconds))
      }
      case 64:
      case 65:
        source.add(1 + (which % 4))
        return said(`add ${1 + (which % 4)}`)
      case 66: {
        const found = pick(ids, which)
        if (found !== undefined) source.put(found)
        return said(`edit ${found}`)
      }
      case 67:
      case 68: {
        const found = pick(ids, which)
        if (found !== undefined) source.remove(found)
        return said(`remove ${found}`)
      }
      default:
        source.forgotten = source.log.length
        return said("the log is forgotten")
    }
  })

  source.add(7)
  yield* begin()
  for (const step of steps) {
    yield* settle
    yield* take(step)
    yield* settle
    yield* look
    if (problems.length > 0) break
  }
  const found = problems.length > 0

  // ---- the end: everybody is thawed, then one alone goes on -----------------------------------------------------------
  free = true
  for (const process of alive()) process.frozen = false
  for (const { through } of parked.splice(0)) yield* Deferred.succeed(through, undefined)
  trace.push("all are free")
  const right = Effect.gen(function* () {
    const stored = yield* shared.contents(id, { state: "stored", limit: 1000 })
    const rows = new Map(stored.contents.map((row) => [row.externalId, row.revision]))
    const wrong = [...new Set([...rows.keys(), ...source.items.keys()])].filter(
      (externalId) =>
        rows.get(externalId) !== (source.items.has(externalId) ? String(source.items.get(externalId)) : undefined)
    )
    const ledger = yield* shared.ledger(id, { limit: 100 })
    const { deletions: staged } = yield* shared.deletions(id, { which: "staged", limit: 100 })
    return [
      ...wrong.map(
        (externalId) => `${externalId} is ${rows.get(externalId)} and should be ${source.items.get(externalId)}`
      ),
      ...ledger.map((row) => `${row.externalId} is still ${row.state}`),
      ...staged.map((row) => `${row.externalId} is still staged for deletion`)
    ]
  })
  let wrong: ReadonlyArray<string> = ["not looked at"]
  for (let second = 0; second < 200 && wrong.length > 0; second += 1) {
    if (found) break
    yield* TestClock.adjust("1 second")
    yield* settle
    wrong = yield* right
  }
  const runs = yield* shared.runs(id, 1000)
  for (const process of processes) process.dead = true
  for (const process of processes) {
    if (process.fiber !== undefined) yield* Fiber.interrupt(process.fiber)
  }
  if (found) return { problems, trace }
  yield* look
  problems.push(...wrong)
  if (source.downloads > source.versions + disruptions * crashCost + source.items.size + failed(trace)) {
    problems.push(`${source.downloads} downloads of ${source.versions} versions, with ${disruptions} disruptions`)
  }
  if (runs.filter((run) => run.status === "running").length > 1) problems.push("two runs are running")
  return { problems, trace }
}, Effect.scoped)

const failed = (trace: ReadonlyArray<string>): number => trace.filter((line) => line.endsWith("fails")).length
