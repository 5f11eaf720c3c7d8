/** `idem contents` and `idem show`: lists and shows stored content. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { ListedContent, TitleText } from "../http/contents/ContentEndpoints.ts"
import { ContentRow } from "../engine/feed/ChangeDocument.ts"
import * as ContentNames from "../http/contents/ContentNames.ts"
import { LedgerRow } from "../http/connections/ConnectionDocuments.ts"
import { ContentState } from "../engine/model/Content.ts"
import { ApiClient, body } from "../http/client/ApiClient.ts"
import type { NotFoundProblem } from "../http/Problems.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as AppServices from "./AppServices.ts"
import * as TextFormat from "./TextFormat.ts"

const encodeRow = Schema.encodeSync(ContentRow)
const encodeContent = Schema.encodeSync(ListedContent)
const encodeFailure = Schema.encodeSync(Schema.NullOr(LedgerRow))

export const contents = Command.make(
  "contents",
  {
    connection: Arguments.connection,
    state: Flag.Literals("state", ContentState.literals).pipe(
      Flag.withDescription("list those in this state (default stored)"),
      Flag.withMetavar("S"),
      Flag.withDefault("stored" as const)
    ),
    text: Arguments.textFlag("text", "TEXT", "list those whose title contains this text", TitleText),
    limit: Arguments.limit(1000, 100),
    after: Arguments.after
  },
  Effect.fn("contents")(function* (input) {
    const output = yield* Output
    const name = input.connection
    const { contents: rows, next } = yield* ApiClient.use((api) =>
      api.contents.list({
        params: { connection: name },
        query: {
          state: input.state,
          order: "id",
          limit: input.limit,
          ...Option.match(input.text, { onNone: () => ({}), onSome: (text) => ({ text }) }),
          ...Option.match(input.after, { onNone: () => ({}), onSome: (after) => ({ after }) })
        }
      })
    ).pipe(
      Effect.catchTag(["CursorProblem", "CursorGoneProblem"], ({ message }) =>
        Effect.fail(CommandFailure.usage(`--after can't be used: ${message}`))
      ),
      AppServices.ask
    )
    const table = yield* TextFormat.table
    const text = () => {
      if (rows.length === 0) {
        const about = Option.match(input.text, {
          onNone: () => "",
          onSome: (text) => ` with ${TextFormat.quoted(text)} in its title`
        })
        return `nothing ${input.state}${about}`
      }
      // Files and the like have no author: then the column is left out.
      const people = rows.some((row) => row.from !== null || row.in !== null)
      const lines = table(
        ["ID", "KIND", "SIZE", "WHEN", ...(people ? ["FROM"] : []), "TITLE"],
        rows.map((row) => [
          TextFormat.short(row.externalId, 80),
          row.kind ?? "",
          TextFormat.bytes(row.size),
          row.occurredAt === null ? "" : DateTime.formatIso(row.occurredAt).slice(0, 16).replace("T", " "),
          ...(people ? [TextFormat.short(TextFormat.author(row), 40)] : []),
          row.title === null ? "" : TextFormat.short(ContentNames.inText(row.title, row.names), 70)
        ]),
        { right: ["SIZE"], style: output.style.bold }
      )
      return next === null ? lines : `${lines}\n${output.style.dim(`more: --after ${next}`)}`
    }
    yield* output.answer({ contents: rows.map((row) => encodeRow(row)), next }, text)
  })
).pipe(Command.withDescription("List what is stored"))

/** A value of the metadata; an id with the name that it stands for. */
const valueOf = (value: Schema.Json, names: ContentNames.Named["names"]): string => {
  if (typeof value !== "string") return JSON.stringify(value)
  return Object.hasOwn(names, value) ? `${names[value]} (${value})` : value
}

const shown = (row: typeof ListedContent.Type, now: DateTime.Utc): string =>
  TextFormat.fields([
    ["id", TextFormat.oneLine(row.externalId)],
    ["kind", row.kind ?? ""],
    ["state", row.state],
    ["title", row.title === null ? "" : TextFormat.oneLine(ContentNames.inText(row.title, row.names))],
    ["occurred", row.occurredAt === null ? "not known" : TextFormat.moment(row.occurredAt, now)],
    ["revision", row.revision === null ? "" : TextFormat.oneLine(row.revision)],
    ["size", TextFormat.bytes(row.size)],
    ["sha-256", row.hash ?? ""],
    ["media type", row.mediaType === null ? "" : TextFormat.oneLine(row.mediaType)],
    ["first seen", TextFormat.moment(row.createdAt, now)],
    ["changed", TextFormat.moment(row.updatedAt, now)],
    ...Object.entries({ ...row.metadata, ...row.volatile }).map(
      ([name, value]) => [TextFormat.short(name, 40), TextFormat.short(valueOf(value, row.names), 200)] as const
    )
  ])

export const show = Command.make(
  "show",
  {
    connection: Arguments.connection,
    id: Arguments.externalId,
    raw: Arguments.flag("raw", "write the body's bytes to stdout, and nothing else")
  },
  Effect.fn("show")(function* ({ connection: name, id, raw }) {
    const output = yield* Output
    if (raw && output.json)
      return yield* CommandFailure.usage("--raw writes bytes, and --json one document: choose one of them")
    const unknown = ({ what }: NotFoundProblem) => what !== "connection" && what !== "body"
    const unknownId = CommandFailure.failed(
      "UnknownId",
      `${TextFormat.quoted(name)} has nothing with the id ${TextFormat.quoted(id)}; see: idem contents ${TextFormat.shellWord(name)}`
    )
    yield* Effect.gen(function* () {
      const api = yield* ApiClient
      const request = { params: { connection: name }, query: { externalId: id } }
      if (raw) {
        const { bytes } = yield* body(name, id).pipe(
          Effect.catchIf(
            (error) => error._tag === "NotFoundProblem" && error.what === "body",
            () =>
              Effect.flatMap(api.contents.get(request), ({ state }) =>
                Effect.fail(
                  CommandFailure.failed(
                    "NoBody",
                    `${TextFormat.quoted(id)} is ${state}, and no body of it was ever stored; see: idem failures ${TextFormat.shellWord(name)}`
                  )
                )
              )
          )
        )
        return yield* output.bytes(bytes)
      }
      const { failure, ...content } = yield* api.contents.get(request)
      const now = yield* DateTime.now
      yield* output.answer({ ...encodeContent(content), failure: encodeFailure(failure) }, () =>
        failure === null
          ? shown(content, now)
          : `${shown(content, now)}\n${TextFormat.fields([[failure.state, `${failure.reason}: ${TextFormat.oneLine(failure.message)}`]])}`
      )
    }).pipe(
      Effect.catchIf(
        (error) => error._tag === "NotFoundProblem" && unknown(error),
        () => Effect.fail(unknownId)
      ),
      AppServices.ask
    )
  })
).pipe(Command.withDescription("Show one content: what is known of it, or its bytes"))
