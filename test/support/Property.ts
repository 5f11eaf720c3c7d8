/**
 * Returns the options of a property test that tries this many values. Each test run uses the same values. For others,
 * set `IDEM_TEST_SEED` to any text, and `IDEM_TEST_RUNS` to a factor for the number of values. The same two settings
 * repeat a failure.
 */
import type * as Arbitrary from "effect/Arbitrary"

export const seed = process.env["IDEM_TEST_SEED"] ?? "idem"
const times = Number(process.env["IDEM_TEST_RUNS"] ?? 1)

export const runs = (count = 100): { readonly arbitrary: Arbitrary.CheckOptions } => ({
  arbitrary: { runs: count * times, seed }
})
