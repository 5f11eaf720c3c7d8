/** The handler of search. */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import { Deriver } from "../../derive/Deriver.ts"
import { Search } from "../../derive/search/Search.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { ContentStore } from "../../engine/store/ContentStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import * as ContentNames from "../contents/ContentNames.ts"
import { asProblem } from "../Problems.ts"
import { Caller, scopeOfRequest } from "../security/Authentication.ts"

export const layer = HttpApiBuilder.group(
  CommandApi,
  "searches",
  Effect.fn(function* (handlers) {
    const connections = yield* ConnectionStore
    const contents = yield* ContentStore
    const { search } = yield* Search
    const { tokens } = yield* Deriver

    return handlers.handle(
      "search",
      Effect.fnUntraced(function* ({ query: { connection, q, ...query } }) {
        const scope = (yield* Caller) === "reader" ? yield* scopeOfRequest(tokens) : undefined
        const of = connection === undefined ? undefined : yield* ConnectionLookup.find(connections, connection, scope)
        const found = yield* search({ ...query, text: q, connectionIds: of === undefined ? scope : [of.id] })
        const byConnection = Map.groupBy(found.results, (result) => result.connectionId)
        const names = yield* Effect.forEach(byConnection, ([id, results]) =>
          ContentNames.ofResults(contents, id, results)
        )
        const namesOf = new Map(names.flatMap((each) => [...each]))
        const results = found.results.map((result) => {
          const named = namesOf.get(result) ?? ContentNames.none
          // The index has the sender's name in the form of the source.
          return { ...result, ...named, from: result.from ?? named.from }
        })
        return { results, next: found.next }
      }, asProblem)
    )
  })
)
