/** The handlers of the schema `mirror`. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Deriver } from "../../derive/Deriver.ts"
import { FeedStore } from "../../engine/store/FeedStore.ts"
import { CommandApi } from "../CommandApi.ts"
import { asProblem } from "../Problems.ts"

/** How long a query may run. */
const timeout = Duration.seconds(30)

export const layer = HttpApiBuilder.group(
  CommandApi,
  "mirror",
  Effect.fn(function* (handlers) {
    const deriver = yield* Deriver
    const feed = yield* FeedStore
    return handlers.handleAll({
      query: ({ payload: { limit = 1000, query } }) => asProblem(deriver.query({ query, most: limit, timeout })),
      lag: () =>
        Effect.zipWith(
          deriver.lag(),
          feed.holder,
          ({ behind, rebuilding, seconds, unindexed, unread }, feedHolder) => ({
            feedHolder,
            behind,
            lagSeconds: seconds,
            unread,
            unindexed,
            rebuilding
          })
        ).pipe(asProblem)
    })
  })
)
