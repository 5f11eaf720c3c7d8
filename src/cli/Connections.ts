/** `idem connections`, `pause`, `resume`, `disconnect`. */
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Confirmation from "./Confirmation.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const encode = Schema.encodeSync(Documents.Connection)

export const connections = Command.make(
  "connections",
  {},
  Effect.fn("connections")(function* () {
    const output = yield* Output
    const { connections: list } = yield* AppServices.ask(ApiClient.use((api) => api.connections.list({})))
    const now = yield* DateTime.now
    const table = yield* output.table
    const hasMembers = list.some(({ memberOf }) => memberOf !== null)
    yield* output.answer({ connections: list.map((each) => encode(each)) }, () =>
      list.length === 0
        ? "there are no connections yet: idem connect --help"
        : table(
            ["NAME", "SOURCE", "ACCOUNT", "STATE", "EVERY", "NEXT POLL", ...(hasMembers ? ["MEMBER OF"] : [])],
            list.map((each) => [
              TextFormat.short(each.name, 40),
              each.domain,
              TextFormat.short(each.account, 40),
              each.state,
              each.every,
              each.nextPollAt === null ? TextFormat.short(each.paused ?? "") : TextFormat.dueIn(each.nextPollAt, now),
              ...(hasMembers ? [TextFormat.short(each.memberOf ?? "", 40)] : [])
            ]),
            { cut: ["ACCOUNT", "NEXT POLL", "MEMBER OF"], drop: ["EVERY", "MEMBER OF", "SOURCE", "ACCOUNT"] }
          )
    )
  })
).pipe(Command.withDescription("List the connections"))

export const pause = Command.make(
  "pause",
  { connection: Arguments.connection },
  Effect.fn("pause")(function* ({ connection: name }) {
    const output = yield* Output
    const { paused } = yield* AppServices.ask(
      ApiClient.use((api) => api.connections.pause({ params: { connection: name } }))
    )
    yield* output.answer(
      { connection: name, paused },
      () =>
        `${TextFormat.oneLine(name)} is paused: it is not polled until \`idem resume ${TextFormat.shellWord(name)}\``
    )
  })
).pipe(Command.withDescription("Stop polling a connection"))

export const resume = Command.make(
  "resume",
  { connection: Arguments.connection },
  Effect.fn("resume")(function* ({ connection: name }) {
    const output = yield* Output
    const { every, paused } = yield* ApiClient.use((api) =>
      api.connections.resume({ params: { connection: name } })
    ).pipe(
      Effect.catchTag("ConflictProblem", () =>
        Effect.fail(
          CommandFailure.failed(
            "Disconnected",
            `${TextFormat.quoted(name)} is disconnected, and has no credentials: give it new ones with idem connect`
          )
        )
      ),
      AppServices.ask
    )
    yield* output.answer(
      { connection: name, paused },
      () => `${TextFormat.oneLine(name)} is polled again, every ${every}`
    )
  })
).pipe(Command.withDescription("Poll a paused connection again"))

/** The time after which a removal says on stderr that it takes long. */
const reportedAfter = Duration.seconds(5)

/** Runs a removal. If it takes long, says so once, because a large connection takes minutes. */
const reporting = <A, E, R>(name: string, removal: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { connections } = yield* ApiClient
    const { note } = yield* Output
    const report = Effect.gen(function* () {
      yield* Effect.sleep(reportedAfter)
      const { totals } = yield* connections.get({ params: { connection: name } })
      const what = `${TextFormat.oneLine(name)} and its ${TextFormat.many(totals.stored, "stored content")}`
      yield* note(`deleting ${what} … if this is interrupted, the same command continues`)
    })
    return yield* Effect.raceFirst(removal, Effect.andThen(Effect.ignore(report), Effect.never))
  })

export const disconnect = Command.make(
  "disconnect",
  {
    connection: Arguments.connection,
    deleteContents: Arguments.flag("delete-contents", "also delete the connection and all its stored content"),
    yes: Confirmation.yes
  },
  Effect.fn("disconnect")(function* ({ connection: name, deleteContents, yes }) {
    const output = yield* Output
    const what = `this deletes ${TextFormat.quoted(name)}, the connections that it made, and all their stored content`
    if (deleteContents) yield* Confirmation.ask({ connection: name, what, yes })
    const removal = ApiClient.use((api) =>
      api.connections.remove({ params: { connection: name }, query: { deleteContents } })
    )
    const { contents } = yield* (deleteContents ? reporting(name, removal) : removal).pipe(
      Effect.catchTag("ConflictProblem", ({ message }) => Effect.fail(CommandFailure.usage(message))),
      AppServices.ask
    )
    yield* output.answer({ connection: name, disconnected: true, contentsDeleted: deleteContents, contents }, () =>
      deleteContents
        ? `${TextFormat.oneLine(name)} is deleted, with credentials and ${TextFormat.many(contents, "stored content")}`
        : `${TextFormat.oneLine(name)} is disconnected: its credentials are forgotten, its ${TextFormat.many(contents, "stored content")} can still be read`
    )
  })
).pipe(Command.withDescription("Forget a connection's credentials and stop polling it"))
