/** `idem connections`, `pause`, `resume`, `disconnect`. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Failure from "./CommandFailure.ts"
import * as Confirmation from "./Confirmation.ts"
import * as Input from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as Services from "./AppServices.ts"
import * as Text from "./TextFormat.ts"

const encode = Schema.encodeSync(Documents.Connection)

export const connections = Command.make(
  "connections",
  {},
  Effect.fn("connections")(function* () {
    const output = yield* Output
    const { connections: list } = yield* Services.ask(ApiClient.use((api) => api.connections.list({})))
    const now = yield* DateTime.now
    const table = yield* Text.table
    const hasMembers = list.some(({ memberOf }) => memberOf !== null)
    yield* output.answer({ connections: list.map((each) => encode(each)) }, () =>
      list.length === 0
        ? "there are no connections yet: idem connect --help"
        : table(
            ["NAME", "SOURCE", "ACCOUNT", "STATE", "EVERY", "NEXT POLL", ...(hasMembers ? ["MEMBER OF"] : [])],
            list.map((each) => [
              Text.short(each.name, 40),
              each.domain,
              Text.short(each.account, 40),
              each.state,
              each.every,
              each.nextPollAt === null ? Text.short(each.paused ?? "") : Text.upcoming(each.nextPollAt, now),
              ...(hasMembers ? [Text.short(each.memberOf ?? "", 40)] : [])
            ]),
            { style: output.style.bold }
          )
    )
  })
).pipe(Command.withDescription("List the connections"))

export const pause = Command.make(
  "pause",
  { connection: Input.connection },
  Effect.fn("pause")(function* ({ connection: name }) {
    const output = yield* Output
    const { paused } = yield* Services.ask(
      ApiClient.use((api) => api.connections.pause({ params: { connection: name } }))
    )
    yield* output.answer(
      { connection: name, paused },
      () => `${Text.oneLine(name)} is paused: it is not polled until \`idem resume ${Text.shellWord(name)}\``
    )
  })
).pipe(Command.withDescription("Stop polling a connection"))

export const resume = Command.make(
  "resume",
  { connection: Input.connection },
  Effect.fn("resume")(function* ({ connection: name }) {
    const output = yield* Output
    const { every, paused } = yield* ApiClient.use((api) =>
      api.connections.resume({ params: { connection: name } })
    ).pipe(
      Effect.catchTag("ConflictProblem", () =>
        Effect.fail(
          Failure.failed(
            "Disconnected",
            `${Text.quoted(name)} is disconnected, and has no credentials: give it new ones with idem connect`
          )
        )
      ),
      Services.ask
    )
    yield* output.answer({ connection: name, paused }, () => `${Text.oneLine(name)} is polled again, every ${every}`)
  })
).pipe(Command.withDescription("Poll a paused connection again"))

export const disconnect = Command.make(
  "disconnect",
  {
    connection: Input.connection,
    deleteContents: Flag.Boolean("delete-contents").pipe(
      Flag.withDescription("delete all that is stored of it, and the connection itself"),
      Flag.withDefault(false)
    ),
    yes: Confirmation.yes
  },
  Effect.fn("disconnect")(function* ({ connection: name, deleteContents, yes }) {
    const output = yield* Output
    const what = `this deletes ${Text.quoted(name)}, the connections that it made, and all that is stored of them`
    if (deleteContents) yield* Confirmation.ask({ connection: name, what, yes })
    const { contents } = yield* ApiClient.use((api) =>
      api.connections.remove({ params: { connection: name }, query: { deleteContents } })
    ).pipe(
      Effect.catchTag("ConflictProblem", ({ message }) => Effect.fail(Failure.usage(message))),
      Services.ask
    )
    yield* output.answer({ connection: name, disconnected: true, contentsDeleted: deleteContents, contents }, () =>
      deleteContents
        ? `${Text.oneLine(name)} is gone, and with it its credentials and ${Text.many(contents, "stored content")}`
        : `${Text.oneLine(name)} is disconnected: its credentials are forgotten, its ${Text.many(contents, "stored content")} can still be read`
    )
  })
).pipe(Command.withDescription("Forget a connection's credentials and stop"))
