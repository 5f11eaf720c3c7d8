import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { beforeEach } from "vitest"
import { seed } from "./Property.ts"

/**
 * Makes each test draw the same jitter and hashes in each run, whichever tests ran before. `IDEM_TEST_SEED` changes the
 * values.
 */
beforeEach(({ task }) => {
  const random = Effect.runSync(Random.Random.pipe(Random.withSeed(`${seed} ${task.name}`)))
  const before = Math.random
  Math.random = () => random.nextDoubleUnsafe()
  return () => void (Math.random = before)
})
