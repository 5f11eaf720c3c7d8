/** `idem export`: writes stored content into a folder. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Folder from "./export/Folder.ts"
import * as Formats from "./export/Formats.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

export const exportContents = Command.make(
  "export",
  {
    connection: Arguments.connection,
    to: Flag.String("to").pipe(
      Flag.withDescription("the folder to write into; created if it does not exist"),
      Flag.withMetavar("DIR")
    ),
    format: Flag.Literals("format", Formats.formats).pipe(
      Flag.withDescription(
        "eml (default for gmail and imap), files (default for ftp), ndjson (default for others), or mbox"
      ),
      Flag.optional
    )
  },
  Effect.fn("export")(function* (input) {
    const output = yield* Output
    const name = input.connection
    if (input.to.trim() === "" || input.to.includes("\0")) return yield* CommandFailure.usage("--to must name a folder")
    if (input.to === "-") {
      return yield* CommandFailure.usage(
        "--to - is not standard output: an export writes a folder in every format. Give --to a folder (./- for one " +
          "of that name); idem contents --json and idem show --raw write to standard output"
      )
    }
    yield* AppServices.ask(
      Effect.gen(function* () {
        const api = yield* ApiClient
        const connection = yield* api.connections.get({ params: { connection: name } })
        const format = Option.getOrElse(input.format, () => Formats.standardFormat(connection.domain))
        const folder = yield* Folder.open(input.to)
        const { bytes, gone, skipped, written } = yield* Formats.write(connection, folder, format)
        yield* output.answer({ connection: name, to: folder.path, format, written, skipped, gone, bytes }, () =>
          [
            `${TextFormat.many(written, "content")} of ${TextFormat.oneLine(name)} (${TextFormat.bytes(bytes)}) written to ${TextFormat.oneLine(folder.path)} as ${format}`,
            ...(skipped === 0
              ? []
              : [`${TextFormat.count(skipped)} skipped, as they are no emails: --format files or ndjson exports them`]),
            ...(gone === 0 ? [] : [`${TextFormat.count(gone)} were deleted and purged meanwhile`])
          ].join("\n")
        )
      })
    )
  })
).pipe(
  Command.withDescription(
    "Write what is stored into a folder. Files from an earlier export stay, also if their content was deleted since"
  ),
  Command.withExamples([
    { command: "idem export work --to ./mail", description: "One .eml file a message" },
    { command: "idem export work --to ./mail --format mbox", description: "One mailbox, as mail programs import it" }
  ])
)
