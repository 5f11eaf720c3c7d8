import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as Time from "../../src/cli/Time.ts"
import { runs } from "../support/Property.ts"

const iso = (text: string): string => {
  const time = Result.getOrThrow(Time.parse(text))
  return time._tag === "At" ? DateTime.formatIso(time.at) : Duration.format(time.ago)
}

const refusal = (text: string): string => {
  const time = Time.parse(text)
  return Result.isFailure(time) ? time.failure : `taken: ${iso(text)}`
}

// Years of four digits, with every offset. Other years are written with a sign, which people do not type.
const Instant = Schema.Int.pipe(
  Schema.check(Schema.isBetween({ minimum: Date.UTC(1000, 0, 1), maximum: Date.UTC(9999, 11, 1) }))
)

describe("a time in a flag", () => {
  it("is an instant with its offset, a date in UTC, or a duration ago", () => {
    assert.deepStrictEqual(
      [
        "2026-01-31T09:30:00Z",
        "2026-01-31T09:30:00.25+02:00",
        "2026-01-31 09:30-0530",
        "2026-01-31T00:30+01",
        "2026-01-31",
        "7 days",
        "7 days ago",
        "90 seconds"
      ].map(iso),
      [
        "2026-01-31T09:30:00.000Z",
        "2026-01-31T07:30:00.250Z",
        "2026-01-31T15:00:00.000Z",
        "2026-01-30T23:30:00.000Z",
        "2026-01-31T00:00:00.000Z",
        "7d",
        "7d",
        "1m 30s"
      ]
    )
  })

  it("is refused without an offset, since it would be another instant elsewhere", () => {
    assert.include(refusal("2026-01-31T09:30:00"), "no offset")
    assert.include(refusal("2026-01-31 09:30"), "no offset")
  })

  it("is refused where no calendar or clock has it", () => {
    for (const text of [
      "2026-02-30",
      "2026-13-01",
      "2026-00-10",
      "2026-01-00",
      "2026-01-31T24:00Z",
      "2026-01-31T09:60Z",
      "2026-01-31T09:30:60Z",
      "2026-01-31T09:30+25:00",
      "2026-01-31T09:30+01:75"
    ]) {
      assert.strictEqual(refusal(text), "there is no such time", text)
    }
  })

  it("is refused where it is none, in words that say what one is", () => {
    for (const text of ["", "yesterday", "1769850000", "31.01.2026", "2026-1-3", "Infinity"]) {
      assert.include(refusal(text), "ISO 8601", text)
    }
    for (const text of ["0 days", "-3 hours", "40000000 weeks", "5 fortnights"])
      assert.include(refusal(text), "a duration")
  })

  it.prop(
    "comes back from what every ISO writer writes",
    [Instant],
    ([millis]) => {
      const text = new Date(millis).toISOString()
      assert.strictEqual(iso(text), text)
    },
    runs()
  )

  it.prop(
    "is the same instant whatever the offset it is written with",
    [Instant, Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: -14 * 60, maximum: 14 * 60 })))],
    ([millis, minutes]) => {
      const shifted = new Date(millis + minutes * 60_000).toISOString().replace("Z", "")
      const absolute = Math.abs(minutes)
      const two = (value: number) => String(value).padStart(2, "0")
      const offset = `${minutes < 0 ? "-" : "+"}${two(Math.floor(absolute / 60))}:${two(absolute % 60)}`
      assert.strictEqual(iso(`${shifted}${offset}`), new Date(millis).toISOString())
    },
    runs()
  )
})

describe("a period", () => {
  it("is a duration between a second and a year", () => {
    assert.isTrue(Result.isSuccess(Time.parsePeriod("5 minutes")))
    for (const text of ["0 minutes", "-5 minutes", "10 millis", "3000 days", "Infinity", "5", "5m", ""]) {
      assert.isTrue(Result.isFailure(Time.parsePeriod(text)), text)
    }
  })
})

describe("a window", () => {
  const at = (text: string) => Result.getOrThrow(Time.parse(text))

  it.effect("is resolved against one clock", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 31))
      const window = yield* Time.window(at("7 days"), at("1 day"))
      assert.deepStrictEqual(
        [window?.since, window?.until].map((each) => (each === undefined ? "" : DateTime.formatIso(each))),
        ["2026-01-24T00:00:00.000Z", "2026-01-30T00:00:00.000Z"]
      )
      assert.isUndefined(yield* Time.window(undefined, undefined))
    })
  )

  it.effect("is refused where it would be empty", () =>
    Effect.gen(function* () {
      for (const [since, until] of [
        ["2026-01-02", "2026-01-01"],
        ["2026-01-01", "2026-01-01T01:00:00+01:00"],
        ["1 day", "2 days"]
      ] as const) {
        const failure = yield* Effect.flip(Time.window(at(since), at(until)))
        assert.strictEqual(failure.code, 2)
        assert.include(failure.message, "must be before")
      }
    })
  )
})
