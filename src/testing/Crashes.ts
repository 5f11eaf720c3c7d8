/** Laws of what ends in the middle. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Store } from "../engine/Store.ts"
import { mirrors, succeed } from "./Changes.ts"
import { crashCost, makeStore, start, watcher } from "./Harness.ts"
import { type Draft, expect } from "./Law.ts"

/** A process as `kill -9` leaves it: from the given commit on, nothing of it reaches the store, and it gets no answer. */
const dyingAt = (store: Store["Service"], commit: number, died: Deferred.Deferred<void>): Store["Service"] => {
  let commits = 0
  // A commit is uninterruptible; one that never comes back must still end with the law.
  const lost = Effect.interruptible(Effect.never)
  const unlessDead = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.suspend(() => (commits >= commit ? lost : effect))
  return {
    ...store,
    commit: (fence, batch) =>
      Effect.suspend(() => {
        commits += 1
        return commits >= commit ? Effect.andThen(Deferred.succeed(died, undefined), lost) : store.commit(fence, batch)
      }),
    renew: (...args) => unlessDead(store.renew(...args)),
    release: (...args) => unlessDead(store.release(...args)),
    finishRun: (...args) => unlessDead(store.finishRun(...args))
  }
}

/** The dead process's lease is taken over as a lease of this machine's dead process is. */
const takingOver = (store: Store["Service"]): Store["Service"] => ({
  ...store,
  acquire: (connectionId, options) =>
    Effect.flatMap(store.connection(connectionId), (found) => {
      const deadHolder = found._tag === "Some" ? found.value.lease?.holder : undefined
      return store.acquire(connectionId, { ...options, deadHolder })
    })
})

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "a crash after any commit, then another sync, loses nothing and repeats no more than a batch",
    remedy:
      "A checkpoint must be true once its page is committed, and never before: it may not stand ahead of refs that an earlier page still has to bring",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(40)
      const { credentials, integration } = source
      for (let commit = 1; commit <= 12; commit += 1) {
        const store = yield* makeStore
        const died = yield* Deferred.make<void>()
        const watch = watcher()
        const dying = yield* start({ integration, credentials, store: dyingAt(store, commit, died), watch })
        yield* dying.connect(source.config)
        const running = yield* Effect.forkChild(dying.sync(), { startImmediately: true })
        const ended = yield* Effect.raceFirst(
          Effect.as(Deferred.await(died), false),
          Effect.as(Fiber.await(running), true)
        )
        const next = yield* start({ integration, credentials, store: takingOver(store), watch })
        yield* succeed(next)
        yield* mirrors(source, next).pipe(Effect.mapError((found) => `after a crash at commit ${commit}: ${found}`))
        const repeated = watch.downloads.length - new Set(watch.downloads).size
        yield* expect(
          !source.usesChecker || repeated <= crashCost,
          `a crash at commit ${commit} had ${repeated} items downloaded again`
        )
        yield* Fiber.interrupt(running)
        const { counts } = yield* succeed(next)
        yield* expect(
          counts.stored + counts.updated === 0,
          `after a crash at commit ${commit} a third sync still found something`
        )
        if (ended) return
      }
    })
  },
  {
    name: "an interruption in the middle of a listing or a download releases what was opened",
    remedy: "Acquire what you open with Effect.acquireRelease in `open`'s scope or in the body's stream",
    needs: ["open"],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(20)
      const { credentials, integration } = source
      for (let step = 1; step <= 15; step += 2) {
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
