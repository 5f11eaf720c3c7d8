/** Explains in one line what is wrong with a command line. */
import type * as CliError from "effect/cli/CliError"
import * as CommandFailure from "./CommandFailure.ts"
import * as TextFormat from "./TextFormat.ts"

/** Returns true if a word of the command line may be a credential. Then errors repeat none of its words. */
export const mayHoldSecrets = (args: ReadonlyArray<string>): boolean =>
  args.some((arg) => arg === "connect" || arg.startsWith("--cred") || arg.includes("{"))

/** Describes the values that a flag may have. */
const formOf = (expected: string): string =>
  expected.startsWith('"')
    ? `it must be one of ${expected.replaceAll('"', "").split(" | ").join(", ")}`
    : expected.replace(/^Expected:? /, "expected ")

const explain = (error: CliError.NonShowHelpErrors, secret: boolean): string => {
  const meant = (suggestions: ReadonlyArray<string>) =>
    suggestions[0] === undefined ? "" : `; did you mean ${suggestions[0]}?`
  switch (error._tag) {
    case "UnrecognizedOption":
      return `there is no flag${secret ? " of that name" : ` ${TextFormat.short(error.option)}`}${meant(error.suggestions)}`
    case "UnknownSubcommand":
      return `there is no command${secret ? " of that name" : ` ${TextFormat.quoted(error.subcommand)}`}${meant(error.suggestions)}`
    case "UnexpectedArgument":
      return secret
        ? "there are too many arguments: quote JSON with single quotes"
        : `there are too many arguments: ${error.arguments.map(TextFormat.quoted).join(", ")}`
    case "MissingOption":
      return `--${error.option} is missing`
    case "MissingArgument":
      return `the ${error.argument} is missing`
    case "InvalidValue":
      if (error.kind === "flag" && error.value === "") {
        return `--${error.option} needs a value (one that begins with - is written --${error.option}=-…)`
      }
      const option = error.kind === "flag" ? `--${error.option}` : `the ${error.option}`
      return `${option}${secret ? "" : ` ${TextFormat.quoted(error.value)}`} is not valid: ${formOf(error.expected)}`
    default:
      return error.message
  }
}

/** Returns the first error of a command line, because a wrong word causes further ones. */
export const usageOf = (help: CliError.ShowHelp, args: ReadonlyArray<string>): CommandFailure.Failure => {
  const secret = mayHoldSecrets(args)
  const [first] = help.errors
  const path = help.commandPath.join(" ")
  return CommandFailure.usage(
    first === undefined ? `a command is missing; see: ${path} --help` : `${explain(first, secret)} (${path} --help)`
  )
}
