/** `idem search`: full-text search over mirrored content. */
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { fields, unknownFields } from "../derive/search/Search.ts"
import { ApiClient } from "../http/client/ApiClient.ts"
import * as ContentNames from "../http/contents/ContentNames.ts"
import { Query, SearchResult, Word } from "../http/search/SearchEndpoints.ts"
import * as AppServices from "./AppServices.ts"
import * as Arguments from "./Arguments.ts"
import { Output } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"
import * as Time from "./Time.ts"

const encodeResult = Schema.encodeSync(SearchResult)

/** Formats the snippet on one line, with the matching words in bold. */
const marked = ({ highlights, names, snippet }: typeof SearchResult.Type, bold: (text: string) => string): string => {
  const text = snippet ?? ""
  const written = (start: number, end?: number) =>
    TextFormat.oneLine(ContentNames.inText(text.slice(start, end), names))
  let at = 0
  let line = ""
  for (const [start, end] of highlights) {
    line += written(at, start) + bold(written(start, end))
    at = end
  }
  return line + written(at)
}

export const search = Command.make(
  "search",
  {
    query: Arguments.textArgument(
      "query",
      'words, "phrases", -excluded, OR, and fields like from:ann has:attachment after:2026-01-31',
      Query
    ),
    connection: Arguments.connectionName("connection", "only this connection").pipe(Flag.optional),
    from: Arguments.textFlag("from", "A", "only from this sender: a name or an address, or its beginning", Word),
    kind: Arguments.textFlag("kind", "K", "only this kind: message, file, …", Word),
    since: Arguments.time("since", "only content of this time or later"),
    until: Arguments.time("until", "only content before this time"),
    limit: Arguments.limit(100, 20),
    after: Arguments.after
  },
  Effect.fn("search")(function* ({ after, connection, from, kind, limit, query, since, until }) {
    const output = yield* Output
    const window = yield* Time.window(Option.getOrUndefined(since)?.time, Option.getOrUndefined(until)?.time)
    const { next, results } = yield* ApiClient.use((api) =>
      api.searches.search({
        query: {
          q: query,
          limit,
          ...window,
          ...Arguments.given("connection", connection),
          ...Arguments.given("from", from),
          ...Arguments.given("kind", kind),
          ...Arguments.given("after", after)
        }
      })
    ).pipe(Effect.catchTag(["CursorProblem", "CursorGoneProblem"], Arguments.refusedAfter), AppServices.ask)
    const { bold, dim } = output.style
    yield* output.answer({ results: results.map((result) => encodeResult(result)), next }, () => {
      if (results.length === 0) {
        const notes = unknownFields(query).map(
          (name) =>
            `${TextFormat.oneLine(name)}: is searched as a word; the fields are ${fields.map((field) => `${field}:`).join(" ")}`
        )
        return ["nothing found", ...notes].join("\n")
      }
      const blocks = results.map((result) => {
        const when = result.occurredAt === null ? [] : [DateTime.formatIso(result.occurredAt).slice(0, 10)]
        const author = TextFormat.author(result)
        const who = author === "" ? [] : [TextFormat.short(author, 60)]
        const head = [
          bold(TextFormat.short(ContentNames.inText(result.title ?? result.externalId, result.names), 100)),
          dim(
            [...when, ...who, TextFormat.oneLine(result.connection), TextFormat.oneLine(result.externalId)].join(" · ")
          )
        ].join("  ")
        return result.snippet === null ? head : `${head}\n  ${marked(result, bold)}`
      })
      return [...blocks, ...(next === null ? [] : [dim(`more: --after ${next}`)])].join("\n")
    })
  })
).pipe(Command.withDescription("Search what is stored"))
