/**
 * The HTTP API as a value. The server's handlers, the typed client and the OpenAPI document derive from it. To add a
 * group, add its endpoints here and its handlers in `Server.ts`. A group that commands call is also added in
 * `CommandApi.ts` and `client/LocalApi.ts`, and its handlers in `CommandHandlers.ts`.
 */
import * as HttpApi from "effect/http-api/HttpApi"
import * as OpenApi from "effect/http-api/OpenApi"
import packageJson from "../../package.json" with { type: "json" }
import { connections } from "./connections/ConnectionEndpoints.ts"
import { contents } from "./contents/ContentEndpoints.ts"
import { emails } from "./rendering/EmailEndpoints.ts"
import { mirror } from "./mirror/MirrorEndpoints.ts"
import { tokens } from "./tokens/TokenEndpoints.ts"
import { searches } from "./search/SearchEndpoints.ts"
import { signIn } from "./signin/SignInEndpoints.ts"
import { system } from "./system/SystemEndpoints.ts"
import { tasks } from "./tasks/TaskEndpoints.ts"
import { webhooks } from "./webhooks/WebhookEndpoints.ts"
import { RequestErrors } from "./RequestErrors.ts"

export class Api extends HttpApi.make("idem")
  .add(system, connections, tasks, contents, mirror, tokens, searches, emails, signIn, webhooks)
  .middleware(RequestErrors)
  // Reports an unknown field or parameter, which is a mistake of the caller, instead of dropping it.
  .annotate(HttpApi.PayloadParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotate(HttpApi.QueryParseOptions, { onExcessProperty: "error", errors: "all" })
  .annotateMerge(
    OpenApi.annotations({
      title: "Idem",
      version: packageJson.version,
      description:
        "Mirrors emails, messages and files into a database. Errors are problem details (RFC 9457); times are ISO 8601 in UTC."
    })
  ) {}
