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
import * as ConnectionHandlers from "../connections/ConnectionHandlers.ts"
import * as ContentHandlers from "../contents/ContentHandlers.ts"
import * as MirrorHandlers from "../mirror/MirrorHandlers.ts"
import * as TokenHandlers from "../tokens/TokenHandlers.ts"
import * as RequestErrors from "../RequestErrors.ts"
import { routerConfig } from "../Parameters.ts"
import * as Authenticated from "../security/Authenticated.ts"
import * as SearchHandlers from "../search/SearchHandlers.ts"
import * as TaskHandlers from "../tasks/TaskHandlers.ts"
import * as WebhookHandlers from "../webhooks/WebhookHandlers.ts"
import { ApiClient } from "./ApiClient.ts"

const handlers = Layer.mergeAll(
  ConnectionHandlers.layer,
  TaskHandlers.layer,
  ContentHandlers.layer,
  MirrorHandlers.layer,
  SearchHandlers.layer,
  TokenHandlers.layer,
  WebhookHandlers.layer
)

/** The module's name says test; it is the library's client over handlers in the same process. */
export const layer: Layer.Layer<
  ApiClient,
  never,
  Store | Engine | Integrations | Vault | WebhookStore | Destination | Sender | FileSystem.FileSystem | Path.Path
> = Layer.effect(
  ApiClient,
  HttpApiTest.groups(CommandApi, ["connections", "tasks", "contents", "mirror", "tokens", "searches", "webhooks"])
).pipe(
  Layer.provide(handlers),
  Layer.provide([RequestErrors.layer, Authenticated.layer]),
  Layer.provide(HttpPlatform.layer),
  Layer.provide(Etag.layerWeak),
  Layer.provide(Layer.succeed(HttpRouter.RouterConfig, routerConfig))
)
