/** The operation of search. */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Search } from "../../derive/search/Search.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import { asProblem } from "../Problems.ts"

export const layer = HttpApiBuilder.group(
  CommandApi,
  "searches",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const { search } = yield* Search

    return handlers.handle(
      "search",
      Effect.fnUntraced(function* ({ query: { connection, q, ...query } }) {
        const of = connection === undefined ? undefined : yield* ConnectionLookup.find(connections, connection)
        return yield* search({ ...query, text: q, connectionIds: of === undefined ? undefined : [of.id] })
      }, asProblem)
    )
  })
)
