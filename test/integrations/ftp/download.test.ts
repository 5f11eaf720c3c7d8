/** A download ends once a file has more bytes than announced. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Download from "../../../src/integrations/ftp/Download.ts"
import type { Remote, Stat } from "../../../src/integrations/ftp/Remote.ts"

const chunk = new Uint8Array(1_000)

/** A server with one file, and the number of its chunks that were read. */
const server = (stats: ReadonlyArray<Stat>) => {
  let asked = 0
  const read = { chunks: 0 }
  const remote: Remote = {
    list: () => Effect.die("not listed"),
    stat: () => Effect.sync(() => stats[Math.min(asked++, stats.length - 1)] ?? {}),
    read: () => Stream.map(Stream.rechunk(Stream.range(1, 10_000), 1), () => (read.chunks++, chunk)),
    connect: Effect.void,
    exactTimes: Effect.succeed(true),
    size: { allowed: () => undefined, restore: () => Effect.void }
  }
  return { remote, read }
}

describe("a file of which more comes than its size announced", () => {
  const modified = "2024-01-02T03:04:05Z"
  const small = { size: 1_500, modified }
  for (const [name, after, reason] of [
    // A small file is read into memory: it may have grown to any size since it was listed.
    ["that has grown is left for the next poll", { size: 10_000_000, modified }, "Unsettled"],
    ["whose size the server still reports is a failure", small, "Transient"],
    ["whose size the server does not report any more is a failure", { modified }, "Transient"]
  ] as const) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { read, remote } = server([after])
        const { download, remember } = Download.make({ protocol: "ftp", host: "localhost" }, remote)
        remember({ path: "a", ...small }, Date.parse("2024-02-01"))
        const error = yield* Effect.flip(download({ externalId: "a" }))
        assert.strictEqual(error.reason._tag, reason)
        assert.isAtMost(read.chunks, 16)
      })
    )
  }
})
