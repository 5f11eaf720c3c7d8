/** Signs of a deletion in a history, the limit of a free plan, and the order of messages. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as DeletionSigns from "../../../src/integrations/slack/DeletionSigns.ts"
import type { Message } from "../../../src/integrations/slack/Message.ts"
import * as PlanLimit from "../../../src/integrations/slack/PlanLimit.ts"
import { compareTs, millisOf, newest, tsOf } from "../../../src/integrations/slack/Timestamp.ts"

/** Parents from the newest to the oldest. */
const parents = (newestIndex: number, count: number): ReadonlyArray<Message> =>
  Array.from({ length: count }, (_, index) => ({ ts: `${1000 + newestIndex - index}.000100` }) as Message)

describe("the newest parents of a history", () => {
  const beforeOf = () => DeletionSigns.parentsDigest(parents(0, 100), false) ?? ""
  const without = (all: ReadonlyArray<Message>, index: number) => all.filter((_, at) => at !== index)

  it("have lost one if they no longer follow each other, also behind new ones", () => {
    const before = beforeOf()
    for (const fresh of [0, 1, 100]) {
      const all = parents(fresh, fresh + 200)
      const options = { before, fresh, complete: false }
      assert.isFalse(DeletionSigns.hasVanished(all, options))
      // Not each of the fresh ones need be new.
      assert.isFalse(DeletionSigns.hasVanished(all, { ...options, fresh: fresh + 50 }))
      for (const lost of [0, 1, 50, 99]) {
        assert.isTrue(DeletionSigns.hasVanished(without(all, fresh + lost), options), `${fresh} ${lost}`)
      }
      // An older one is not covered.
      assert.isFalse(DeletionSigns.hasVanished(without(all, fresh + 100), options))
    }
  })

  it("prove nothing in a response that ends before them, and do at the end of the history", () => {
    const before = beforeOf()
    const short = without(parents(1, 101), 50)
    assert.isFalse(DeletionSigns.hasVanished(short, { before, fresh: 1, complete: false }))
    assert.isTrue(DeletionSigns.hasVanished(short, { before, fresh: 1, complete: true }))
    assert.isTrue(DeletionSigns.hasVanished(without(parents(1, 102), 50), { before, fresh: 1, complete: false }))
    const few = DeletionSigns.parentsDigest(parents(0, 3), true) ?? ""
    assert.isFalse(DeletionSigns.hasVanished(parents(1, 4), { before: few, fresh: 1, complete: true }))
    assert.isTrue(DeletionSigns.hasVanished(parents(1, 3), { before: few, fresh: 1, complete: true }))
    assert.isTrue(DeletionSigns.hasVanished([], { before: few, fresh: 0, complete: true }))
  })

  it("have no digest if a response has fewer than a hundred, and there are more", () => {
    assert.isUndefined(DeletionSigns.parentsDigest(parents(0, 99), false))
    assert.isString(DeletionSigns.parentsDigest(parents(0, 99), true))
    assert.strictEqual(DeletionSigns.parentsDigest(parents(0, 150), true), beforeOf())
    assert.notStrictEqual(DeletionSigns.parentsDigest(parents(0, 99), true), beforeOf())
  })
})

describe("the tally of a history", () => {
  const all = Array.from({ length: 200 }, (_, index) => `${1000 + index}.000100`)
  const upTo = all[99] ?? ""
  const counted = (messages: ReadonlyArray<string>) =>
    messages.reduce(DeletionSigns.tallied, DeletionSigns.noTally(upTo))

  it("counts messages up to its bound in any order, within 32 bits, and each message shows in it", () => {
    const tally = counted(all)
    assert.deepStrictEqual(tally, counted(all.toReversed()))
    assert.deepStrictEqual(tally, counted(all.slice(0, 100)))
    assert.strictEqual(tally.count, 100)
    assert.isTrue(tally.sum >= 0 && tally.sum < 2 ** 32)
    const sums = new Set(all.slice(0, 100).map((lost) => counted(all.filter((ts) => ts !== lost)).sum))
    assert.strictEqual(sums.size, 100)
    assert.deepStrictEqual(counted([]), { upTo, count: 0, sum: 0 })
  })

  it("is without a message as if that had never been counted", () => {
    for (const lost of all.slice(0, 100)) {
      assert.deepStrictEqual(DeletionSigns.untallied(counted(all), lost), counted(all.filter((ts) => ts !== lost)))
    }
    assert.deepStrictEqual(DeletionSigns.untallied(counted(all), all[100] ?? ""), counted(all))
  })
})

