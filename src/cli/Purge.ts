/** `idem purge`: removes for good what deleted content still holds. */
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Confirmation from "./Confirmation.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"
import * as Time from "./Time.ts"

export const purge = Command.make(
  "purge",
  {
    connection: Arguments.connection,
    olderThan: Arguments.time(
      "older-than",
      "purge content that was deleted before this time, or longer ago than this duration"
    ),
    yes: Confirmation.yes
  },
  Effect.fn("purge")(function* ({ connection: name, olderThan, yes }) {
    const output = yield* Output
    if (Option.isNone(olderThan)) {
      return yield* CommandFailure.usage(
        `--older-than is missing: give a time or a duration, like --older-than "30 days"`
      )
    }
    const what = `this permanently removes the data of deleted content of ${TextFormat.quoted(name)}`
    yield* Confirmation.ask({ connection: name, what, yes })
    const now = yield* DateTime.now
    const before = Time.resolve(olderThan.value.time, now)
    const { bodies, bytes, deleted, gone } = yield* AppServices.ask(
      ApiClient.use((api) => api.connections.purge({ params: { connection: name }, payload: { before } }))
    )
    yield* output.answer(
      { connection: name, before: DateTime.formatIso(before), purged: deleted, forgotten: gone, bodies, bytes },
      () =>
        [
          `${TextFormat.many(deleted, "deleted content")} of ${TextFormat.oneLine(name)} purged: ` +
            `${bodies === 1 ? "1 body" : `${TextFormat.count(bodies)} bodies`} removed, ${TextFormat.bytes(bytes)}`,
          ...(gone === 0 ? [] : [`${TextFormat.many(gone, "id")} forgotten that were gone before they were stored`])
        ].join("\n")
    )
  })
).pipe(
  Command.withDescription("Permanently remove the data of deleted content"),
  Command.withExamples([
    { command: 'idem purge work --older-than "30 days"', description: "What was deleted more than 30 days ago" }
  ])
)
