/**
 * Options of a property test that tries this many values. They are the same ones in each run of the tests. Others:
 * `IDEM_TEST_SEED` is any text, `IDEM_TEST_RUNS` how many times as many. A failure is repeated by the same two.
 */
import type * as Arbitrary from "effect/Arbitrary"

export const seed = process.env["IDEM_TEST_SEED"] ?? "idem"
const times = Number(process.env["IDEM_TEST_RUNS"] ?? 1)

export const runs = (count = 100): { readonly arbitrary: Arbitrary.CheckOptions } => ({
  arbitrary: { runs: count * times, seed }
})
