/**
 * Daily maintenance of the database: removes bodies that no content refers to, finishes removals that a crash cut
 * short, and prunes the history of runs and of webhooks' messages. It is safe beside runs, and beside another process
 * that does the same.
 */
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as DurationSetting from "../DurationSetting.ts"
import { BodyStore } from "../store/BodyStore.ts"
import { RunStore } from "../store/RunStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import { WebhookStore } from "../store/WebhookStore.ts"

const every = Duration.days(1)

/**
 * The delay of the first maintenance: short enough for a process that is restarted daily, long enough not to slow its
 * start.
 */
const firstAfter = Duration.minutes(10)

/** How long an unreferenced body is kept: far longer than a run takes from writing a body to committing its row. */
const bodiesUnusedFor = Duration.days(1)

/** How long delivered messages of webhooks and dead letters are kept. */
const messagesKept = { delivered: Duration.days(3), dead: Duration.days(30) }

/** `IDEM_KEEP_RUNS`: how long runs are kept, by default 30 days. A connection's last run is always kept. */
export const settings: Config.Config<{ readonly keepRuns: Duration.Duration }> = Config.all({
  keepRuns: DurationSetting.make("IDEM_KEEP_RUNS", {
    standard: Duration.days(30),
    least: Duration.days(1),
    most: Duration.days(36_500)
  })
})

const step = <R>(work: Effect.Effect<number, StoreError, R>, say: (count: number) => string) =>
  work.pipe(
    Effect.flatMap((count) => (count > 0 ? Effect.logInfo(say(count)) : Effect.void)),
    Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message)),
    Effect.catchCauseIf(
      (cause) => !Cause.hasInterruptsOnly(cause),
      (cause) => Effect.logError("a step of the daily maintenance failed with a defect; the others go on", cause)
    )
  )

/** Runs all steps once. A failure or a defect is logged and does not stop the other steps. */
const once = Effect.fn("Maintenance.once")(function* (options: { readonly keepRuns: Duration.Duration }) {
  const runs = yield* RunStore
  const bodies = yield* BodyStore
  const webhooks = yield* WebhookStore
  yield* step(runs.pruneRuns(options.keepRuns), (count) => `removed ${count} old runs`)
  yield* step(bodies.collectBodies(bodiesUnusedFor), (count) => `removed ${count} bodies that no content refers to`)
  yield* step(webhooks.prune(messagesKept), (count) => `removed ${count} old messages of webhooks`)
})

/** Runs the maintenance once a day until the scope closes. */
export const daily = Effect.fnUntraced(function* (options: { readonly keepRuns: Duration.Duration }) {
  const loop = Effect.forever(Effect.andThen(once(options), Effect.sleep(every)))
  yield* Effect.forkScoped(Effect.andThen(Effect.sleep(firstAfter), loop))
})
