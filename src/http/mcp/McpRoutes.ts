/** `POST /mcp`: the MCP server over streamable HTTP. The guard has authenticated the request. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpServer from "effect/ai/McpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import packageJson from "../../../package.json" with { type: "json" }
import { Deriver } from "../../derive/Deriver.ts"
import type { Scope } from "../../derive/ReadTokens.ts"
import { UsageError } from "../../engine/Engine.ts"
import { readTokenOf } from "../security/Authentication.ts"
import * as McpTools from "./McpTools.ts"

/** `IDEM_MCP_SQL`: true if agents may query with SQL. */
export const offersSql: Config.Config<boolean> = Config.Boolean("IDEM_MCP_SQL").pipe(Config.withDefault(false))

/** The revisions of the protocol that are spoken, newest first. */
export const protocols = [
  McpProtocol.v2026_07_28,
  McpProtocol.v2025_11_25,
  McpProtocol.v2025_06_18,
  McpProtocol.v2025_03_26
] as const

/** The scope that the token of the present request may read. Each request of a session is checked. */
const scopeOfRequest = Effect.gen(function* () {
  const { tokens } = yield* Deriver
  const request = Option.getOrUndefined(yield* Effect.serviceOption(HttpServerRequest.HttpServerRequest))
  if (request === undefined) return yield* new UsageError({ message: "the request is not known" })
  const token = readTokenOf(request)
  if (token === undefined) return undefined as Scope
  return yield* Option.match(yield* tokens.scopeOf(token), {
    onNone: () => Effect.fail(new UsageError({ message: "the token was revoked" })),
    onSome: (scope) => Effect.succeed(scope)
  })
})

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const deriver = yield* Deriver
    const sql = yield* offersSql
    return McpServer.layerHttp({
      ...McpTools.about,
      version: packageJson.version,
      path: "/mcp",
      protocols,
      allowSessionTermination: true,
      registrations: McpTools.layer({ scope: Effect.provideService(scopeOfRequest, Deriver, deriver), sql })
    })
  })
)
