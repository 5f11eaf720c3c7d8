import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { Forbidden } from "../../../src/contract/IntegrationError.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { fault, MemorySource, only } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import { connect, layer } from "../../support/TestEngine.ts"

/** Polls the source of one connection until the condition holds, and returns what was logged. */
const logOf = Effect.fnUntraced(function* (source: MemorySource, holds: (lines: ReadonlyArray<string>) => boolean) {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
  yield* Effect.gen(function* () {
    yield* connect()
    yield* Layer.build(Scheduler.layer)
    yield* until(Effect.sync(() => holds(lines)))
  }).pipe(Effect.scoped, Effect.provide(layer(source)), Effect.provide(Logger.layer([logger])))
  return lines
})

describe("the scheduler's log", () => {
  it.effect("has the counts of a run beside a place that could not be listed", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      source.problems = [{ place: "inbox", message: "no access" }]
      const lines = yield* logOf(source, (lines) => lines.some((line) => line.includes("inbox")))
      assert.include(lines, "Warn: could not list inbox: no access; 3 stored")
    })
  )

  it.effect("has the error of a run that failed", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.answer = only("list", fault(new Forbidden({ message: "not yours" })))
      const lines = yield* logOf(source, (lines) => lines.length > 0)
      assert.match(lines.join("\n"), /Warn: Forbidden: .*not yours/u)
    })
  )

  it.effect("has nothing about a poll that finds nothing new", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(3)
      const polls = () => source.calls.filter((call) => call === "changes").length
      assert.deepStrictEqual(yield* logOf(source, () => polls() >= 3), ["Info: 3 stored"])
    })
  )
})
