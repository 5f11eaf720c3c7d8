/** The handlers of the process: health, sessions, integrations. */
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import packageJson from "../../../package.json" with { type: "json" }
import * as ProcessIdentity from "../../engine/locks/ProcessIdentity.ts"
import { Integrations } from "../../engine/source/Integrations.ts"
import { Access, Caller, isSecure } from "../security/Authentication.ts"
import * as RedirectUri from "../signin/RedirectUri.ts"
import { Api } from "../Api.ts"
import type { Session } from "./SystemEndpoints.ts"
import * as Problems from "../Problems.ts"
import { NotReady, Ready } from "./Readiness.ts"
import * as Sessions from "../security/Sessions.ts"
import { Stopping } from "../ShutdownSignal.ts"

const cookie = (request: HttpServerRequest.HttpServerRequest) => ({
  name: Sessions.cookieName(isSecure(request)),
  options: { httpOnly: true, sameSite: "strict", path: "/", secure: isSecure(request) } as const
})

export const layer = HttpApiBuilder.group(
  Api,
  "system",
  Effect.fn(function* (handlers) {
    const access = yield* Access
    const integrations = yield* Integrations
    const ready = yield* Ready
    const holder = yield* ProcessIdentity.self
    const stopping = yield* Stopping
    const publicUrl = yield* RedirectUri.publicUrl
    const check = Effect.suspend(() =>
      stopping.isOpen() ? Effect.fail(new NotReady({ message: "the process is stopping" })) : ready.check
    )

    const sessionOf = (authenticated: boolean): Session => ({
      authenticated,
      tokenRequired: access.tokenRequired,
      version: authenticated ? packageJson.version : null,
      process: authenticated ? holder : null
    })

    return handlers.handleAll({
      health: () =>
        Effect.map(ready.reachesDatabase, (reached) => ({
          status: "alive" as const,
          database: reached ? ("reachable" as const) : ("unreachable" as const)
        })),

      ready: () =>
        Effect.map(check, (feedHolder) => ({ status: "ready" as const, feedHolder })).pipe(
          Effect.catchTag("NotReady", ({ message }) =>
            Effect.flatMap(
              Effect.logWarning(`not ready: ${message}`),
              () => new Problems.UnavailableProblem({ detail: message })
            )
          )
        ),

      session: () => Effect.map(Caller, (caller) => sessionOf(caller !== "nobody")),

      signIn: Effect.fnUntraced(function* ({ payload, request }) {
        const signedIn = yield* Effect.result(access.signIn(request, payload.token))
        // Returned as a response, with the headers that these problems need.
        if (signedIn._tag === "Failure") return yield* Problems.toResponse(signedIn.failure)
        const response = HttpServerResponse.jsonUnsafe(sessionOf(true))
        if (signedIn.success === undefined) return response
        const { name, options } = cookie(request)
        return HttpServerResponse.setCookieUnsafe(response, name, signedIn.success, {
          ...options,
          maxAge: Sessions.duration
        })
      }),

      signOut: Effect.fnUntraced(function* ({ request }) {
        yield* access.signOut(request)
        const { name, options } = cookie(request)
        return HttpServerResponse.expireCookieUnsafe(HttpServerResponse.empty({ status: 204 }), name, options)
      }, Problems.asProblem),

      integrations: Effect.fnUntraced(function* ({ request }) {
        const domains = yield* Problems.asProblem(integrations.domains)
        return {
          integrations: yield* Effect.forEach(domains, (domain) =>
            Effect.map(Problems.asProblem(integrations.get(domain)), (integration) => ({
              domain,
              title: integration.title,
              summary: integration.summary ?? null,
              guide:
                integration.guide === undefined
                  ? null
                  : {
                      url: integration.guide.url,
                      steps: integration.guide.steps.map(({ on, text }) => ({ text, on: on ?? null }))
                    },
              signIn: integration.signIn !== undefined,
              redirectUri: integration.signIn === undefined ? null : RedirectUri.of(request, publicUrl),
              config: integration.configSchema,
              credentials: integration.credentialsSchema
            }))
          )
        }
      })
    })
  })
)
