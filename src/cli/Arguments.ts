/** Flags and arguments that several commands share: names, ids, JSON. Wrong input is refused before anything starts. */
import * as Argument from "effect/cli/Argument"
import * as CliError from "effect/cli/CliError"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "../contract/Content.ts"
import * as ConfigErrors from "../engine/source/ConfigErrors.ts"
import { Cursor } from "../http/contents/ContentEndpoints.ts"
import { nameProblem } from "../http/Parameters.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as TextFormat from "./TextFormat.ts"
import * as Time from "./Time.ts"

const invalid = (message: string): CliError.CliError => new CliError.ValidationError({ message })

const checked =
  <A>(parse: (text: string) => Result.Result<A, string>) =>
  (text: string): Effect.Effect<A, CliError.CliError> => {
    const result = parse(text)
    return Result.isSuccess(result) ? Effect.succeed(result.success) : Effect.fail(invalid(result.failure))
  }

// The error does not repeat the name: in `connect` it may be a misplaced credential.
const parseName = (name: string): Result.Result<string, string> => {
  const problem = nameProblem(name)
  return problem === undefined ? Result.succeed(name) : Result.fail(problem)
}

const parseId = (id: string): Result.Result<string, string> => {
  const problem = externalIdProblem(id)
  return problem === undefined
    ? Result.succeed(id)
    : Result.fail(`the id ${TextFormat.quoted(id)} is not valid: ${problem}`)
}

const switches = new Set<string>()

/**
 * A flag without a value, false by default. It registers its word for `isSwitch`; with `command`, for that command
 * only, because another command has a flag of the same name with a value.
 */
export const flag = (name: string, description: string, command?: string): Flag.Flag<boolean> => {
  switches.add(command === undefined ? `--${name}` : `${command} --${name}`)
  return Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withoutNegation, Flag.withDefault(false))
}

/** Returns true for the word of a flag without a value: the next word is not its value. */
export const isSwitch = (word: string, command?: string): boolean =>
  switches.has(word) || switches.has(`${command} ${word}`)

/** Refuses text that the API would refuse by this schema. `label` names the flag or argument. */
export const fitting = (label: string, schema: Schema.Codec<string>) => {
  const decode = Schema.decodeResult(schema)
  return checked((text) =>
    Result.mapError(decode(text), ({ issue }) => `${label}: ${ConfigErrors.explain(issue, { secret: false })}`)
  )
}

/** An optional flag whose text fits this schema. */
export const textFlag = (
  name: string,
  metavar: string,
  description: string,
  schema: Schema.Codec<string>
): Flag.Flag<Option.Option<string>> =>
  Flag.String(name).pipe(
    Flag.withDescription(description),
    Flag.withMetavar(metavar),
    Flag.mapEffect(fitting(`--${name}`, schema)),
    Flag.optional
  )

/** An argument whose text fits this schema. */
export const textArgument = (
  name: string,
  description: string,
  schema: Schema.Codec<string>
): Argument.Argument<string> =>
  Argument.String(name).pipe(Argument.withDescription(description), Argument.mapEffect(fitting(`the ${name}`, schema)))

/** `--after CURSOR`. */
export const after = textFlag("after", "CURSOR", "continue after this cursor: `next` of the previous page", Cursor)

/** Fails because the API refuses the cursor of `--after`. */
export const refusedAfter = ({ message }: { readonly message: string }) =>
  Effect.fail(CommandFailure.usage(`--after can't be used: ${message}`))

/** Returns a flag's value under its name in the request; nothing if the flag was not given. */
export const given = <K extends string, A>(name: K, value: Option.Option<A>) =>
  (Option.isNone(value) ? {} : { [name]: value.value }) as { readonly [Name in K]?: A }

/** The connection of a command. */
export const connection = Argument.String("connection").pipe(
  Argument.withDescription("the connection's name"),
  Argument.mapEffect(checked(parseName))
)

/** A flag that takes a connection's name. */
export const connectionName = (flag: string, description: string): Flag.Flag<string> =>
  Flag.String(flag).pipe(Flag.withDescription(description), Flag.withMetavar("N"), Flag.mapEffect(checked(parseName)))

/** `--name N`. */
export const name = connectionName("name", "the connection's name, 1 to 100 characters")

/** An external id. */
export const externalId = Argument.String("id").pipe(
  Argument.withDescription("the content's id, as `idem contents` shows it"),
  Argument.mapEffect(checked(parseId))
)

