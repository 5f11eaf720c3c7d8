/** The readiness check, for load balancers and orchestrators. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { PollingClaim } from "../../engine/locks/PollingClaim.ts"
import type { FeedHolder } from "../../engine/model/Change.ts"
import { FeedStore } from "../../engine/store/FeedStore.ts"

/** The process is not ready. The message says why. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

/** The time limit for the database to return one row. */
const timeout = Duration.seconds(3)

/** The same for `/health`, whose probes often wait for a second only. One result serves all requests of a second. */
const healthTimeout = Duration.millis(500)
const healthCachedFor = Duration.seconds(1)

export class Ready extends Context.Service<
  Ready,
  {
    /**
     * Succeeds if connections are polled and the database answers, with the transaction that the feed waits for (null
     * if none). Takes at most 3 seconds.
     */
    readonly check: Effect.Effect<FeedHolder | null, NotReady>
    /** Returns false if the database does not answer within half a second. */
    readonly reachesDatabase: Effect.Effect<boolean>
  }
>()("idem/http/system/Readiness") {
  static readonly layer: Layer.Layer<Ready, never, FeedStore | PollingClaim> = Layer.effect(
    Ready,
    Effect.gen(function* () {
      const feed = yield* FeedStore
      const { takenOver } = yield* PollingClaim
      const reachesDatabase = feed.holder.pipe(
        Effect.timeoutOption(healthTimeout),
        Effect.match({ onFailure: () => false, onSuccess: Option.isSome })
      )
      return {
        reachesDatabase: yield* Effect.cachedWithTTL(reachesDatabase, healthCachedFor),
        check: Effect.gen(function* () {
          const other = yield* takenOver
          if (Option.isSome(other)) {
            const message = `${other.value} has taken over the polling of this database: stop one of the two`
            return yield* new NotReady({ message })
          }
          return yield* feed.holder.pipe(
            Effect.timeoutOrElse({
              duration: timeout,
              orElse: () =>
                Effect.fail(new NotReady({ message: `the database did not answer within ${Duration.format(timeout)}` }))
            }),
            Effect.catchTag("StoreError", ({ message }) =>
              Effect.fail(new NotReady({ message: `the database does not answer: ${message}` }))
            )
          )
        })
      }
    })
  )
}
