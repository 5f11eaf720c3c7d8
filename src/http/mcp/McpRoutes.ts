/** `POST /mcp`: the MCP server over streamable HTTP. The guard has authenticated the request. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as McpProtocol from "effect/ai/McpProtocol"
import * as McpServer from "effect/ai/McpServer"
import * as Layer from "effect/Layer"
import packageJson from "../../../package.json" with { type: "json" }
import { Deriver } from "../../derive/Deriver.ts"
import { scopeOfRequest } from "../security/Authentication.ts"
import * as McpTools from "./McpTools.ts"

/** `IDEM_MCP_SQL`: true if agents may query with SQL. */
const offersSql: Config.Config<boolean> = Config.Boolean("IDEM_MCP_SQL").pipe(Config.withDefault(false))

/** The supported revisions of the protocol, newest first. */
export const protocols = [
  McpProtocol.v2026_07_28,
  McpProtocol.v2025_11_25,
  McpProtocol.v2025_06_18,
  McpProtocol.v2025_03_26
] as const

export const layer = Layer.unwrap(
  Effect.gen(function* () {
    const { tokens } = yield* Deriver
    const sql = yield* offersSql
    return McpServer.layerHttp({
      ...McpTools.about,
      version: packageJson.version,
      path: "/mcp",
      protocols,
      allowSessionTermination: true,
      registrations: McpTools.layer({ scope: scopeOfRequest(tokens), sql })
    })
  })
)
