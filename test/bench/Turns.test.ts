import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Turns from "./Turns.ts"

it.effect("contestants run in each round", () =>
  Effect.gen(function* () {
    const rounds = 4
    const calls = { one: 0, other: 0 }
    const contestant = (name: keyof typeof calls) => async () => {
      calls[name] += 1
    }
    // With no time, each contestant is called the minimum number of times.
    const found = yield* Turns.rates({ one: contestant("one"), other: contestant("other") }, { rounds, millis: 0 })
    const fewest = Turns.fewestCalls * rounds
    assert.isAtLeast(calls.one, fewest)
    assert.isAtLeast(calls.other, fewest)
    assert.deepStrictEqual([found.one.length, found.other.length], [rounds, rounds])
  })
)
