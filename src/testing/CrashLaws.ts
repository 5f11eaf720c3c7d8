/** Laws of crashes and interruptions. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Batch } from "../engine/model/Batch.ts"
import { begin, mirrors, succeed } from "./ChangeLaws.ts"
import { ahead, crashCost, ending, makeStore, start, watcher } from "./Harness.ts"
import { type Draft, expect, type Finding, type ScriptedSource } from "./Law.ts"
import type { WholeStore } from "./WholeStore.ts"

/**
 * Makes a store that simulates `kill -9`: from the first commit for which `strikes` returns true, no write reaches the
 * store, and no call returns.
 */
const dyingAt = (store: WholeStore, strikes: (batch: Batch) => boolean, died: Deferred.Deferred<void>): WholeStore => {
  let dead = false
  // A commit is uninterruptible, but a commit that never returns must still end with the law.
  const lost = Effect.interruptible(Effect.never)
  const unlessDead = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => (dead ? lost : effect))
  return {
    ...store,
    commit: (fence, batch) =>
      Effect.suspend(() => {
        dead = dead || strikes(batch)
        return dead ? Effect.andThen(Deferred.succeed(died, undefined), lost) : store.commit(fence, batch)
      }),
    renew: (...args) => unlessDead(store.renew(...args)),
    release: (...args) => unlessDead(store.release(...args)),
    finishRun: (...args) => unlessDead(store.finishRun(...args))
  }
}

/** Crashes at this commit, from 1. */
const atCommit = (commit: number) => {
  let commits = 0
  return (): boolean => {
    commits += 1
    return commits === commit
  }
}

/** Crashes at the first commit after this number of page ends, so that the last stored checkpoint is of that page. */
const afterPage = (page: number) => {
  let pages = 0
  return (batch: Batch): boolean => {
    if (pages === page) return true
    if (batch.page !== undefined) pages += 1
    return false
  }
}

/** Takes over the dead process's lease, like a process of the same machine. */
const takingOver = (store: WholeStore): WholeStore => ({
  ...store,
  acquire: (connectionId, options) =>
    Effect.flatMap(store.connection(connectionId), (found) => {
      const deadHolder = found._tag === "Some" ? found.value.lease?.holder : undefined
      return store.acquire(connectionId, { ...options, deadHolder })
    })
})

/**
 * Runs syncs that crash one after the other, each taking over from the previous one; then a sync that takes over and
 * completes, and another one. Returns true if a sync completed before its crash.
 */
const survive = Effect.fnUntraced(function* (
  source: ScriptedSource,
  strikes: ReadonlyArray<(batch: Batch) => boolean>,
  where: string
): Effect.fn.Return<boolean, Finding, Scope.Scope> {
  const { credentials, integration } = source
  const store = yield* makeStore
  const watch = watcher()
  const dead: Array<Fiber.Fiber<unknown, unknown>> = []
  let ended = false
  for (const strike of strikes) {
    const died = yield* Deferred.make<void>()
    const left = dead.length === 0 ? store : takingOver(store)
    const dying = yield* start({ integration, credentials, store: dyingAt(left, strike, died), watch })
    if (dead.length === 0) yield* dying.connect(source.config)
    const running = yield* Effect.forkChild(dying.sync(), { startImmediately: true })
    dead.push(running)
    ended = yield* Effect.raceFirst(Effect.as(Deferred.await(died), false), Effect.as(Fiber.await(running), true))
    if (ended) break
  }
  const next = yield* start({ integration, credentials, store: takingOver(store), watch })
  yield* succeed(next)
  yield* mirrors(source, next).pipe(Effect.mapError((found) => `after a crash ${where}: ${found}`))
  const repeated = watch.downloads.length - new Set(watch.downloads).size
  const allowed = crashCost * strikes.length
  yield* expect(!source.usesChecker || repeated <= allowed, `a crash ${where} had ${repeated} items downloaded again`)
  yield* Fiber.interruptAll(dead)
  const { counts } = yield* succeed(next)
  yield* expect(counts.stored + counts.updated === 0, `after a crash ${where} a third sync still found something`)
  return ended
})

/**
 * Adds items until there are five pages, so that some are left after the second crash; at most 1,200 items. Two pages
 * are enough if 1,200 items would not fill four.
 */
const fillPages = Effect.fnUntraced(function* (source: ScriptedSource) {
  const most = 1200
  let items = 0
  for (const count of [40, 60, 200, 300, 600]) {
    yield* source.add(count)
    items += count
    const { process, watch } = yield* begin(source)
    yield* succeed(process, { dryRun: true })
    const sizes = watch.pages.map(({ page }) => page.listed.length).filter((size) => size > 0)
    const isOfFullPages = sizes.length === 2 && Math.max(...sizes) * 3 >= most
    if (sizes.length >= 5 || items === most || isOfFullPages) return
  }
})

const remedy =
  "A checkpoint must be true once its page is committed, and never before: it may not stand ahead of refs that a later page still has to bring"

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "a crash after any commit, then another sync, loses nothing and repeats no more than a batch",
    remedy,
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(40)
      for (let commit = 1; commit <= 12; commit += 1) {
        if (yield* survive(source, [atCommit(commit)], `at commit ${commit}`)) return
      }
    })
  },
  {
    name: "a crash between two pages, then another sync, loses nothing",
    remedy,
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* fillPages(source)
      // A crash after page 1, and one after page 3 of a resumed listing.
      yield* survive(source, [afterPage(1), afterPage(2)], "between two pages")
    })
  },
  {
    name: "a process whose clock is hours behind goes on where another one stopped, comes to an end, and loses nothing",
    remedy:
      "Times of this machine's clock in a checkpoint may be later than that of the next machine: read them as no later than now. What is asked of the source by time is best taken from the source's own times",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(60)
      const { credentials, integration } = source
      const store = yield* makeStore
      const watch = watcher()
      const died = yield* Deferred.make<void>()
      const early = yield* start({ integration, credentials, store: dyingAt(store, afterPage(1), died), watch })
      yield* early.connect(source.config)
      const running = yield* early
        .sync()
        .pipe(ahead(Duration.toMillis("5 hours")), Effect.forkChild({ startImmediately: true }))
      yield* Effect.raceFirst(Deferred.await(died), Fiber.await(running))
      const next = yield* start({ integration, credentials, store: takingOver(store), watch, slicePages: 2 })
      yield* ending(watch, succeed(next))
      yield* mirrors(source, next)
      yield* source.add(5)
      yield* ending(watch, succeed(next))
      yield* mirrors(source, next)
      yield* Fiber.interrupt(running)
    })
  },
  {
    name: "an interruption in the middle of a listing or a download releases what was opened",
    remedy: "Acquire what you open with Effect.acquireRelease in `open`'s scope or in the body's stream",
    needs: ["open"],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(12)
      const { credentials, integration } = source
      for (const step of [1, 2, 5, 10]) {
        const store = yield* makeStore
        const watch = watcher()
        const reached = yield* Deferred.make<void>()
        let steps = 0
        watch.step = () => {
          steps += 1
          return steps === step ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) : Effect.void
        }
        const process = yield* start({ integration, credentials, store, watch })
        yield* process.connect(source.config)
        const running = yield* Effect.forkChild(process.sync(), { startImmediately: true })
        yield* Effect.raceFirst(Deferred.await(reached), Fiber.await(running))
        yield* Fiber.interrupt(running)
        const open = yield* source.open ?? Effect.succeed(0)
        yield* expect(open === 0, `interrupted at step ${step}, ${open} were left open at the source`)
      }
    })
  }
]