describe("a free plan", () => {
  const now = Date.UTC(2026, 0, 1)
  const ago = (days: number) => tsOf(now - Duration.toMillis(Duration.days(days)))

  it("may hide messages of 89 days and more", () => {
    assert.isFalse(PlanLimit.mayHide(ago(89), now))
    assert.isTrue(PlanLimit.mayHide(tsOf(now - Duration.toMillis("89 days") - 1), now))
  })

  it("explains what is missing at the end of a history that was older, unless an older message is shown", () => {
    const limitOf = (shown?: string, state: { roundAt?: number; unlimitedAt?: number } = {}) => {
      const limit = PlanLimit.make(state, () => now)
      if (shown !== undefined) limit.onShown(shown)
      return limit
    }
    const { isWhole } = limitOf()
    assert.isTrue(isWhole(undefined, undefined))
    assert.isTrue(isWhole(ago(10), ago(89)))
    assert.isFalse(isWhole(ago(10), ago(120)))
    assert.isFalse(isWhole(undefined, ago(120)))
    assert.isTrue(isWhole(ago(120), ago(120)))
    assert.isTrue(isWhole(ago(121), ago(120)))
    assert.isFalse(isWhole(ago(119), ago(120)))
    assert.isTrue(limitOf(tsOf(now - Duration.toMillis("91 days") - 1)).isWhole(undefined, ago(120)))
    assert.isFalse(limitOf(ago(91)).isWhole(undefined, ago(120)))
    // Shown before the present round: the plan may have changed since.
    assert.isFalse(limitOf(undefined, { unlimitedAt: now - 2, roundAt: now - 1 }).isWhole(undefined, ago(120)))
    assert.isTrue(limitOf(undefined, { unlimitedAt: now - 1, roundAt: now - 1 }).isWhole(undefined, ago(120)))
    assert.isTrue(limitOf(undefined, { unlimitedAt: now - 1 }).isWhole(undefined, ago(120)))
  })
})

describe("a ts of Slack", () => {
  it("is ordered by its seconds and then by its digits, however many they are", () => {
    const inOrder = ["1", "1.000001", "1.00001", "1.1", "2.0", "9.9", "10", "10.000100", "1700000000.000100"]
    for (const [index, a] of inOrder.entries()) {
      for (const [other, b] of inOrder.entries()) {
        assert.strictEqual(Math.sign(compareTs(a, b)), Math.sign(index - other), `${a} ${b}`)
        assert.strictEqual(newest(a, b), inOrder[Math.max(index, other)])
      }
    }
    assert.strictEqual(compareTs("1.1", "1.100"), 0)
    assert.strictEqual(newest("1.1", "1.100"), "1.1")
    assert.deepStrictEqual(
      [newest(undefined, "1"), newest("1", undefined), newest(undefined, undefined)],
      ["1", "1", undefined]
    )
  })

  it("is made of milliseconds, and gives them again", () => {
    for (const millis of [0, 7, 1000, 1_700_000_000_123]) assert.strictEqual(millisOf(tsOf(millis)), millis)
    assert.deepStrictEqual([tsOf(-5), tsOf(1.9), tsOf(1_010)], ["0.000000", "0.001000", "1.010000"])
    assert.deepStrictEqual([millisOf("1"), millisOf("1.5"), millisOf("1.123456")], [1000, 1500, 1123])
  })
})
