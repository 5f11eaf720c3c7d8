/** The redirect URI, to which a provider sends people back after they have signed in. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import { isSecure } from "../security/Authentication.ts"

/**
 * `IDEM_PUBLIC_URL`, for a server whose public address differs from the host of its requests. It is read when the
 * server is built, so that an invalid address prevents the start.
 */
export const publicUrl: Effect.Effect<Option.Option<URL>> = Effect.orDie(Config.option(Config.URL("IDEM_PUBLIC_URL")))

export const of = (request: HttpServerRequest.HttpServerRequest, configured: Option.Option<URL>): string => {
  const origin = Option.match(configured, {
    onNone: () => `${isSecure(request) ? "https" : "http"}://${request.headers["host"] ?? "localhost"}`,
    onSome: (url) => url.href.replace(/\/+$/, "")
  })
  return `${origin}/sign-in/callback`
}

/**
 * Returns true if the page that made the request has another host than `IDEM_PUBLIC_URL`. The browser would not send
 * its cookie there, so the sign-in could not end.
 */
export const isElsewhere = (request: HttpServerRequest.HttpServerRequest, publicUrl: URL): boolean => {
  const { origin } = request.headers
  return origin !== undefined && URL.canParse(origin) && new URL(origin).hostname !== publicUrl.hostname
}
