/** Whether this process can do its work: what a load balancer or an orchestrator asks. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Store } from "../engine/Store.ts"

/** Why not, for a person. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

/** A database that takes longer to find one row is no use now. */
const patience = Duration.seconds(3)

export class Ready extends Context.Service<
  Ready,
  {
    /** Succeeds where connections are polled and the database answers. It takes at most 3 seconds. */
    readonly check: Effect.Effect<void, NotReady>
  }
>()("idem/http/Ready") {
  /** Of this store; `polling` says why connections are not polled, if they are not. */
  static readonly layer = (polling: Effect.Effect<string | undefined>): Layer.Layer<Ready, never, Store> =>
    Layer.effect(
      Ready,
      Effect.map(Store, (store) => ({
        check: Effect.gen(function* () {
          const why = yield* polling
          if (why !== undefined) return yield* new NotReady({ message: why })
          yield* store.connectionByName("").pipe(
            Effect.timeoutOrElse({
              duration: patience,
              orElse: () =>
                Effect.fail(
                  new NotReady({ message: `the database did not answer within ${Duration.format(patience)}` })
                )
            }),
            Effect.catchTag("StoreError", ({ message }) =>
              Effect.fail(new NotReady({ message: `the database does not answer: ${message}` }))
            )
          )
        })
      }))
    )
}
