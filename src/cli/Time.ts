/**
 * Parses times and durations of flags.
 *
 * A time is ISO 8601 with an offset (`2026-01-31T09:30:00+01:00`), a date (its first instant in UTC), or a duration ago
 * ("7 days", as Effect writes durations). A timestamp without an offset is refused: it would mean another instant on
 * another machine.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Window } from "../contract/SyncTask.ts"
import * as CommandFailure from "./CommandFailure.ts"
import * as TextFormat from "./TextFormat.ts"

/** An instant, or a duration ago. */
export type Time =
  | { readonly _tag: "At"; readonly at: DateTime.Utc }
  | { readonly _tag: "Ago"; readonly ago: Duration.Duration }

const longest = Duration.days(36_525)

const decodeDuration = Schema.decodeUnknownOption(Schema.DurationFromString)

/** Parses a duration in Effect's form, more than zero and at most 100 years. */
const parseDuration = (text: string): Result.Result<Duration.Duration, string> => {
  const duration = decodeDuration(text.trim())
  if (Option.isNone(duration)) return Result.fail(`a duration is written like "5 minutes" or "7 days"`)
  if (Duration.toMillis(duration.value) <= 0) return Result.fail("a duration must be more than zero")
  if (Duration.isGreaterThan(duration.value, longest)) return Result.fail("a duration may be at most 100 years")
  return Result.succeed(duration.value)
}

/** Parses a polling interval: from 1 second to 1 year. */
export const parsePeriod = (text: string): Result.Result<Duration.Duration, string> =>
  Result.flatMap(parseDuration(text), (duration) =>
    Duration.between(duration, { minimum: Duration.seconds(1), maximum: Duration.days(366) })
      ? Result.succeed(duration)
      : Result.fail("it must be between 1 second and 366 days")
  )

const pattern =
  /^(\d{4})-(\d{2})-(\d{2})(?:[Tt ](\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?\s?([Zz]|[+-]\d{2}(?::?\d{2})?)?)?$/

const minutesOf = (offset: string): number | undefined => {
  if (offset === "Z" || offset === "z") return 0
  const hours = Number(offset.slice(1, 3))
  const minutes = Number(offset.slice(3).replace(":", "") || "0")
  if (hours > 23 || minutes > 59) return undefined
  return (offset.startsWith("-") ? -1 : 1) * (hours * 60 + minutes)
}

/** Parses a time. Fails with the reason. Fractions of a millisecond are dropped. */
export const parse = (input: string): Result.Result<Time, string> => {
  const text = input.trim()
  const [whole, year, month, day, hour, minute, second, fraction, offset] = pattern.exec(text) ?? []
  if (whole === undefined) {
    return /^-?\d+(\.\d+)?\s/.test(text)
      ? Result.map(parseDuration(text.replace(/\s+ago$/, "")), (ago) => ({ _tag: "Ago", ago }))
      : Result.fail(`a time is ISO 8601 with an offset (2026-01-31T09:30:00Z), a date, or a duration ago ("7 days")`)
  }
  if (hour !== undefined && offset === undefined) {
    return Result.fail("it has no offset, so it would be another instant on another machine: add Z or +02:00")
  }
  const shift = minutesOf(offset ?? "Z")
  const parts = [year, month, day, hour, minute, second].map((part) => Number(part ?? 0))
  const [y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0] = parts
  const date = new Date(0)
  date.setUTCFullYear(y, mo - 1, d)
  date.setUTCHours(h, mi, s, Number((fraction ?? "0").padEnd(3, "0").slice(0, 3)))
  // An impossible day or an hour 24 would roll over to the next day.
  const real = date.getUTCMonth() === mo - 1 && date.getUTCDate() === d && h < 24 && mi < 60 && s < 60
  if (!real || shift === undefined) return Result.fail("there is no such time")
  return Result.succeed({ _tag: "At", at: DateTime.makeUnsafe(date.getTime() - shift * 60_000) })
}

/** Returns the instant that a time means now. */
export const resolve = (time: Time, now: DateTime.Utc): DateTime.Utc =>
  time._tag === "At" ? time.at : DateTime.subtractDuration(now, time.ago)

/** Returns the window between the two times; undefined without either. It must start before it ends. */
export const window = Effect.fnUntraced(function* (
  since: Time | undefined,
  until: Time | undefined
): Effect.fn.Return<Window | undefined, CommandFailure.Failure> {
  if (since === undefined && until === undefined) return undefined
  const now = yield* DateTime.now
  const from = since === undefined ? undefined : resolve(since, now)
  const to = until === undefined ? undefined : resolve(until, now)
  if (from !== undefined && to !== undefined && !DateTime.isLessThan(from, to)) {
    return yield* CommandFailure.usage(
      `--since (${DateTime.formatIso(from)}) must be before --until (${DateTime.formatIso(to)})`
    )
  }
  return { ...(from === undefined ? {} : { since: from }), ...(to === undefined ? {} : { until: to }) }
})

/** Returns the error for a flag, with the given value shortened. */
export const explain = (flag: string, given: string, why: string): string =>
  `${flag} ${TextFormat.quoted(given)}: ${why}`
