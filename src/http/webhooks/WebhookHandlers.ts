/** Answers about webhooks. */
import * as Effect from "effect/Effect"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Redacted from "effect/Redacted"
import { Webhooks, type WithSecret } from "../../engine/webhooks/Webhooks.ts"
import { Api } from "../Api.ts"
import { asProblem } from "../Problems.ts"

const shown = ({ secret, webhook }: WithSecret) => ({ ...webhook, secret: Redacted.value(secret) })

export const layer = HttpApiBuilder.group(
  Api,
  "webhooks",
  Effect.fn(function* (handlers) {
    const webhooks = yield* Webhooks
    return handlers.handleAll({
      list: () => asProblem(Effect.map(webhooks.webhooks, (all) => ({ webhooks: all }))),
      create: ({ payload }) => asProblem(Effect.map(webhooks.create(payload), shown)),
      get: ({ params }) => asProblem(webhooks.webhook(params.webhook)),
      change: ({ params, payload }) => asProblem(webhooks.change(params.webhook, payload)),
      remove: ({ params }) => asProblem(webhooks.remove(params.webhook)),
      rotate: ({ params, payload }) => asProblem(Effect.map(webhooks.rotate(params.webhook, payload?.secret), shown)),
      ping: ({ params }) => asProblem(webhooks.ping(params.webhook)),
      messages: ({ params, query }) => asProblem(webhooks.messages(params.webhook, query)),
      redeliver: ({ params }) => asProblem(webhooks.redeliver(params.webhook, params.message)),
      redeliverAll: ({ params }) =>
        asProblem(Effect.map(webhooks.redeliverAll(params.webhook), (redelivered) => ({ redelivered })))
    })
  })
)
