/** `idem sql`: queries on the schema `mirror`. `derive/SqlQuery` runs them, read-only and with limits. */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { ApiClient } from "../http/client/ApiClient.ts"
import { Query, QueryResult } from "../http/mirror/MirrorEndpoints.ts"
import * as AppServices from "./AppServices.ts"
import * as Arguments from "./Arguments.ts"
import * as CommandFailure from "./CommandFailure.ts"
import { Output } from "./Output.ts"
import * as TextFormat from "./TextFormat.ts"

const encode = Schema.encodeSync(QueryResult)

/** The most characters of a value in a table. */
const widest = 80

const cell = (value: Schema.Json): string =>
  value === null ? "" : typeof value === "string" ? value : JSON.stringify(value)

const tableOf = Effect.fnUntraced(function* ({ columns, rows, truncated }: QueryResult) {
  const { style, table: layout } = yield* Output
  const table = yield* layout
  const numbers = columns.filter((_, index) => rows.length > 0 && rows.every((row) => typeof row[index] === "number"))
  const shown = table(
    columns.map(TextFormat.oneLine),
    rows.map((row) => row.map((value) => TextFormat.short(cell(value), widest))),
    { right: numbers }
  )
  return [
    ...(columns.length === 0 ? [] : [shown]),
    style.dim(`(${TextFormat.many(rows.length, "row")}${truncated ? ", and more: --limit" : ""})`)
  ].join("\n")
})

/** Formats a value for CSV (RFC 4180). */
const csvCell = (value: Schema.Json): string => {
  const text = cell(value)
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text
}

const csvOf = ({ columns, rows }: QueryResult): string =>
  [columns, ...rows].map((row) => `${row.map(csvCell).join(",")}\n`).join("")

const fitting = Arguments.fitting("the query", Query)

const ask = (query: string, limit: number) =>
  Effect.flatMap(fitting(query), (fits) =>
    ApiClient.use(({ mirror }) => mirror.query({ payload: { query: fits, limit } }))
  )

/** Reads queries from a terminal, each ended by a semicolon or an empty line, until the input ends. */
const prompt = Effect.fnUntraced(function* (limit: number) {
  const { stdin } = yield* Stdio.Stdio
  const output = yield* Output
  yield* output.note(
    "Queries on the schema mirror; end one with ; or an empty line. \\d lists the tables, \\q or Ctrl-D ends."
  )
  const answer = (query: string) =>
    ask(query, limit).pipe(
      Effect.flatMap(tableOf),
      Effect.flatMap(output.print),
      Effect.catch((error) =>
        error._tag === "OutputClosed" ? Effect.fail(error) : output.failure(CommandFailure.fromError(error))
      )
    )
  let pending = ""
  yield* stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.takeWhile((line) => !/^\s*(\\q|quit|exit)\s*;?\s*$/.test(line)),
    Stream.runForEach((line) => {
      if (/^\s*\\d\s*$/.test(line)) return answer(tables)
      pending = `${pending}${line}\n`
      if (pending.trim() === "") {
        pending = ""
        return Effect.void
      }
      if (!/;\s*$/.test(line) && line.trim() !== "") return Effect.void
      const query = pending
      pending = ""
      return answer(query)
    })
  )
  if (pending.trim() !== "") yield* answer(pending)
})

const tables = `SELECT c.relname AS "table", obj_description(c.oid) AS description FROM pg_class AS c
  WHERE c.relnamespace = 'mirror'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY 1`

export const sql = Command.make(
  "sql",
  {
    query: Arguments.textArgument(
      "query",
      "a SELECT on the schema mirror; without it, a prompt or standard input",
      Query
    ).pipe(Argument.optional),
    csv: Arguments.flag("csv", "print CSV with a header"),
    limit: Arguments.limit(100_000, 1000)
  },
  Effect.fn("sql")(function* ({ csv, limit, query }) {
    const output = yield* Output
    const stdio = yield* Stdio.Stdio
    if (csv && output.json) return yield* CommandFailure.usage("give --json or --csv, not both")
    const run = Effect.gen(function* () {
      if (Option.isNone(query) && (yield* stdio.stdinIsTerminal) && !csv && !output.json) return yield* prompt(limit)
      const text = Option.isSome(query)
        ? query.value
        : yield* Effect.mapError(stdio.stdin.pipe(Stream.decodeText(), Stream.mkString), () =>
            CommandFailure.usage("standard input can't be read")
          )
      if (text.trim() === "") return yield* CommandFailure.usage('give a query: idem sql "SELECT …"')
      const result = yield* ask(text, limit)
      if (csv) return yield* output.bytes(Stream.encodeText(Stream.succeed(csvOf(result))))
      const shown = output.json ? "" : yield* tableOf(result)
      yield* output.answer(encode(result), () => shown)
    })
    yield* AppServices.ask(run)
  })
).pipe(
  Command.withDescription("Query what is stored, as the tables of the schema mirror"),
  Command.withExamples([
    {
      command: 'idem sql "SELECT from_address, count(*) FROM mail GROUP BY 1 ORDER BY 2 DESC LIMIT 10"',
      description: "Who writes most"
    }
  ])
)
