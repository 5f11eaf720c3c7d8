/** Parameters and fields that several endpoints share. */
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { UsageError } from "../engine/Engine.ts"

/** An annotation for endpoints and groups whose requests contain no credential, so that errors may quote the input. */
export const NoSecrets = Context.Reference<boolean>("idem/http/Parameters", { defaultValue: () => false })

/** Options of the router. `maxParamLength` exceeds the length of every percent-encoded id or name. */
export const routerConfig = { caseSensitive: true, maxParamLength: 4096 } as const

/** The path parameter of a connection: its id or its name, percent-encoded. */
export const connectionRef = {
  connection: Schema.String.pipe(Schema.check(Schema.isBetweenLength(1, 300))).annotate({
    description: "the connection's id or its name"
  })
}

/** Returns why this text can't be a connection's name; undefined if it can. The reason does not repeat the text. */
export const nameProblem = (name: string): string | undefined => {
  const characters = Array.from(name.slice(0, 300)).length
  if (characters === 0 || name.trim() === "") return "a connection's name may not be empty"
  if (characters > 100) return "a connection's name may have at most 100 characters"
  // In a path these mean a folder, even if they are percent-encoded.
  if (name === "." || name === "..") return "a connection's name may not be . or .."
  return /\p{Control}|\p{Surrogate}/u.test(name) ? "a connection's name may not hold control characters" : undefined
}

/** A connection's name: 1 to 100 characters, no control characters. */
export const Name = Schema.String.pipe(Schema.check(Schema.makeFilter<string>(nameProblem)))

/** A polling interval in Effect's form (`5 minutes`): 1 second to 366 days. */
export const Every = Schema.DurationFromString.pipe(
  Schema.check(
    Schema.makeFilter<Duration.Duration>((every) =>
      Duration.between(every, { minimum: Duration.seconds(1), maximum: Duration.days(366) })
        ? undefined
        : "it must be between 1 second and 366 days"
    )
  )
).annotate({ description: 'how often it is polled, like "5 minutes": 1 second to 366 days' })

const instant = /^(\d{4})-(\d{2})-(\d{2})(?:T([01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:\d{2}))?$/

/**
 * Accepts a time: ISO 8601 with an offset, or a date (its first instant in UTC). A timestamp without an offset is
 * refused, because it would mean another instant on another machine.
 */
export const isInstant = Schema.makeFilter<string>((text) => {
  const [whole, year, month, day] = instant.exec(text) ?? []
  // An impossible day would roll over to the next month.
  const days = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
  return whole !== undefined && Number(day) >= 1 && Number(day) <= days
    ? undefined
    : "a time is ISO 8601 with an offset (2026-01-31T09:30:00Z) or a date"
})

/** A time that `isInstant` accepts. */
export const Instant = Schema.String.pipe(Schema.check(isInstant), Schema.decodeTo(Schema.DateTimeUtcFromString))

/** A whole number between these bounds. Errors about any other value name both. */
export const wholeNumber = (minimum: number, maximum: number) => {
  const form = { expected: `a whole number from ${minimum} to ${maximum}` }
  return Schema.Number.pipe(Schema.check(Schema.isInt(form).abort(), Schema.isBetween({ minimum, maximum }, form)))
}

/** Fails unless a window begins before it ends. */
export const requireOrder = ({
  since,
  until
}: {
  readonly since?: DateTime.Utc | undefined
  readonly until?: DateTime.Utc | undefined
}): Effect.Effect<void, UsageError> =>
  since !== undefined && until !== undefined && !DateTime.isLessThan(since, until)
    ? Effect.fail(new UsageError({ message: "since must be before until" }))
    : Effect.void

/** The query parameter `limit`: 1 to `max`. */
export const limit = (max: number, standard: number) =>
  wholeNumber(1, max)
    .pipe(Schema.withDecodingDefaultKey(Effect.succeed(standard)))
    .annotate({ description: `the most results, 1 to ${max} (default ${standard})` })
