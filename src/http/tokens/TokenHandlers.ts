/** The handlers of read tokens. */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Redacted from "effect/Redacted"
import { Deriver } from "../../derive/Deriver.ts"
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import { CommandApi } from "../CommandApi.ts"
import * as ConnectionLookup from "../connections/ConnectionLookup.ts"
import { asProblem, NotFoundProblem } from "../Problems.ts"

export const layer = HttpApiBuilder.group(
  CommandApi,
  "tokens",
  Effect.fn(function* (handlers) {
    const { tokens } = yield* Deriver
    const connections = yield* ConnectionStore
    return handlers.handleAll({
      list: () => asProblem(Effect.map(tokens.list, (all) => ({ tokens: all }))),

      create: Effect.fnUntraced(function* ({ payload: { connections: wanted, name } }) {
        const found =
          wanted === undefined
            ? undefined
            : yield* Effect.forEach(wanted, (ref) => ConnectionLookup.find(connections, ref))
        const token = yield* tokens.create(
          name,
          found?.map(({ id }) => id)
        )
        return { name, token: Redacted.value(token) }
      }, asProblem),

      revoke: Effect.fnUntraced(function* ({ params: { name } }) {
        if (yield* tokens.revoke(name)) return
        return yield* new NotFoundProblem({
          what: "token",
          detail: `there is no read token ${JSON.stringify(name)}: see the list of tokens`
        })
      }, asProblem)
    })
  })
)
