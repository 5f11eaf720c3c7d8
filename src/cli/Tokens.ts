/** `idem tokens`: the tokens with which agents read. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Array from "effect/Array"
import * as Schema from "effect/Schema"
import { ApiClient } from "../http/client/ApiClient.ts"
import { Name, ReadToken } from "../http/tokens/TokenEndpoints.ts"
import * as Arguments from "./Arguments.ts"
import * as AppServices from "./AppServices.ts"
import { Output } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"

const encode = Schema.encodeSync(Schema.Array(ReadToken))

const name = Arguments.textArgument("name", "the token's name", Name)

const create = Command.make(
  "create",
  {
    name,
    connections: Arguments.connectionName(
      "connection",
      "the token reads only this connection; may be repeated (default all)"
    ).pipe(Flag.atLeast(0))
  },
  Effect.fn("tokens.create")(function* ({ connections, name }) {
    const output = yield* Output
    const payload = Array.isReadonlyArrayNonEmpty(connections) ? { name, connections } : { name }
    const made = yield* AppServices.ask(ApiClient.use(({ tokens }) => tokens.create({ payload })))
    yield* output.answer({ name: made.name, token: made.token }, () =>
      [
        made.token,
        "The token is shown only now. It reads by POST /mcp and GET /search, until idem tokens revoke."
      ].join("\n")
    )
  })
).pipe(Command.withDescription("Create a read token"))

const list = Effect.fn("tokens.list")(function* () {
  const output = yield* Output
  const { tokens } = yield* AppServices.ask(ApiClient.use(({ tokens }) => tokens.list({})))
  const table = yield* output.table
  yield* output.answer({ tokens: encode(tokens) }, () =>
    tokens.length === 0
      ? "there are no read tokens: idem tokens create NAME"
      : table(
          ["NAME", "READS", "MADE (UTC)", "USED (UTC)"],
          tokens.map(({ connections, createdAt, name, usedAt }) => [
            TextFormat.oneLine(name),
            connections === null ? "everything" : connections.map(TextFormat.oneLine).join(", "),
            TextFormat.minute(createdAt),
            usedAt === null ? "never" : TextFormat.minute(usedAt)
          ]),
          { cut: ["READS"], drop: ["MADE (UTC)", "USED (UTC)"] }
        )
  )
})

const revoke = Command.make(
  "revoke",
  { name },
  Effect.fn("tokens.revoke")(function* ({ name }) {
    const output = yield* Output
    yield* AppServices.ask(ApiClient.use(({ tokens }) => tokens.revoke({ params: { name } })))
    yield* output.answer({ revoked: name }, () => `${TextFormat.oneLine(name)} is revoked`)
  })
).pipe(Command.withDescription("Revoke a token at once"))

export const tokens = Command.make("tokens", {}, list).pipe(
  Command.withDescription("List, create and revoke read tokens, for agents"),
  Command.withSubcommands([
    create,
    Command.make("list", {}, list).pipe(Command.withDescription("List the read tokens")),
    revoke
  ])
)
