/** The text of `--help`, wrapped at the width of the terminal. */
import * as CliOutput from "effect/cli/CliOutput"
import type * as HelpDoc from "effect/cli/HelpDoc"
import { wrapAnsi } from "fast-wrap-ansi"
import { stripVTControlCharacters } from "node:util"

/** Returns true for commands, addresses and JSON, which people copy: an added line break would be copied too. */
const isLiteral = (line: string): boolean =>
  /^ *(idem |At https|Example: |\S+\.json: )/.test(stripVTControlCharacters(line))

/** Wraps one line at words. Further lines begin below the text that follows a flag's name or a step's number. */
const wrapLine = (line: string, columns: number): string => {
  if (CliOutput.displayWidth(line) <= columns || isLiteral(line)) return line
  const [, name = "", text = ""] = /^( *(?:\S.*? {2,}|\d+\. )?)(.*)$/.exec(line) ?? []
  const beside = CliOutput.displayWidth(name)
  // The text of a long name begins on the next line.
  const isBelow = beside > columns / 2
  const indent = " ".repeat(isBelow ? 6 : beside)
  const wrapped = wrapAnsi(text, Math.max(columns - indent.length, 20)).replaceAll("\n", `\n${indent}`)
  return isBelow ? `${name.trimEnd()}\n${indent}${wrapped}` : name + wrapped
}

/** Wraps text of lines at this width, in columns of a terminal. Commands, addresses and JSON stay whole. */
export const wrapped = (text: string, columns: number): string =>
  columns === Number.POSITIVE_INFINITY
    ? text
    : text
        .split("\n")
        .map((line) => wrapLine(line, columns))
        .join("\n")

/** Placeholders for Effect's own flags, instead of all their choices, which their descriptions list. */
const metavars: Readonly<Record<string, string>> = { completions: "SHELL", "log-level": "LEVEL" }

/** The help of a command. A list of commands comes before the flags that all of them have. */
export const text = (
  doc: HelpDoc.HelpDoc,
  { columns, isColoured }: { readonly columns: number; readonly isColoured: boolean }
): string => {
  const { formatHelpDoc } = CliOutput.defaultFormatter({ colors: isColoured })
  const globalFlags = (doc.globalFlags ?? []).map((flag) => ({ ...flag, type: metavars[flag.name] ?? flag.type }))
  if (doc.subcommands === undefined) return wrapped(formatHelpDoc({ ...doc, globalFlags }), columns)
  const { annotations } = doc
  // The section of the flags follows that of the usage.
  const [, flags = ""] = formatHelpDoc({ description: "", usage: "", flags: [], annotations, globalFlags }).split(
    "\n\n"
  )
  return wrapped(`${formatHelpDoc({ ...doc, globalFlags: [] })}\n\n${flags}`, columns)
}
