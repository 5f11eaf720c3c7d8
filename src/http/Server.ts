/**
 * The HTTP server of `idem serve`: the API, and what else is served beside it.
 *
 * A feature with routes of its own is one more layer in `pages`, a group of the API one more `.add` in `Api.ts` and one
 * more layer in `groups`. Each is behind the guard without its doing.
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as HttpApiBuilder from "effect/http-api/HttpApiBuilder"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { Gauges } from "../engine/Gauges.ts"
import { Access } from "./Access.ts"
import { Api } from "./Api.ts"
import * as Dashboard from "./Dashboard.ts"
import * as Guard from "./Guard.ts"
import * as Connections from "./handlers/Connections.ts"
import * as Contents from "./handlers/Contents.ts"
import * as Emails from "./handlers/Emails.ts"
import * as SignIn from "./handlers/SignIn.ts"
import * as System from "./handlers/System.ts"
import * as Tasks from "./handlers/Tasks.ts"
import * as Webhooks from "./handlers/Webhooks.ts"
import * as Listener from "./Listener.ts"
import * as Metrics from "./Metrics.ts"
import { Ready } from "./Ready.ts"
import * as Reference from "./Reference.ts"
import * as Respond from "./Respond.ts"
import { Settings } from "./Settings.ts"
import { Stopping } from "./Stopping.ts"

/** The groups of the API. */
const groups = Layer.mergeAll(
  System.layer,
  Connections.layer,
  Tasks.layer,
  Contents.layer,
  Emails.layer,
  SignIn.layer,
  Webhooks.layer
)

/** Routes beside the API's. */
const pages = Layer.mergeAll(Dashboard.layer, Reference.layer, Metrics.layer)

const api = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide(groups),
  Layer.provide(Respond.layerAnswers)
)

const routes = Layer.mergeAll(api, pages, Respond.layer).pipe(
  Layer.provide(Guard.layer),
  Layer.provide(Access.layer),
  Layer.provide(NodeHttpServer.layerHttpServices)
)

/** Ends first of all, so that who waits is answered before the server waits for what is not answered. */
const stops = Layer.effectDiscard(
  Effect.gen(function* () {
    const stopping = yield* Stopping
    yield* Effect.addFinalizer(() => stopping.open)
  })
)

/** Serves for as long as its scope is open. */
export const layer = stops.pipe(
  Layer.provideMerge(
    HttpRouter.serve(routes, {
      routerConfig: Guard.routerConfig,
      middleware: Metrics.counting,
      disableLogger: true,
      disableListenLog: true
    })
  ),
  Layer.provideMerge(Listener.layer),
  Layer.provide(Layer.effect(Stopping, Latch.make(false)))
)

/** The same, as the environment says, for a process that polls for as long as it serves. */
export const layerConfig = Layer.provide(layer, [Settings.layer, Gauges.layer, Ready.layer])

/** Where it is reached, as a URL. */
export const url: Effect.Effect<string, never, HttpServer.HttpServer> = HttpServer.addressFormattedWith(Effect.succeed)
