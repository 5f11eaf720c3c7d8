/** `idem mcp`: the MCP server on standard input and output, for agents on this machine. */
import * as Cause from "effect/Cause"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import packageJson from "../../package.json" with { type: "json" }
import { ConnectionStore } from "../engine/store/ConnectionStore.ts"
import * as ConnectionLookup from "../http/connections/ConnectionLookup.ts"
import * as Arguments from "./Arguments.ts"
import * as AppServices from "./AppServices.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as RemoteServer from "./RemoteServer.ts"

export const mcp = Command.make(
  "mcp",
  {
    connections: Flag.String("connection").pipe(
      Flag.withDescription("only this connection can be read; may be repeated (default all)"),
      Flag.withMetavar("N"),
      Flag.atLeast(0)
    ),
    sql: Arguments.flag("sql", "also offer SQL queries, which read all connections")
  },
  Effect.fn("mcp")(function* ({ connections, sql }) {
    if (yield* RemoteServer.isNamed) {
      return yield* CommandFailure.usage(
        "idem mcp does not use IDEM_URL: connect your agent to POST /mcp of that server instead"
      )
    }
    if (sql && connections.length > 0)
      return yield* CommandFailure.usage("--sql reads everything: leave out --connection")
    const { json } = yield* Output
    if (json) return yield* CommandFailure.usage("idem mcp speaks MCP on standard output: leave out --json")
    // Loaded by this command only, so that other commands start faster.
    const [McpServer, McpRoutes, McpTools] = yield* Effect.promise(() =>
      Promise.all([
        import("effect/ai/McpServer"),
        import("../http/mcp/McpRoutes.ts"),
        import("../http/mcp/McpTools.ts")
      ])
    )
    const serve = Effect.gen(function* () {
      const store = yield* ConnectionStore
      const found = yield* Effect.forEach(connections, (name) => ConnectionLookup.find(store, name))
      const scope = found.length === 0 ? undefined : found.map(({ id }) => id)
      return yield* Layer.launch(
        McpServer.layerStdio({
          ...McpTools.about,
          version: packageJson.version,
          protocols: McpRoutes.protocols,
          registrations: McpTools.layer({ scope: Effect.succeed(scope), sql })
        })
      )
    })
    // At the end of standard input the server interrupts its own fiber. The client has ended the session so, which is
    // no failure. A signal interrupts this fiber.
    const exit = yield* Effect.flatMap(Effect.forkChild(AppServices.provide(serve)), Fiber.await)
    if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) yield* exit
  })
).pipe(
  Command.withDescription(
    "Serve an agent on this machine over the Model Context Protocol, on standard input and output"
  )
)
