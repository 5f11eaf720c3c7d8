import { assert, describe, it } from "vitest"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import * as Progress from "../../src/cli/Progress.ts"

describe("the line of a running sync", () => {
  const counts = { ...RunCounts.zero, listed: 1500, existing: 500, stored: 490, failed: 10, downloads: 500 }

  it("says what was listed and downloaded, how fast, and how long the rest takes", () => {
    assert.strictEqual(
      Progress.line({ counts, remaining: 1500 }, 100_000),
      "1,500 listed · 500 downloaded · 10 failed · 5.0/s · 3 minutes left"
    )
  })

  it("promises no time where the source doesn't say how much there is, or nothing has ended yet", () => {
    assert.notInclude(Progress.line({ counts, remaining: undefined }, 100_000), "left")
    assert.notInclude(Progress.line({ counts: RunCounts.zero, remaining: 1500 }, 0), "left")
  })
})
