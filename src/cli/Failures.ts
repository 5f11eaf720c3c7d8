/** `idem failures`: the ledger. */
import * as Command from "effect/cli/Command"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const encodeRows = Schema.encodeSync(Schema.Array(Documents.LedgerRow))

export const failures = Command.make(
  "failures",
  { connection: Arguments.connection, limit: Arguments.limit(10_000, 1000) },
  Effect.fn("failures")(function* ({ connection: name, limit }) {
    const output = yield* Output
    const { ledger, rows } = yield* AppServices.ask(
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const params = { connection: name }
        const { ledger: rows } = yield* connections.ledger({ params, query: { limit } })
        return { rows, ledger: (yield* connections.get({ params })).ledger }
      })
    )
    const now = yield* DateTime.now
    const table = yield* output.table
    const more = ledger - rows.length
    yield* output.answer({ failures: encodeRows(rows) }, () =>
      rows.length === 0
        ? `the ledger of ${TextFormat.oneLine(name)} is empty`
        : [
            table(
              ["ID", "STATE", "TRIES", "NEXT TRY", "REASON", "MESSAGE"],
              rows.map((row) => [
                TextFormat.oneLine(row.externalId),
                row.state,
                String(row.attempts),
                row.nextAttemptAt === null ? "" : TextFormat.dueIn(row.nextAttemptAt, now),
                row.reason,
                TextFormat.short(row.message, 120)
              ]),
              { right: ["TRIES"], cut: ["MESSAGE"], drop: ["TRIES", "STATE", "NEXT TRY", "REASON"] }
            ),
            output.style.dim(
              `${more > 0 ? `and ${TextFormat.count(more)} more (--limit) · ` : ""}try them now: idem retry ${TextFormat.shellWord(name)}`
            )
          ].join("\n")
    )
  })
).pipe(Command.withDescription("Show the ledger: what could not be stored, and why"))
