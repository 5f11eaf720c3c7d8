/**
 * `POST /events/DOMAIN`: callbacks with which a provider reports changes. The route is public: a callback is accepted
 * if it is signed with the secret of the settings, `IDEM_SLACK_SIGNING_SECRET` for Slack. Several secrets, one for each
 * app, are separated by commas.
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { HintRouter } from "../../engine/schedule/HintRouter.ts"
import { Integrations } from "../../engine/source/Integrations.ts"
import { tooLarge } from "../security/Guard.ts"
import { NotFoundProblem, toResponse, UnauthorizedProblem } from "../Problems.ts"

const settingOf = (domain: string) => `IDEM_${domain.toUpperCase().replaceAll("-", "_")}_SIGNING_SECRET`

const secretsOf = Effect.fnUntraced(function* (domain: string) {
  const given = yield* Config.option(Config.Redacted(settingOf(domain)))
  return Redacted.value(Option.getOrElse(given, () => Redacted.make("")))
    .split(",")
    .map((secret) => secret.trim())
    .filter((secret) => secret !== "")
    .map((secret) => Redacted.make(secret))
})

export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter | Integrations> = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const integrations = yield* Integrations
    const hints = yield* HintRouter
    const respond = Effect.gen(function* () {
      const { domain = "" } = yield* HttpRouter.params
      const request = yield* HttpServerRequest.HttpServerRequest
      const integration = Option.getOrUndefined(yield* Effect.option(integrations.get(domain)))
      const secrets =
        integration?.callbacks === undefined ? [] : yield* Effect.orElseSucceed(secretsOf(domain), () => [])
      if (integration?.callbacks === undefined || secrets.length === 0) {
        const detail = "no callbacks are received here: set the signing secret of the provider's app"
        return yield* toResponse(new NotFoundProblem({ what: "path", detail }))
      }
      const body = yield* Effect.option(request.text)
      if (Option.isNone(body)) return yield* toResponse(tooLarge)
      const received = integration.callbacks({
        headers: request.headers,
        body: body.value,
        secrets,
        now: yield* Clock.currentTimeMillis
      })
      if (Option.isNone(received)) {
        return yield* toResponse(new UnauthorizedProblem({ detail: "the signature is not right, or too old" }))
      }
      const { answer, hints: all } = received.value
      for (const { account, part } of all) {
        if (account !== undefined) yield* hints.offer({ domain, account }, part)
      }
      return answer === undefined
        ? HttpServerResponse.empty({ status: 200 })
        : yield* Effect.orDie(HttpServerResponse.json(answer))
    })
    yield* router.add("POST", "/events/:domain", respond)
  })
)
