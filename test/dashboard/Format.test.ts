import { assert, it } from "@effect/vitest"
import * as Text from "../../src/cli/TextFormat.ts"
import * as Format from "../../src/dashboard/Format.ts"

it("the page writes sizes in units of 1,000, with three digits", () => {
  const sizes = [0, 999, 1000, 1024, 1_500_000, 999_499, 999_500, 2e9, 5e15]
  assert.deepStrictEqual(sizes.map(Format.bytes), [
    "0 bytes",
    "999 bytes",
    "1.00 kB",
    "1.02 kB",
    "1.50 MB",
    "999 kB",
    "1.00 MB",
    "2.00 GB",
    "5.00e+3 TB"
  ])
})

it("the command line writes sizes in powers of 1,024", () => {
  const sizes = [0, 1023, 1024, 1536, 200 * 1024, 1024 ** 2, 3 * 1024 ** 3]
  assert.deepStrictEqual(sizes.map(Text.bytes), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 KiB",
    "200 KiB",
    "1.0 MiB",
    "3.0 GiB"
  ])
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