/** `--force-id ID`, any number of times. */
export const forceIds = Flag.String("force-id").pipe(
  Flag.withDescription(
    "download this id again, stored or not; may be repeated (write an id that begins with -- as --force-id=--x)"
  ),
  Flag.withMetavar("ID"),
  Flag.mapEffect(checked(parseId)),
  Flag.atLeast(0)
)

/** A time, and its text as it was written. */
export interface WrittenTime {
  readonly text: string
  readonly time: Time.Time
}

/** `--since T` or `--until T`. */
export const time = (flag: string, description: string): Flag.Flag<Option.Option<WrittenTime>> =>
  Flag.String(flag).pipe(
    Flag.withDescription(description),
    Flag.withMetavar("T"),
    Flag.mapEffect((text) =>
      checked((given: string) =>
        Result.mapBoth(Time.parse(given), {
          onSuccess: (time) => ({ text: given.trim(), time }),
          onFailure: (why) => Time.explain(`--${flag}`, given, why)
        })
      )(text)
    ),
    Flag.optional
  )

/** `--every DURATION`. The error does not repeat the value: see `parseName`. */
export const every = Flag.String("every").pipe(
  Flag.withDescription('how often it is polled, like "5 minutes" (the default); at least 1 second'),
  Flag.withMetavar("DURATION"),
  Flag.mapEffect(checked((given) => Result.mapError(Time.parsePeriod(given), (why) => `--every: ${why}`))),
  Flag.optional
)

/** `--limit K`, between 1 and `max`. */
export const limit = (max: number, standard: number): Flag.Flag<number> =>
  Flag.String("limit").pipe(
    Flag.withDescription(`the most results, 1 to ${max} (default ${standard})`),
    Flag.withMetavar("K"),
    Flag.mapEffect(
      checked((given) => {
        const value = /^\d{1,9}$/.test(given.trim()) ? Number(given) : 0
        return value >= 1 && value <= max
          ? Result.succeed(value)
          : Result.fail(`--limit ${TextFormat.quoted(given)} is not valid: give a whole number from 1 to ${max}`)
      })
    ),
    Flag.withDefault(standard)
  )

const decodeJson = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))

/** Reads the text of a flag: given directly, in a file (`@FILE`), or on standard input (`@-`). */
export const readText = Effect.fnUntraced(function* (flag: string, given: string) {
  if (!given.startsWith("@")) return given
  const stdio = yield* Stdio.Stdio
  const fs = yield* FileSystem.FileSystem
  if (given === "@-") {
    return yield* stdio.stdin.pipe(
      Stream.decodeText(),
      Stream.mkString,
      Effect.mapError(() => CommandFailure.usage(`--${flag}: standard input can't be read`))
    )
  }
  // The path is not shown: a credential may begin with @ too.
  return yield* Effect.mapError(fs.readFileString(given.slice(1)), (error) =>
    CommandFailure.usage(`--${flag}: the file given after @ can't be read (${error.reason._tag})`)
  )
})

/**
 * Reads the JSON of `--config` or `--credentials`: given directly, in a file (`@FILE`), or on standard input (`@-`).
 */
export const json = Effect.fnUntraced(function* (flag: string, given: Redacted.Redacted<string>) {
  const text = yield* readText(flag, Redacted.value(given))
  const decoded = decodeJson(text.replace(/^\uFEFF/, ""))
  if (Option.isNone(decoded)) {
    return yield* CommandFailure.usage(
      `--${flag} is not JSON: give one JSON object in single quotes, @FILE, or @- for standard input`
    )
  }
  return decoded.value
})

/**
 * Reads the key file that credentials name as `@FILE`: the text of a `privateKey`, or the JSON of a `serviceAccount`.
 * So a person need not write a key into JSON by hand.
 */
export const withKeyFile = Effect.fnUntraced(function* (credentials: Schema.Json) {
  if (typeof credentials !== "object" || credentials === null || Array.isArray(credentials)) return credentials
  const given = credentials as Schema.JsonObject
  const name = ["privateKey", "serviceAccount"].find((each) => {
    const value = given[each]
    return typeof value === "string" && value.startsWith("@")
  })
  if (name === undefined) return credentials
  const fs = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(fs.readFileString(String(given[name]).slice(1)), (error) =>
    CommandFailure.usage(`--credentials: the file after @ in "${name}" can't be read (${error.reason._tag})`)
  )
  if (name === "privateKey") return { ...given, [name]: text }
  const key = decodeJson(text)
  if (Option.isNone(key)) {
    return yield* CommandFailure.usage(
      `--credentials: the file after @ in "${name}" is not JSON: give the key file of Google`
    )
  }
  return { ...given, [name]: key.value }
})
