/**
 * The part of the API that commands call. Its handlers need the store and the engine only, so they also run without a
 * server (see `client/LocalApi.ts`). `Api.ts` adds the groups that need a server.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import { connections } from "./connections/ConnectionEndpoints.ts"
import { contents } from "./contents/ContentEndpoints.ts"
import { mirror } from "./mirror/MirrorEndpoints.ts"
import { RequestErrors } from "./RequestErrors.ts"
import { tokens } from "./tokens/TokenEndpoints.ts"
import { searches } from "./search/SearchEndpoints.ts"
import { tasks } from "./tasks/TaskEndpoints.ts"
import { webhooks } from "./webhooks/WebhookEndpoints.ts"

export class CommandApi extends HttpApi.make("idem")
  .add(connections, tasks, contents, mirror, tokens, searches, webhooks)
  .middleware(RequestErrors)
  // Reports an unknown field or parameter, which is a mistake of the caller, instead of dropping it.
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotate(HttpApi.QueryParseOptions, { onExcessProperty: "error", errors: "all" }) {}
