/**
 * The failure of a command: one line for people, `{"error": {reason, message}}` with `--json`, and the exit code (1
 * failed, 2 wrong usage, 3 partial, 4 skipped).
 */
import * as Config from "effect/Config"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"

export const exitCode = { failed: 1, usage: 2, partial: 3, skipped: 4 } as const

/** The command failed. `document` is printed with `--json` instead of the plain error. */
export class Failure extends Schema.TaggedError<Failure>()("Failure", {
  reason: Schema.String,
  message: Schema.String,
  code: Schema.Int,
  document: Schema.optionalKey(Schema.JsonObject)
}) {}

/** Wrong flags or arguments: exit code 2. */
export const usage = (message: string): Failure => new Failure({ reason: "Usage", message, code: exitCode.usage })

/** Something does not exist, or failed while it ran: exit code 1. */
export const failed = (reason: string, message: string): Failure =>
  new Failure({ reason, message, code: exitCode.failed })

/** The reader of our output has exited (`| head`). This is not a failure. */
export class OutputClosed extends Schema.TaggedError<OutputClosed>()("OutputClosed", {}) {}

/** The command has reported its result. The process ends with this exit code. */
export class Ended extends Schema.TaggedError<Ended>()("Ended", { code: Schema.Int }) {
  override get [Runtime.errorExitCode](): number {
    return this.code
  }
}

/** The reasons in `--json` for problems of the API. */
const reasons: Readonly<Record<string, string>> = {
  BadRequestProblem: "BadRequest",
  BodyError: "StoreError",
  ConflictProblem: "Conflict",
  CursorGoneProblem: "CursorInvalid",
  CursorProblem: "CursorInvalid",
  NameTakenProblem: "NameTaken",
  NotFoundProblem: "NotFound",
  UnavailableProblem: "StoreError",
  UnexpectedProblem: "Unexpected",
  UsageProblem: "UsageError"
}

/** Returns true for an error in the command line or in a setting, which has exit code 2. */
const isUsage = (error: unknown, tag: string): boolean =>
  tag === "UsageProblem" ||
  tag === "UsageError" ||
  (Predicate.hasProperty(error, "what") && /^(connection|message|token|webhook)$/.test(String(error.what))) ||
  (Predicate.hasProperty(error, "setting") && typeof error.setting === "string")

/** The forms of values, by the text in Effect's message. `$&` is that message. */
const forms: ReadonlyArray<readonly [RegExp, string]> = [
  [/^a duration from .*$/, "$&"],
  [/Duration/, 'a duration like "5 minutes"'],
  [/"true" \|/, "true or false"],
  [/URL/, "an address like https://idem.example.com"],
  [/integer/, "a whole number"],
  [/finite number/, "a number"]
]

const formOf = (name: string, message: string): string => {
  if (/(^|_)PORT$/.test(name)) return "a port, from 0 to 65535"
  const [, least, most] = /between (\d+) and (\d+)/.exec(message) ?? []
  if (most !== undefined) return `a number from ${least} to ${most}`
  return (forms.find(([pattern]) => pattern.test(message))?.[1] ?? "another value").replace("$&", message)
}

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** Explains a wrong setting (an environment variable) in one line: its name and its form, never its value. */
export const settingProblem = ({ cause }: Config.ConfigError): string => {
  if (cause._tag !== "SchemaError") return cause.message
  const [first] = format(cause.issue).issues
  const name = (first?.path ?? []).map(String).join("_")
  const message = first?.message ?? ""
  return /missing/i.test(message) ? `${name} is not set` : `${name} is not valid: it must be ${formOf(name, message)}`
}

/** Converts any error to a failure: with its own `reason` (a text) or its tag, and its message. */
export const fromError = (error: unknown): Failure => {
  if (error instanceof Failure) return error
  if (error instanceof Config.ConfigError) return usage(settingProblem(error))
  const tag = Predicate.hasProperty(error, "_tag") && typeof error._tag === "string" ? error._tag : "Error"
  const own = Predicate.hasProperty(error, "reason") && typeof error.reason === "string" ? error.reason : tag
  const isConnection = Predicate.hasProperty(error, "what") && error.what === "connection"
  const reason = isConnection ? "UnknownConnection" : (reasons[tag] ?? own)
  const hasMessage =
    Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== ""
  const message = hasMessage ? String(error.message) : reason
  return new Failure({ reason, message, code: isUsage(error, tag) ? exitCode.usage : exitCode.failed })
}
