import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { beforeEach } from "vitest"
import { seed } from "./Property.ts"

/** A test draws the same jitter and hashes in each run, whichever tests came before. `IDEM_TEST_SEED` gives others. */
beforeEach(({ task }) => {
  const random = Effect.runSync(Random.Random.pipe(Random.withSeed(`${seed} ${task.name}`)))
  const before = Math.random
  Math.random = () => random.nextDoubleUnsafe()
  return () => void (Math.random = before)
})
