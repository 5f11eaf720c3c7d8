/**
 * What a database that is in use needs now and then: bodies that nothing names, removals that a crash cut short, and the
 * history of runs. All of it is safe beside runs, and beside another process that does the same.
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Store, type StoreError } from "../Store.ts"

const every = Duration.days(1)

/** A process that is restarted each day gets to it too, and one that has just started has better things to do. */
const firstAfter = Duration.minutes(10)

/** How long a body that nothing names is kept: far longer than a run needs from writing it to naming it. */
const bodiesUnusedFor = Duration.days(1)

/** How long runs are kept: `IDEM_KEEP_RUNS`, 30 days unless it is set. A connection's last run stays. */
export const settings: Config.Config<{ readonly keepRuns: Duration.Duration }> = Config.all({
  keepRuns: Config.Duration("IDEM_KEEP_RUNS").pipe(Config.withDefault(Duration.days(30)))
})

const step = <R>(work: Effect.Effect<number, StoreError, R>, say: (count: number) => string) =>
  work.pipe(
    Effect.flatMap((count) => (count > 0 ? Effect.logInfo(say(count)) : Effect.void)),
    Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message))
  )

/** Does all of it once. What fails is said, and does not keep the rest from being done. */
const once = Effect.fn("Upkeep.once")(function* (options: { readonly keepRuns: Duration.Duration }) {
  const store = yield* Store
  yield* step(store.pruneRuns(options.keepRuns), (count) => `removed ${count} old runs`)
  yield* step(store.collectBodies(bodiesUnusedFor), (count) => `removed ${count} bodies that nothing names`)
})

/** Does it once a day until the scope closes. */
export const daily = Effect.fnUntraced(function* (options: { readonly keepRuns: Duration.Duration }) {
  const loop = Effect.forever(Effect.andThen(once(options), Effect.sleep(every)))
  yield* Effect.forkScoped(Effect.andThen(Effect.sleep(firstAfter), loop))
})
