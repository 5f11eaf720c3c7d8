/**
 * The HTTP server of `idem serve`: the API, the dashboard, the reference and the metrics.
 *
 * To add a feature with its own routes, add its layer to `pages`. To add a group of the API, `.add` it in `Api.ts`, and
 * add its layer to `groups`. The guard protects all of them.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import type * as HttpServerError from "effect/http/HttpServerError"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import type * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as LagGauges from "../derive/LagGauges.ts"
import { Gauges } from "../engine/telemetry/Gauges.ts"
import { Access } from "./security/Authentication.ts"
import { Api } from "./Api.ts"
import * as CommandHandlers from "./CommandHandlers.ts"
import * as Authenticated from "./security/Authenticated.ts"
import * as Dashboard from "./Dashboard.ts"
import * as EventRoute from "./events/EventRoute.ts"
import * as Guard from "./security/Guard.ts"
import * as EmailHandlers from "./rendering/EmailHandlers.ts"
import * as McpRoutes from "./mcp/McpRoutes.ts"
import * as SignInHandlers from "./signin/SignInHandlers.ts"
import * as SystemHandlers from "./system/SystemHandlers.ts"
import * as InterimResponses from "./InterimResponses.ts"
import * as Listener from "./Listener.ts"
import * as MetricsEndpoint from "./system/MetricsEndpoint.ts"
import { Ready } from "./system/Readiness.ts"
import * as ApiReference from "./system/ApiReference.ts"
import { routerConfig } from "./Parameters.ts"
import * as RequestErrors from "./RequestErrors.ts"
import * as ResponseMiddleware from "./ResponseMiddleware.ts"
import { Settings } from "./ServerSettings.ts"
import { Stopping } from "./ShutdownSignal.ts"

/** The groups of the API. */
const groups = Layer.mergeAll(CommandHandlers.layer, SystemHandlers.layer, EmailHandlers.layer, SignInHandlers.layer)

/** The routes in addition to the API's. */
const pages = Layer.mergeAll(
  Dashboard.layer,
  ApiReference.layer,
  MetricsEndpoint.layer,
  McpRoutes.layer,
  EventRoute.layer
)

/** Sends interim responses over HTTP/1.1; HTTP/2 is not served. */
const interim = Layer.succeed(InterimResponses.SendInterim, (request) =>
  Effect.sync(() => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    if ("writeProcessing" in response && !response.headersSent && !response.destroyed) response.writeProcessing()
  })
)

const api = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide(groups),
  Layer.provide(interim),
  Layer.provide([RequestErrors.layer, Authenticated.layer])
)

const routes = Layer.mergeAll(api, pages, ResponseMiddleware.layer).pipe(
  Layer.provide(Guard.layer),
  Layer.provide(Access.layer),
  Layer.provide(NodeHttpServer.layerHttpServices)
)

/** All routes as one handler. */
class Application extends Context.Service<
  Application,
  Effect.Effect<
    HttpServerResponse.HttpServerResponse,
    HttpServerError.HttpServerError,
    Scope.Scope | HttpServerRequest.HttpServerRequest
  >
>()("idem/http/Server/Application") {
  static readonly layer = Layer.effect(
    Application,
    Effect.provideService(HttpRouter.toHttpEffect(routes), HttpRouter.RouterConfig, routerConfig)
  )
}

/** Serves the routes. The listener is created last, so that no request arrives before its route exists. */
const serving = Layer.unwrap(
  Effect.map(Application, (application) => HttpServer.serve(application, MetricsEndpoint.counting))
)

/** Its finalizer runs first: waiting readers get a response before the server waits for the requests in progress. */
const stops = Layer.effectDiscard(
  Effect.gen(function* () {
    const stopping = yield* Stopping
    yield* Effect.addFinalizer(() => stopping.open)
  })
)

/** Serves while its scope is open. */
export const layer = stops.pipe(
  Layer.provideMerge(serving),
  Layer.provideMerge(Listener.layer),
  Layer.provide(Application.layer),
  Layer.provide(Layer.effect(Stopping, Latch.make(false)))
)

/** The same as `layer`, configured by the environment, for a process that also polls. */
export const layerConfig = Layer.provide(layer, [
  Settings.layer,
  Layer.provide(Gauges.layer, LagGauges.layer),
  Ready.layer
])

/** The server's URL. */
export const url: Effect.Effect<string, never, HttpServer.HttpServer> = HttpServer.addressFormattedWith(Effect.succeed)
