/** `idem failures` and `idem deletions`: the ledger, and deletions that are held for a person. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Confirmation from "./Confirmation.ts"
import * as Failure from "./CommandFailure.ts"
import * as Input from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as Services from "./AppServices.ts"
import * as Text from "./TextFormat.ts"

const encodeRows = Schema.encodeSync(Schema.Array(Documents.LedgerRow))
const encodeDeletions = Schema.encodeSync(Documents.HeldDeletions)

export const failures = Command.make(
  "failures",
  { connection: Input.connection, limit: Input.limit(10_000, 1000) },
  Effect.fn("failures")(function* ({ connection: name, limit }) {
    const output = yield* Output
    const { ledger, rows } = yield* Services.ask(
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const params = { connection: name }
        const { ledger: rows } = yield* connections.ledger({ params, query: { limit } })
        return { rows, ledger: (yield* connections.get({ params })).ledger }
      })
    )
    const now = yield* DateTime.now
    const table = yield* Text.table
    const more = ledger - rows.length
    yield* output.answer({ failures: encodeRows(rows) }, () =>
      rows.length === 0
        ? `the ledger of ${Text.oneLine(name)} is empty`
        : [
            table(
              ["ID", "STATE", "TRIES", "NEXT TRY", "REASON", "MESSAGE"],
              rows.map((row) => [
                Text.short(row.externalId, 80),
                row.state,
                String(row.attempts),
                row.nextAttemptAt === null ? "" : Text.moment(row.nextAttemptAt, now),
                row.reason,
                Text.short(row.message, 120)
              ]),
              { right: ["TRIES"], style: output.style.bold }
            ),
            output.style.dim(
              `${more > 0 ? `and ${Text.count(more)} more (--limit) · ` : ""}try them now: idem retry ${Text.shellWord(name)}`
            )
          ].join("\n")
    )
  })
).pipe(Command.withDescription("Show the ledger: what could not be stored, and why"))

export const deletions = Command.make(
  "deletions",
  {
    connection: Input.connection,
    ids: Input.externalId.pipe(Argument.variadic()),
    approve: Flag.Boolean("approve").pipe(Flag.withDescription("delete what is held back"), Flag.withDefault(false)),
    limit: Input.limit(10_000, 1000),
    yes: Confirmation.yes
  },
  Effect.fn("deletions")(function* ({ approve, connection: name, ids, limit, yes }) {
    const output = yield* Output
    if (ids.length > 0 && !approve) return yield* Failure.usage("ids are for --approve: say it, to delete just these")
    yield* Services.ask(
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const params = { connection: name }
        const approval = Effect.fnUntraced(function* (payload: Documents.Approval) {
          const { deleted } = yield* connections.approveDeletions({ params, payload })
          yield* output.answer(
            { connection: name, deleted },
            () => `${Text.many(deleted, "content")} of ${Text.oneLine(name)} marked as deleted`
          )
        })
        const held = yield* connections.deletions({ params, query: { limit: approve ? 1 : limit } })
        if (approve) {
          const [first, ...others] = ids
          const contents = Text.many(first === undefined ? held.total : ids.length, "content")
          const what = `this marks as deleted ${contents} of ${Text.quoted(name)}`
          yield* Confirmation.ask({ connection: name, what, yes })
          // The answer does not approve deletions that became held while the question was open.
          return yield* approval(first === undefined ? { token: held.token } : { externalIds: [first, ...others] })
        }
        const now = yield* DateTime.now
        const table = yield* Text.table
        const more = held.total - held.deletions.length
        yield* output.answer(encodeDeletions(held), () =>
          held.total === 0
            ? `no deletions of ${Text.oneLine(name)} are held back`
            : [
                table(
                  ["ID", "TITLE", "DATE", "WHY", "SINCE"],
                  held.deletions.map((row) => [
                    Text.short(row.externalId, 80),
                    Text.short(row.title ?? "", 60),
                    row.occurredAt === null ? "" : Text.moment(row.occurredAt, now),
                    row.cause === "event" ? "the source says so" : "no longer listed",
                    Text.moment(row.stagedAt, now)
                  ]),
                  { style: output.style.bold }
                ),
                output.style.dim(
                  `${more > 0 ? `and ${Text.count(more)} more (--limit) · ` : ""}` +
                    `delete them: idem deletions ${Text.shellWord(name)} --approve, or some: --approve ID…`
                )
              ].join("\n")
        )
      })
    )
  })
).pipe(Command.withDescription("List deletions that are held back, or approve them"))
