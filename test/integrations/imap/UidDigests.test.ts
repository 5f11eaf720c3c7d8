/** Digests of a mailbox: each change of a message shows in its block, and in no other. */
import { assert, describe, it } from "@effect/vitest"
import * as UidDigests from "../../../src/integrations/imap/UidDigests.ts"

type Seen = UidDigests.Seen
type Digests = ReturnType<typeof UidDigests.digestsOf>

const seen = (uids: ReadonlyArray<number>, flags?: ReadonlyArray<string>): ReadonlyArray<Seen> =>
  uids.map((uid) => ({ uid, ...(flags === undefined ? {} : { flags }) }))

/** Checks that the spans follow each other without a gap, from `from` to `to`. */
const assertContiguous = (spans: Iterable<UidDigests.Range>, from: number, to: number) => {
  let at = from
  for (const span of spans) {
    assert.strictEqual(span.from, at)
    assert.isAbove(span.to, span.from)
    at = span.to
  }
  assert.strictEqual(at, to)
}

describe("the blocks of a mailbox", () => {
  for (const next of [2, 512, 513, 1024, 65_536, 65_537, 131_073, 4_294_967_296]) {
    it(`are at most 128 for UIDs below ${next}, and have each UID and each message once`, () => {
      const uids = [...new Set([1, 511, 512, 513, 1023, 65_535, next - 2, next - 1])]
        .filter((uid) => uid > 0 && uid < next)
        .toSorted((a, b) => a - b)
      const blocks = UidDigests.blocksOf(seen(uids), next)
      assertContiguous(blocks, 1, next)
      assert.isAtMost(blocks.length, 128)
      // Smaller blocks would be more than 128, unless they have the least size.
      const [first, second] = blocks
      if (second !== undefined && second.from > 512) assert.isAbove(Math.ceil(next / (second.from / 2)), 128)
      assert.strictEqual(first?.from, 1)
      for (const [index, { from, index: own, messages, to }] of blocks.entries()) {
        assert.strictEqual(own, index)
        for (const { uid } of messages) assert.isTrue(uid >= from && uid < to)
      }
      assert.deepStrictEqual(
        blocks.flatMap(({ messages }) => messages.map(({ uid }) => uid)),
        uids
      )
    })
  }

  it("are compared in ranges of at most 1,000 UIDs, or messages if only flags are compared", () => {
    const uids = Array.from({ length: 2500 }, (_, index) => 10 + index * 3)
    const block = { index: 0, from: 1, to: 8192, messages: seen(uids) }
    const whole = [...UidDigests.rangesOf(block, true)]
    assertContiguous(whole, 1, 8192)
    assert.deepStrictEqual([whole.length, Math.max(...whole.map(({ from, to }) => to - from))], [9, 1000])
    const flags = [...UidDigests.rangesOf(block, false)]
    const within = flags.map(({ from, to }) => uids.filter((uid) => uid >= from && uid < to).length)
    assert.deepStrictEqual(within, [1000, 1000, 500])
  })
})

describe("the digests of a mailbox", () => {
  const next = 2000
  const uids = [3, 600, 601, 1100, 1999]
  const digests = (messages: ReadonlyArray<Seen>, withFlags: boolean, end = next) =>
    UidDigests.digestsOf(UidDigests.blocksOf(messages, end), end, withFlags)
  /** Returns the blocks whose UIDs, and whose flags, differ between two polls. */
  const differing = (before: Digests | undefined, now: Digests) => {
    const blocks = UidDigests.blocksOf(seen(uids), next)
    const found = blocks.map((block) => [block.index, UidDigests.differences(block, before, now)] as const)
    return {
      uids: found.filter(([, { uids }]) => uids).map(([index]) => index),
      flags: found.filter(([, { flags }]) => flags).map(([index]) => index)
    }
  }
  const all = [0, 1, 2, 3]
  const none = { uids: [], flags: [] }
  const before = digests(seen(uids, ["a"]), true)

  it("show in which blocks messages were deleted or added, or got other flags", () => {
    assert.deepStrictEqual(differing(before, digests(seen(uids, ["a"]), true)), none)
    assert.deepStrictEqual(differing(before, digests(seen([3, 601, 1100, 1999]), false)), { uids: [1], flags: [] })
    assert.deepStrictEqual(differing(before, digests(seen([3, 600, 601, 1100, 1998, 1999]), false)).uids, [3])
    const flagged = seen(uids, ["a"]).map((one) => (one.uid === 1100 ? { ...one, flags: ["a", "b"] } : one))
    assert.deepStrictEqual(differing(before, digests(flagged, true)), { uids: [], flags: [2] })
    // The flags of two messages are in the same digest.
    const swapped = seen(uids, ["a"]).map((one) => (one.uid === 600 ? { ...one, flags: [] } : one))
    assert.deepStrictEqual(differing(before, digests(swapped, true)).flags, [1])
  })

  it("show nothing of flags that were not read, and all that were not read before", () => {
    const now = digests(seen(uids, ["a"]), true)
    assert.deepStrictEqual(differing(before, digests(seen(uids), false)), none)
    assert.deepStrictEqual(differing(digests(seen(uids), false), now), { uids: [], flags: all })
    assert.deepStrictEqual(differing(undefined, now), { uids: all, flags: all })
  })

  it("of blocks of another size are not comparable: a deletion could hide at the end of a larger block", () => {
    const smaller = digests(seen([3, 600]), false, 60_000)
    const now = digests(seen([3]), false, 100_000)
    assert.isBelow(smaller.size, now.size)
    assert.deepStrictEqual(differing(smaller, now).uids, all)
  })

  it("are those of the blocks that were compared, and the earlier ones of the others", () => {
    const now = digests(seen([4, 602, 1101, 1998], ["b"]), true)
    const mixed = UidDigests.upTo(1, before, now)
    assert.deepStrictEqual(differing(mixed, now), { uids: [2, 3], flags: [2, 3] })
    assert.deepStrictEqual(differing(mixed, before), { uids: [0, 1], flags: [0, 1] })
    // Without earlier ones, a block that was never compared differs, also from an empty one.
    const empty = digests([], true)
    for (const earlier of [undefined, digests(seen(uids), true, 100_000)]) {
      assert.deepStrictEqual(differing(UidDigests.upTo(1, earlier, empty), empty), { uids: [2, 3], flags: [2, 3] })
    }
    const withoutFlags = digests(seen(uids), false)
    assert.deepStrictEqual(differing(UidDigests.upTo(1, before, withoutFlags), withoutFlags), none)
    assert.deepStrictEqual(differing(UidDigests.upTo(1, withoutFlags, now), now), { uids: [2, 3], flags: [2, 3] })
  })
})
