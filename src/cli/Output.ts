/**
 * The output of a command: its result on stdout (one JSON document with `--json`, otherwise text), everything else on
 * stderr. Colours appear only on a terminal, unless they are switched off.
 */
import * as Context from "effect/Context"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Terminal from "effect/Terminal"
import { styleText } from "node:util"
import { failed, type Failure, OutputClosed } from "./CommandFailure.ts"
import { redact } from "../contract/Redaction.ts"
import * as SafeText from "../engine/SafeText.ts"
import type { Layout } from "./Table.ts"
import * as TextFormat from "./TextFormat.ts"

/**
 * The columns of a table that are aligned to the right, and those that are shortened or dropped if it is too wide (see
 * `Table.ts`).
 */
type TableLayout = Pick<Layout, "right" | "cut" | "drop">

/** The colours of one stream. Without a terminal, the text is unchanged. */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly good: (text: string) => string
  readonly warn: (text: string) => string
  readonly bad: (text: string) => string
}

const style = (on: boolean): Style => {
  const as = (format: Parameters<typeof styleText>[0]) => (text: string) =>
    on ? styleText(format, text, { validateStream: false }) : text
  return { bold: as("bold"), dim: as("dim"), good: as("green"), warn: as("yellow"), bad: as("red") }
}

export class Output extends Context.Service<
  Output,
  {
    readonly json: boolean
    /** True if stderr is a terminal, so that a progress line can be drawn. */
    readonly animate: boolean
    /** True if text on stdout has colours. */
    readonly isColoured: boolean
    readonly style: Style
    /** The width of stdout in columns: `COLUMNS`, else the terminal's. Infinity for a pipe or a file. */
    readonly columns: number
    /** Formats rows in columns that fit the width. */
    readonly table: Effect.Effect<
      (header: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>, layout?: TableLayout) => string
    >
    /** Prints the command's result: the document with `--json`, otherwise the text. */
    readonly answer: (document: Schema.JsonObject, text: () => string) => Effect.Effect<void, OutputClosed | Failure>
    /** Prints text on stdout, with and without `--json`: the help, the version. */
    readonly print: (text: string) => Effect.Effect<void, OutputClosed | Failure>
    /**
     * Writes exactly these bytes to stdout, with back-pressure. On a terminal, writes text without control characters.
     */
    readonly bytes: <E, R>(
      stream: Stream.Stream<Uint8Array, E, R>
    ) => Effect.Effect<void, E | OutputClosed | Failure, R>
    /** Prints a line for people on stderr. */
    readonly note: (line: string) => Effect.Effect<void>
    /** Reports a failure: the document on stdout with `--json`, and one line on stderr. */
    readonly failure: (failure: Failure) => Effect.Effect<void>
    /** Redacts this text in all further output. */
    readonly hide: (secret: string) => Effect.Effect<void>
  }
>()("idem/cli/Output") {
  static readonly layer = (options: {
    readonly json: boolean
  }): Layer.Layer<Output, never, Stdio.Stdio | Terminal.Terminal> => Layer.effect(Output, make(options))
}

const colourWanted = Effect.gen(function* () {
  const set = (name: string) =>
    Effect.map(
      Effect.orDie(Config.option(Config.String(name))),
      Option.getOrElse(() => "")
    )
  const forced = yield* set("FORCE_COLOR")
  return {
    refused: (yield* set("NO_COLOR")) !== "" || (yield* set("TERM")) === "dumb",
    forced: forced !== "" && forced !== "0" && forced !== "false"
  }
})

const columnsWanted = Effect.gen(function* () {
  const set = yield* Effect.orElseSucceed(Config.Int("COLUMNS"), () => 0)
  const own = yield* Effect.flatMap(Terminal.Terminal, (terminal) => terminal.columns)
  return [set, own].find((columns) => columns > 0) ?? Number.POSITIVE_INFINITY
})

/** Returns Node's error, which the platform's error wraps. */
const nodeError = ({ reason: { cause } }: PlatformError.PlatformError) => ({
  code: Predicate.hasProperty(cause, "code") ? cause.code : undefined,
  message: cause instanceof Error ? cause.message : undefined
})

const make = Effect.fnUntraced(function* (options: { readonly json: boolean }) {
  const stdio = yield* Stdio.Stdio
  const wanted = yield* colourWanted
  const columns = yield* columnsWanted
  const terminal = yield* stdio.stdoutIsTerminal
  const errorTerminal = yield* stdio.stderrIsTerminal
  const isColoured = !wanted.refused && (wanted.forced || terminal)
  const out = style(isColoured)
  const err = style(!wanted.refused && (wanted.forced || errorTerminal))
  const hidden = new Set<string>()

  const clean = (text: string) => redact(text, hidden)

  const write = <E, R>(stream: Stream.Stream<string | Uint8Array, E, R>) =>
    Stream.run(
      Stream.mapError(stream, (error) => ({ ours: error })),
      stdio.stdout()
    ).pipe(
      Effect.mapError((error) => {
        if ("ours" in error) return error.ours
        const { code, message } = nodeError(error)
        if (code === "EPIPE" || code === "ERR_STREAM_DESTROYED") return new OutputClosed()
        return failed("Output", `can't write to stdout: ${message ?? error.message}`)
      })
    )

  // If stderr is closed, nothing can be reported.
  const note = (line: string) =>
    Effect.ignore(Stream.run(Stream.succeed(`${SafeText.colouredLines(clean(line))}\n`), stdio.stderr()))

  const writeLines = (text: string) => write(Stream.succeed(`${SafeText.colouredLines(text)}\n`))
  const print = (text: string) => Effect.suspend(() => writeLines(clean(text)))

  // Secrets are replaced only within texts: replacing a number or a field's name would make the JSON invalid.
  const hideIn = (_: string, value: unknown) => (typeof value === "string" ? clean(value) : value)
  const printDocument = (document: Schema.JsonObject) =>
    Effect.suspend(() => writeLines(SafeText.json(JSON.stringify(document, hideIn, terminal ? 2 : 0))))

  // A terminal would execute control sequences in a body.
  const bytes = <E, R>(stream: Stream.Stream<Uint8Array, E, R>) =>
    write(terminal ? Stream.map(Stream.decodeText(stream), SafeText.lines) : stream)

  return Output.of({
    json: options.json,
    animate: errorTerminal && !options.json && !wanted.refused,
    isColoured,
    style: out,
    columns,
    // Loaded only by a command that has read its rows, so that help and wrong usage start faster.
    table: Effect.map(
      Effect.promise(() => import("./Table.ts")),
      ({ table }) =>
        (header, rows, layout) =>
          table(header, rows, { ...layout, width: columns, style: out.bold })
    ),
    answer: (document, text) => (options.json ? printDocument(document) : print(text())),
    print,
    bytes,
    note,
    failure: Effect.fnUntraced(function* (failure) {
      const message = TextFormat.oneLine(clean(failure.message).replaceAll(/\s*\n\s*/g, " "))
      if (options.json) {
        const document = failure.document ?? { error: { reason: failure.reason, message } }
        yield* Effect.ignore(printDocument(document))
      }
      yield* note(`${err.bad("idem:")} ${message}`)
    }),
    hide: (secret) => Effect.sync(() => hidden.add(secret))
  })
})
