/** The readiness check, for load balancers and orchestrators. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Polling } from "../../engine/schedule/PollerLock.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"

/** Why not, for a person. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

/** How long the database may take to return one row. */
const timeout = Duration.seconds(3)

export class Ready extends Context.Service<
  Ready,
  {
    /** Succeeds where connections are polled and the database answers. It takes at most 3 seconds. */
    readonly check: Effect.Effect<void, NotReady>
  }
>()("idem/http/system/Readiness") {
  static readonly layer: Layer.Layer<Ready, never, ConnectionStore | Polling> = Layer.effect(
    Ready,
    Effect.gen(function* () {
      const connections = yield* ConnectionStore
      const { takenOver } = yield* Polling
      return {
        check: Effect.gen(function* () {
          const other = yield* takenOver
          if (Option.isSome(other)) {
            const message = `${other.value} has taken over the polling of this database: stop one of the two`
            return yield* new NotReady({ message })
          }
          yield* connections.connectionByName("").pipe(
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
