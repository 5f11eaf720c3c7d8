/** The API in this process: requests go to its handlers without a socket. */
import type * as FileSystem from "effect/FileSystem"
import * as Etag from "effect/http/Etag"
import * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpApiTest from "effect/http-api/HttpApiTest"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import type { Engine } from "../../engine/Engine.ts"
import type { Integrations } from "../../engine/source/Integrations.ts"
import type { Vault } from "../../engine/secrets/Vault.ts"
import type { Store } from "../../engine/Store.ts"
import type { WebhookStore } from "../../engine/store/WebhookStore.ts"
import type { Destination } from "../../engine/webhooks/Destination.ts"
import type { Sender } from "../../engine/webhooks/Sender.ts"
import { CommandApi } from "../CommandApi.ts"
import * as CommandHandlers from "../CommandHandlers.ts"
import * as RequestErrors from "../RequestErrors.ts"
import { routerConfig } from "../Parameters.ts"
import * as Authenticated from "../security/Authenticated.ts"
import { ApiClient } from "./ApiClient.ts"

/** `HttpApiTest` is Effect's client over handlers in the same process, despite its name. */
export const layer: Layer.Layer<
  ApiClient,
  never,
  Store | Engine | Integrations | Vault | WebhookStore | Destination | Sender | FileSystem.FileSystem | Path.Path
> = Layer.effect(
  ApiClient,
  HttpApiTest.groups(CommandApi, ["connections", "tasks", "contents", "mirror", "tokens", "searches", "webhooks"])
).pipe(
  Layer.provide(CommandHandlers.layer),
  Layer.provide([RequestErrors.layer, Authenticated.layer]),
  Layer.provide(HttpPlatform.layer),
  Layer.provide(Etag.layerWeak),
  Layer.provide(Layer.succeed(HttpRouter.RouterConfig, routerConfig))
)
