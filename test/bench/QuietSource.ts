/** A source that reports at once that nothing is new. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Integration from "../../src/contract/Integration.ts"

/** Makes the integration. `onPoll` is called at each poll. */
export const quiet = (onPoll: () => void) =>
  Integration.make<object, object, number>({
    domain: "quiet",
    config: Schema.Struct({}),
    credentials: Schema.Struct({}),
    checkpoint: Schema.Int,
    scope: [],
    quota: () => ({ unitsPerMinute: 1e9 }),
    open: ({ call }) =>
      Effect.succeed({
        account: Effect.succeed("nobody"),
        estimate: Effect.succeed({ unitsPerItem: 0 }),
        download: () => Effect.die(new Error("there is nothing to download")),
        list: () => Stream.drain(Stream.fromEffect(call("changes", 1, Effect.sync(onPoll))))
      })
  })
