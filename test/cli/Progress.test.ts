import { assert, describe, it } from "vitest"
import * as ProgressEstimate from "../../src/engine/model/ProgressEstimate.ts"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import * as Progress from "../../src/cli/Progress.ts"

const atQuota = { items: undefined, millisPerItem: 0 }

describe("the estimate of a sync", () => {
  const counts = { ...RunCounts.zero, listed: 1500, existing: 500, stored: 490, failed: 10, downloads: 500 }

  it("never moves backwards, however the listing's own estimate jumps", () => {
    let estimate: ProgressEstimate.Estimate | undefined
    const fractions: Array<number> = []
    const expected: Array<number> = []
    const steps = [
      [100, 10, 900],
      [200, 90, 300],
      [300, 150, 2000],
      [400, 400, 0]
    ] as const
    for (const [index, [known, ended, remaining]] of steps.entries()) {
      estimate = ProgressEstimate.next(
        estimate,
        { known, ended, remaining },
        { ...atQuota, elapsedMs: (index + 1) * 1000 }
      )
      fractions.push(estimate.fraction ?? -1)
      expected.push(estimate.expected ?? -1)
    }
    assert.deepStrictEqual(
      fractions,
      fractions.toSorted((a, b) => a - b)
    )
    assert.deepStrictEqual(
      expected,
      expected.toSorted((a, b) => a - b)
    )
  })

  it("knows how much a first sync and one of everything again will list, and not what a later one will", () => {
    const items = (atConnect: number | undefined, stored: number, isEverythingAgain: boolean) =>
      ProgressEstimate.itemsOf({ atConnect, stored }, isEverythingAgain)
    assert.strictEqual(items(150, 0, false), 150)
    assert.strictEqual(items(150, 50, false), 100)
    assert.isUndefined(items(150, 160, false))
    assert.strictEqual(items(150, 160, true), 160)
    assert.strictEqual(items(undefined, 160, true), 160)
    assert.isUndefined(items(undefined, 0, true))
    assert.isUndefined(items(undefined, 160, false))
  })

  it("takes what the source said at connect where the listing says nothing, and the slower of rate and quota", () => {
    const of = (millisPerItem: number) =>
      ProgressEstimate.next(
        undefined,
        { known: 50, ended: 50, remaining: undefined },
        {
          items: 150,
          millisPerItem,
          elapsedMs: 5000
        }
      )
    assert.deepInclude(of(0), { expected: 150, fraction: 1 / 3, remainingMs: 10_000 })
    assert.deepInclude(of(600), { expected: 150, remainingMs: 60_000 })
  })

  it("promises no time where nobody says how much there is, or nothing has ended yet", () => {
    const none = ProgressEstimate.next(
      undefined,
      { known: 10, ended: 5, remaining: undefined },
      { ...atQuota, elapsedMs: 10 }
    )
    assert.deepInclude(none, { expected: undefined, remainingMs: undefined })
    const start = ProgressEstimate.next(
      undefined,
      { known: 0, ended: 0, remaining: 1500 },
      { ...atQuota, elapsedMs: 10 }
    )
    assert.isUndefined(start.remainingMs)
  })

  it("is the line of the command, with a wait for quota in place of the rate", () => {
    const estimate = ProgressEstimate.next(
      undefined,
      { known: 1500, ended: 1000, remaining: 1500 },
      { ...atQuota, elapsedMs: 100_000 }
    )
    const at = { elapsed: 100_000, now: 0 }
    assert.strictEqual(
      Progress.line({ counts, remaining: 1500 }, estimate, at),
      "1,500 of about 3,000 listed · 500 downloaded · 10 failed · 5.0/s · 3 minutes left"
    )
    const until = new Date(2026, 0, 1, 14, 5).getTime()
    assert.strictEqual(
      Progress.line({ counts, remaining: 1500, waitingUntil: until }, estimate, { elapsed: 1, now: until - 60_000 }),
      "1,500 of about 3,000 listed · 500 downloaded · 10 failed · paused for quota until 14:05"
    )
    // Downloads of a page begin before the page counts as listed.
    const early = { ...counts, listed: 100, existing: 0, downloads: 120 }
    assert.match(
      Progress.line({ counts: early, remaining: 0 }, estimate, at),
      /^120 of about 3,000 listed · 120 downloaded/
    )
  })
})
