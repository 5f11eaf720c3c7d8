/** A sync ends once its contents are stored, whether or not derivation succeeds. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { afterSync, Deriver } from "../../src/derive/Deriver.ts"

it.effect("a defect of derivation after a sync is logged, and the sync is done", () =>
  Effect.gen(function* () {
    const deriver = yield* Deriver
    const logged: Array<unknown> = []
    yield* afterSync.pipe(
      Effect.provideService(Deriver, { ...deriver, catchUp: Effect.die(new Error("a value that no column holds")) }),
      Effect.provide(Logger.layer([Logger.make(({ message }) => logged.push(message))]))
    )
    assert.include(String(logged.flat()), "a value that no column holds")
  })
)
