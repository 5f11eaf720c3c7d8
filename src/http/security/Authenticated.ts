/**
 * Marks the endpoints that require authentication, for the OpenAPI document. The guard in front of all routes checks
 * the credential before a handler runs (`Guard.ts`). In-process requests have none.
 */
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSecurity from "effect/http-api/HttpApiSecurity"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Layer from "effect/Layer"

const token = HttpApiSecurity.annotate(HttpApiSecurity.bearer, OpenApi.Description, "IDEM_API_TOKEN")

const session = HttpApiSecurity.annotate(
  HttpApiSecurity.apiKey({ in: "cookie", key: "idem-session" }),
  OpenApi.Description,
  "set by POST /session"
)

export class Authenticated extends HttpApiMiddleware.Service<Authenticated>()("idem/http/security/Authenticated", {
  security: { token, session }
}) {}

export const layer: Layer.Layer<Authenticated> = Layer.succeed(Authenticated, {
  token: (handler) => handler,
  session: (handler) => handler
})
