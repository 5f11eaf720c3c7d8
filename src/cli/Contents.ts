/** `idem contents` and `idem show`: what is stored. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { ContentState, Store, type ContentRow } from "../engine/Store.ts"
import * as Cursor from "./Cursor.ts"
import * as Documents from "./Documents.ts"
import * as Failure from "./Failure.ts"
import * as Input from "./Input.ts"
import { Output } from "./Output.ts"
import * as Services from "./Services.ts"
import * as Text from "./Text.ts"

export const contents = Command.make(
  "contents",
  {
    connection: Input.connection,
    state: Flag.Literals("state", ContentState.literals).pipe(
      Flag.withDescription("list those in this state (default stored)"),
      Flag.withMetavar("S"),
      Flag.withDefault("stored" as const)
    ),
    limit: Input.limit(1000, 100),
    after: Flag.String("after").pipe(
      Flag.withDescription("go on after the `next` of the page before"),
      Flag.withMetavar("CURSOR"),
      Flag.optional
    )
  },
  Effect.fn("contents")(function* (input) {
    const output = yield* Output
    const name = input.connection
    const { next, rows } = yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        const after = Option.isSome(input.after) ? Cursor.decode(connection.id, input.after.value) : undefined
        if (after !== undefined && Result.isFailure(after)) {
          return yield* Failure.usage(`--after can't be used: ${after.failure}`)
        }
        const page = yield* store.contents(connection.id, {
          state: input.state,
          limit: input.limit,
          after: after?.success
        })
        return { rows: page.contents, next: page.next === null ? null : Cursor.encode(connection.id, page.next) }
      })
    )
    const text = () => {
      if (rows.length === 0) return `nothing ${input.state}`
      const table = Text.table(
        ["ID", "KIND", "SIZE", "WHEN", "TITLE"],
        rows.map((row) => [
          Text.short(row.externalId, 80),
          row.kind ?? "",
          Text.bytes(row.size),
          row.occurredAt === null ? "" : DateTime.formatIso(row.occurredAt).slice(0, 16).replace("T", " "),
          row.title === null ? "" : Text.short(row.title, 70)
        ]),
        { right: ["SIZE"], style: output.style.bold }
      )
      return next === null ? table : `${table}\n${output.style.dim(`more: --after ${next}`)}`
    }
    yield* output.answer({ contents: rows.map(Documents.contentRow), next }, text)
  })
).pipe(Command.withDescription("List what is stored"))

const shown = (row: ContentRow, now: DateTime.Utc): string =>
  Text.fields([
    ["id", Text.oneLine(row.externalId)],
    ["kind", row.kind ?? ""],
    ["state", row.state],
    ["title", row.title === null ? "" : Text.oneLine(row.title)],
    ["occurred", row.occurredAt === null ? "not known" : Text.moment(row.occurredAt, now)],
    ["revision", row.revision === null ? "" : Text.oneLine(row.revision)],
    ["size", Text.bytes(row.size)],
    ["sha-256", row.hash ?? ""],
    ["media type", row.mediaType === null ? "" : Text.oneLine(row.mediaType)],
    ["first seen", Text.moment(row.createdAt, now)],
    ["changed", Text.moment(row.updatedAt, now)],
    ...Object.entries({ ...row.metadata, ...row.volatile }).map(
      ([name, value]) =>
        [Text.short(name, 40), Text.short(typeof value === "string" ? value : JSON.stringify(value), 200)] as const
    )
  ])

export const show = Command.make(
  "show",
  {
    connection: Input.connection,
    id: Input.externalId,
    raw: Flag.Boolean("raw").pipe(
      Flag.withDescription("write the body's bytes to stdout, and nothing else"),
      Flag.withDefault(false)
    )
  },
  Effect.fn("show")(function* ({ connection: name, id, raw }) {
    const output = yield* Output
    if (raw && output.json)
      return yield* Failure.usage("--raw writes bytes, and --json one document: choose one of them")
    yield* Services.provide(
      Effect.gen(function* () {
        const store = yield* Store
        const connection = yield* Services.connectionNamed(name)
        const found = yield* store.content(connection.id, id)
        if (Option.isNone(found)) {
          return yield* Failure.failed(
            "UnknownId",
            `${Text.quoted(name)} has nothing with the id ${Text.quoted(id)}; see: idem contents ${Text.shellWord(name)}`
          )
        }
        const row = found.value
        if (raw) {
          if (row.hash === null) {
            return yield* Failure.failed(
              "NoBody",
              `${Text.quoted(id)} is ${row.state}, and no body of it was ever stored; see: idem failures ${Text.shellWord(name)}`
            )
          }
          return yield* output.bytes(store.body(row.hash))
        }
        const [failure] = yield* store.ledger(connection.id, { externalIds: [id], limit: 1 })
        const now = yield* DateTime.now
        yield* output.answer(
          { ...Documents.content(row), failure: failure === undefined ? null : Documents.ledgerRow(failure) },
          () =>
            failure === undefined
              ? shown(row, now)
              : `${shown(row, now)}\n${Text.fields([[failure.state, `${failure.reason}: ${Text.oneLine(failure.message)}`]])}`
        )
      })
    )
  })
).pipe(Command.withDescription("Show one content: what is known of it, or its bytes"))
