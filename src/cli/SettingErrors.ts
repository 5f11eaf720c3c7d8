/** Explains a wrong setting (an environment variable) in one line. The line does not repeat the value. */
import type * as Config from "effect/Config"
import * as SchemaIssue from "effect/SchemaIssue"

/** How the values are written, by what Effect's message expects. */
const forms: ReadonlyArray<readonly [RegExp, string]> = [
  [/Duration/, 'a duration like "5 minutes"'],
  [/"true" \|/, "true or false"],
  [/URL/, "an address like https://idem.example.com"],
  [/integer/, "a whole number"],
  [/finite number|between/, "a number"]
]

const formOf = (name: string, message: string): string =>
  /(^|_)PORT$/.test(name)
    ? "a port, from 0 to 65535"
    : (forms.find(([pattern]) => pattern.test(message))?.[1] ?? "another value")

const format = SchemaIssue.makeFormatterStandardSchemaV1()

/** The name of the setting, and how it is written. */
export const explain = ({ cause }: Config.ConfigError): string => {
  if (cause._tag !== "SchemaError") return cause.message
  const [first] = format(cause.issue).issues
  const name = (first?.path ?? []).map(String).join("_")
  const message = first?.message ?? ""
  return /missing/i.test(message) ? `${name} is not set` : `${name} is not right: it must be ${formOf(name, message)}`
}
