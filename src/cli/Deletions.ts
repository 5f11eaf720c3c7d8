/**
 * `idem deletions` lists deletions that are held for a person, and approves them. `idem purge` removes for good what
 * deleted content still holds.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Documents from "../http/connections/ConnectionDocuments.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as Confirmation from "./Confirmation.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"
import * as DateTime from "effect/DateTime"
import * as Time from "./Time.ts"

const encode = Schema.encodeSync(Documents.HeldDeletions)

const held = (connection: string, limit: number) =>
  ApiClient.use(({ connections }) => connections.deletions({ params: { connection }, query: { limit } }))

const tableOf = Effect.fnUntraced(function* ({ deletions }: typeof Documents.HeldDeletions.Type) {
  const table = yield* (yield* Output).table
  return table(
    ["ID", "TITLE", "DATE (UTC)", "WHY", "SINCE (UTC)"],
    deletions.map((row) => [
      TextFormat.oneLine(row.externalId),
      TextFormat.short(row.title ?? "", 60),
      row.occurredAt === null ? "" : TextFormat.minute(row.occurredAt),
      row.cause === "event" ? "the source reported it" : "no longer listed",
      TextFormat.minute(row.stagedAt)
    ]),
    { cut: ["TITLE"], drop: ["SINCE (UTC)", "WHY", "DATE (UTC)"] }
  )
})

/** Prints the deletions that are held, and the command that approves exactly these. */
const list = Effect.fnUntraced(function* (name: string, limit: number) {
  const output = yield* Output
  const listed = yield* held(name, limit)
  const table = yield* tableOf(listed)
  const more = listed.total - listed.deletions.length
  yield* output.answer(encode(listed), () =>
    listed.total === 0
      ? `no deletions of ${TextFormat.oneLine(name)} are held back`
      : [
          table,
          output.style.dim(
            `${more > 0 ? `and ${TextFormat.count(more)} more (--limit) · ` : ""}delete some: idem deletions ${TextFormat.shellWord(name)} --approve ID…`
          ),
          output.style.dim(
            `delete ${more > 0 ? `all ${TextFormat.count(listed.total)}` : "these"}: idem deletions ${TextFormat.shellWord(name)} --approve --token ${listed.token}`
          )
        ].join("\n")
  )
})

/** Returns the approval of all held deletions, and their number. On a terminal, shows the list first. */
const approvalOfAll = Effect.fnUntraced(function* (name: string, limit: number, isAsked: boolean) {
  const listed = yield* held(name, isAsked ? limit : 1)
  const hidden = listed.total - listed.deletions.length
  if (isAsked && listed.total > 0) yield* (yield* Output).note(yield* tableOf(listed))
  return {
    payload: { token: listed.token },
    what: `${TextFormat.many(listed.total, "content")} of ${TextFormat.quoted(name)}${hidden > 0 ? `, ${TextFormat.count(hidden)} of them not shown (--limit)` : ""}`
  }
})

/** Returns the approval that the command line names, and the number of its deletions. */
const approvalOf = Effect.fnUntraced(function* (options: {
  readonly connection: string
  readonly ids: ReadonlyArray<string>
  readonly token: Option.Option<string>
  readonly limit: number
  readonly isAsked: boolean
}) {
  const { connection: name, token } = options
  const [first, ...others] = options.ids
  if (first !== undefined) {
    const what = `${TextFormat.many(options.ids.length, "content")} of ${TextFormat.quoted(name)}`
    return { payload: { externalIds: [first, ...others] as const }, what }
  }
  if (Option.isSome(token)) {
    return {
      payload: { token: token.value },
      what: `all deletions of ${TextFormat.quoted(name)} that were listed with this token`
    }
  }
  return yield* approvalOfAll(name, options.limit, options.isAsked)
})

export const deletions = Command.make(
  "deletions",
  {
    connection: Arguments.connection,
    ids: Arguments.externalId.pipe(Argument.variadic()),
    approve: Arguments.flag(
      "approve",
      "approve held deletions: the given ids, the list of --token, or all that are held now"
    ),
    token: Arguments.textFlag(
      "token",
      "T",
      "with --approve: the token of a list; if the held deletions have changed since, none is applied",
      Schema.NonEmptyString
    ),
    limit: Arguments.limit(10_000, 1000),
    yes: Confirmation.yes
  },
  Effect.fn("deletions")(function* ({ approve, connection: name, ids, limit, token, yes }) {
    const output = yield* Output
    if (ids.length > 0 && !approve)
      return yield* CommandFailure.usage("ids need --approve: add it to delete just these")
    if (Option.isSome(token) && !approve)
      return yield* CommandFailure.usage("--token needs --approve: add it to delete these")
    if (Option.isSome(token) && ids.length > 0) return yield* CommandFailure.usage("give ids or --token, not both")
    if (!approve) return yield* AppServices.ask(list(name, limit))
    yield* AppServices.ask(
      Effect.gen(function* () {
        const isAsked = yield* Confirmation.isAsked(yes)
        const { payload, what } = yield* approvalOf({ connection: name, ids, token, limit, isAsked })
        yield* Confirmation.ask({ connection: name, what: `this marks as deleted ${what}`, yes })
        // The token does not approve deletions that became held after the list.
        const { deleted } = yield* ApiClient.use(({ connections }) =>
          connections.approveDeletions({ params: { connection: name }, payload })
        )
        yield* output.answer(
          { connection: name, deleted },
          () => `${TextFormat.many(deleted, "content")} of ${TextFormat.oneLine(name)} marked as deleted`
        )
      })
    )
  })
).pipe(Command.withDescription("List deletions that are held back, or approve them"))

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
            `${TextFormat.many(bodies, "body", "bodies")} removed, ${TextFormat.bytes(bytes)}`,
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
