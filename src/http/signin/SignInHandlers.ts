/** The handlers of a sign-in: a page begins it, and the provider redirects the browser back to finish it. */
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { randomBytes } from "node:crypto"
import { UsageError } from "../../engine/Engine.ts"
import * as EngineSignIn from "../../engine/source/SignIn.ts"
import { isSecure } from "../security/Authentication.ts"
import { Api } from "../Api.ts"
import { asProblem } from "../Problems.ts"
import * as RedirectUri from "./RedirectUri.ts"

/** `SameSite=Lax`, because the browser must send the cookie when the provider redirects it here. */
const cookieName = "idem-sign-in"

const isBinding = (text: string | undefined): text is string => text !== undefined && /^[\w-]{43}$/.test(text)

/** Redirects to a page of the dashboard, without the query, which contains the code. */
const leadTo = (hash: string) =>
  HttpServerResponse.redirect(`/#${hash}`, {
    status: 302,
    headers: { "referrer-policy": "no-referrer", "cache-control": "no-store" }
  })

export const layer = HttpApiBuilder.group(
  Api,
  "signIn",
  Effect.fn(function* (handlers) {
    const signIn = yield* EngineSignIn.SignIn
    const publicUrl = yield* RedirectUri.publicUrl
    return handlers.handleAll({
      begin: Effect.fnUntraced(function* ({ payload, request }) {
        if (Option.isSome(publicUrl) && RedirectUri.isElsewhere(request, publicUrl.value)) {
          const { href } = publicUrl.value
          return yield* new UsageError({
            message: `open this page at ${href} to sign in: the provider sends the browser back there (IDEM_PUBLIC_URL)`
          })
        }
        const given = request.cookies[cookieName]
        // One browser may have several pending sign-ins.
        const browser = isBinding(given) ? given : randomBytes(32).toString("base64url")
        const { url } = yield* signIn.begin({
          domain: payload.domain,
          name: payload.name,
          config: payload.config,
          every: payload.every,
          client:
            payload.clientId === undefined
              ? undefined
              : { clientId: payload.clientId, clientSecret: payload.clientSecret },
          redirectUri: RedirectUri.of(request, publicUrl),
          browser
        })
        return HttpServerResponse.setCookieUnsafe(HttpServerResponse.jsonUnsafe({ url }), cookieName, browser, {
          httpOnly: true,
          sameSite: "lax",
          secure: isSecure(request),
          path: "/sign-in",
          maxAge: "15 minutes"
        })
      }, asProblem),

      end: ({ request }) => {
        const { searchParams } = new URL(request.url, "http://localhost")
        const given = request.cookies[cookieName]
        return signIn.finish({ parameters: searchParams, browser: isBinding(given) ? given : "" }).pipe(
          Effect.map(({ connection }) => leadTo(`/connections/${encodeURIComponent(connection.name)}`)),
          Effect.catch((error) =>
            Effect.as(
              Effect.logWarning(`a sign-in failed: ${error.message}`),
              leadTo(`/sign-in-failed?${new URLSearchParams({ message: error.message })}`)
            )
          )
        )
      }
    })
  })
).pipe(Layer.provide(EngineSignIn.layer))
