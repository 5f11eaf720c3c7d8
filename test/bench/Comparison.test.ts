/** Tests which rows count as moved between two runs of the benchmarks. */
import { assert, it } from "@effect/vitest"
import * as Comparison from "./Comparison.ts"
import type { Row } from "./Table.ts"

const bench = (rows: ReadonlyArray<Row>) => [{ bench: "store", rows }]

it("a row moved if its figure did by more than the noise of both runs", () => {
  const before = bench([
    { what: "steady", value: 100, unit: "ms", range: [95, 104] },
    { what: "noisy", value: 100, unit: "ms", range: [60, 150] },
    { what: "single", value: 100, unit: "ms" },
    { what: "  pg", value: 500, unit: "jobs/s", ratio: 0.5, range: [0.49, 0.51] },
    { what: "gone", value: 1, unit: "ms" }
  ])
  const now = bench([
    { what: "steady", value: 110, unit: "ms", range: [108, 112] },
    { what: "noisy", value: 140, unit: "ms", range: [139, 141] },
    { what: "single", value: 108, unit: "ms" },
    { what: "  pg", value: 900, unit: "jobs/s", ratio: 0.6, range: [0.59, 0.61] },
    { what: "new", value: 1, unit: "ms" }
  ])
  const { rows, still } = Comparison.moved(before, now)
  assert.deepStrictEqual(
    rows.map(({ name }) => name),
    ["steady", "single: pg"]
  )
  assert.strictEqual(still, 2)
})
