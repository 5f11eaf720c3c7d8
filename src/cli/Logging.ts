/** Logs on stderr: text on a terminal, otherwise one JSON object a line. Control characters are escaped. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Stdio from "effect/Stdio"
import { styleText } from "node:util"
import * as SafeText from "../engine/SafeText.ts"

const asText = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value))

const colours = { WARN: "yellow", ERROR: "red", FATAL: "red" } as const

const styled = (level: string): string =>
  level in colours ? styleText(colours[level as keyof typeof colours], level, { validateStream: false }) : level

/** Indents further lines of a message, so that none looks like a line of the log. */
const indented = (text: string): string => SafeText.lines(text).replaceAll("\n", "\n  ")

const forPeople = Logger.map(Logger.formatStructured, ({ annotations, cause, level, message, timestamp }) => {
  const named = Object.entries(annotations).map(([name, value]) => ` ${name}=${SafeText.oneLine(asText(value))}`)
  const text = (Array.isArray(message) ? message : [message]).map(asText).join(" ")
  const why = cause === undefined ? "" : `\n  ${indented(cause)}`
  return `${timestamp.slice(11, 19)} ${styled(level)} ${indented(text)}${SafeText.oneLine(named.join(""))}${why}`
})

const forPrograms = Logger.map(Logger.formatJson, SafeText.json)

/** Logs warnings and errors, unless a flag asks for more. */
export const layer: Layer.Layer<never, never, Stdio.Stdio> = Layer.unwrap(
  Effect.gen(function* () {
    const { stderrIsTerminal } = yield* Stdio.Stdio
    const logger = Logger.withConsoleError((yield* stderrIsTerminal) ? forPeople : forPrograms)
    return Layer.mergeAll(
      Logger.layer([logger]),
      Layer.succeed(Logger.LogToStderr, true),
      Layer.succeed(References.MinimumLogLevel, "Warn")
    )
  })
)
