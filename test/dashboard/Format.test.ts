import { assert, it } from "@effect/vitest"
import * as TextFormat from "../../src/cli/TextFormat.ts"
import * as Format from "../../src/dashboard/Format.ts"

it("the page and the command line write sizes in powers of 1,024, with at most one decimal", () => {
  const sizes = [0, 1, 1023, 1024, 1536, 200 * 1024, 1024 ** 2 - 1, 1024 ** 2, 123_456_789, 3 * 1024 ** 3]
  const expected = ["0 B", "1 B", "1023 B", "1 KiB", "1.5 KiB", "200 KiB", "1 MiB", "1 MiB", "117.7 MiB", "3 GiB"]
  assert.deepStrictEqual(sizes.map(Format.bytes), expected)
  assert.deepStrictEqual(sizes.map(TextFormat.bytes), expected)
})

it("the page writes durations and distances in the largest units that matter", () => {
  assert.deepStrictEqual([-1, 999, 59_400, 60_000, 80_000, 3_600_000, 5_400_000, 172_800_000].map(Format.duration), [
    "0 ms",
    "999 ms",
    "59 s",
    "1 min",
    "1 min 20 s",
    "1 h",
    "1 h 30 min",
    "2 days"
  ])
  const now = Date.parse("2026-01-10T00:00:00Z")
  const from = (seconds: number) => Format.ago(new Date(now + seconds * 1000).toISOString(), now)
  assert.deepStrictEqual([0, 3, -59, -60, 7199, -47 * 3600, -48 * 3600].map(from), [
    "just now",
    "in a moment",
    "59 seconds ago",
    "1 minute ago",
    "in 1 hour",
    "47 hours ago",
    "2 days ago"
  ])
})
