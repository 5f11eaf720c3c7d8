/** The handlers of `CommandApi`, for the server and for `client/LocalApi.ts`. */
import * as Layer from "effect/Layer"
import * as ConnectionHandlers from "./connections/ConnectionHandlers.ts"
import * as ContentHandlers from "./contents/ContentHandlers.ts"
import * as MirrorHandlers from "./mirror/MirrorHandlers.ts"
import * as SearchHandlers from "./search/SearchHandlers.ts"
import * as TaskHandlers from "./tasks/TaskHandlers.ts"
import * as TokenHandlers from "./tokens/TokenHandlers.ts"
import * as WebhookHandlers from "./webhooks/WebhookHandlers.ts"

export const layer = Layer.mergeAll(
  ConnectionHandlers.layer,
  TaskHandlers.layer,
  ContentHandlers.layer,
  MirrorHandlers.layer,
  SearchHandlers.layer,
  TokenHandlers.layer,
  WebhookHandlers.layer
)
