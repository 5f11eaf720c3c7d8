import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Model from "./Model.ts"
import { Random } from "./Random.ts"

const Steps = Schema.Array(Model.Step).pipe(Schema.check(Schema.isMinLength(50), Schema.isMaxLength(300)))

describe("the model of a run, its lease and its fence", () => {
  it.effect.prop(
    "holds in every interleaving of processes that are killed, frozen and thawed",
    { steps: Steps },
    ({ steps }) =>
      Effect.gen(function* () {
        const { problems, trace } = yield* Model.play(steps)
        assert.strictEqual(problems.length, 0, [...trace, ...problems].join("\n"))
      }),
    { arbitrary: { runs: 100 } }
  )

  // That a broken transaction is noticed too is checked by the harness of real processes: here, what it leaves behind can
  // keep a process of the model waiting for ever.
  for (const broken of ["fence", "key"] as const) {
    it.effect(`notices a broken ${broken} within 300 interleavings`, () =>
      Effect.gen(function* () {
        for (let seed = 1; seed <= 300; seed += 1) {
          const random = new Random(seed)
          const steps = Array.from({ length: 250 }, () => ({
            what: random.between(0, 69),
            which: random.between(0, 99)
          }))
          const { problems } = yield* Model.play(steps, broken)
          if (problems.length > 0) return
        }
        assert.fail(`a broken ${broken} was not noticed`)
      })
    )
  }
})
