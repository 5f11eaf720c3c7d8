/** `idem contents` and `idem show`: lists and shows stored content. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
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
      Flag.withDescription("list contents in this state (default stored)"),
      Flag.withMetavar("S"),
      Flag.withDefault("stored" as const)
    ),
    text: Arguments.textFlag("text", "TEXT", "list contents whose title contains this text", TitleText),
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
          ...Arguments.given("text", input.text),
          ...Arguments.given("after", input.after)
        }
      })
    ).pipe(Effect.catchTag(["CursorProblem", "CursorGoneProblem"], Arguments.refusedAfter), AppServices.ask)
    const table = yield* output.table
    const text = () => {
      if (rows.length === 0) {
        const about = Option.match(input.text, {
          onNone: () => "",
          onSome: (text) => ` with ${TextFormat.quoted(text)} in its title`
        })
        return `nothing ${input.state}${about}`
      }
      // Files, for example, have no author: then the column is left out.
      const people = rows.some((row) => row.from !== null || row.in !== null)
      const lines = table(
        ["ID", "KIND", "SIZE", "WHEN (UTC)", ...(people ? ["FROM"] : []), "TITLE"],
        rows.map((row) => [
          TextFormat.oneLine(row.externalId),
          row.kind ?? "",
          TextFormat.bytes(row.size),
          row.occurredAt === null ? "" : TextFormat.minute(row.occurredAt),
          ...(people ? [TextFormat.short(TextFormat.author(row), 40)] : []),
          row.title === null ? "" : TextFormat.short(ContentNames.inText(row.title, row.names), 70)
        ]),
        { right: ["SIZE"], cut: ["FROM", "TITLE"], drop: ["KIND", "SIZE", "FROM", "WHEN (UTC)"] }
      )
      return next === null ? lines : `${lines}\n${output.style.dim(`more: --after ${next}`)}`
    }
    yield* output.answer({ contents: rows.map((row) => encodeRow(row)), next }, text)
  })
).pipe(Command.withDescription("List what is stored"))

/** Formats a metadata value. An id is followed by its name. */
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

/** Returns the whole text of a content, as people read it; null if it has none. */
const textOf = Effect.fnUntraced(function* (connection: string, externalId: string) {
  const api = yield* ApiClient
  const pages = yield* Stream.paginate(0, (offset) =>
    Effect.map(
      api.contents.text({ params: { connection }, query: { externalId, offset } }),
      ({ next, text }) => [[text], Option.fromNullOr(next)] as const
    )
  ).pipe(Stream.runCollect)
  return pages.includes(null) ? null : pages.join("")
})

/** Formats a content for reading: its title, author and time, and its text wrapped at the width of the terminal. */
const readable = Effect.fnUntraced(function* (row: typeof ListedContent.Type, text: string) {
  const { columns } = yield* Output
  const { wrapAnsi } = yield* Effect.promise(() => import("fast-wrap-ansi"))
  const head = TextFormat.fields(
    Object.entries({
      title: ContentNames.inText(row.title ?? row.externalId, row.names),
      from: row.from ?? "",
      in: row.in ?? "",
      date: row.occurredAt === null ? "" : `${TextFormat.minute(row.occurredAt)} UTC`
    }).flatMap(([name, value]) => (value === "" ? [] : [[name, TextFormat.oneLine(value)] as const]))
  )
  const body = TextFormat.lines(ContentNames.inText(text, row.names)).trim()
  return `${head}\n\n${columns === Number.POSITIVE_INFINITY ? body : wrapAnsi(body, columns, { trim: false })}`
})

export const show = Command.make(
  "show",
  {
    connection: Arguments.connection,
    id: Arguments.externalId,
    text: Arguments.flag("text", "show its title, author, time and text, for reading", "show"),
    raw: Arguments.flag("raw", "write the body's bytes to stdout, and nothing else")
  },
  Effect.fn("show")(function* ({ connection: name, id, raw, text: asText }) {
    const output = yield* Output
    if (raw && asText) return yield* CommandFailure.usage("--raw writes bytes, and --text a text: choose one of them")
    if (raw && output.json)
      return yield* CommandFailure.usage("--raw writes bytes, and --json one document: choose one of them")
    const unknown = ({ what }: NotFoundProblem) => what !== "connection" && what !== "body"
    const shellName = TextFormat.shellWord(name)
    const unknownId = CommandFailure.failed(
      "UnknownId",
      `${TextFormat.quoted(name)} has no content with the id ${TextFormat.quoted(id)}; see: idem contents ${shellName}`
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
                    `${TextFormat.quoted(id)} is ${state}, and has no stored body; see: idem failures ${shellName}`
                  )
                )
              )
          )
        )
        return yield* output.bytes(bytes)
      }
      const { failure, ...content } = yield* api.contents.get(request)
      const document = { ...encodeContent(content), failure: encodeFailure(failure) }
      if (asText) {
        const text = yield* textOf(name, id)
        if (text === null) {
          return yield* CommandFailure.failed(
            "NoText",
            `${TextFormat.quoted(id)} has no extracted text, or not yet (idem derive extracts it now); ` +
              `its bytes: idem show ${shellName} ${TextFormat.shellWord(id)} --raw`
          )
        }
        const shown = yield* readable(content, text)
        return yield* output.answer({ ...document, text }, () => shown)
      }
      const now = yield* DateTime.now
      yield* output.answer(document, () =>
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
).pipe(Command.withDescription("Show one content: its metadata, its text or its bytes"))
