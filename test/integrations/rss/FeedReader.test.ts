/** Large feeds are read in a worker thread. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as EntryPages from "../../../src/integrations/rss/EntryPages.ts"
import * as FeedReader from "../../../src/integrations/rss/FeedReader.ts"

const item = (index: number) =>
  `<item><guid isPermaLink="false">${index}</guid><pubDate>Thu, 01 Jan 2026 00:00:00 GMT</pubDate>` +
  `<description>${"lorem ipsum ".repeat(20)}</description></item>`

const feed = (items: number): Uint8Array =>
  Buffer.from(
    `<rss version="2.0"><channel><title>T</title>${Array.from({ length: items }, (_, index) => item(index)).join("")}</channel></rss>`
  )

const question = (bytes: Uint8Array): FeedReader.Question => ({ bytes, mediaType: "", url: "http://feed.example/" })

const millis = ({ system, user }: NodeJS.CpuUsage): number => (system + user) / 1000

/** Returns the largest share of an effect's CPU time that one turn of this thread's event loop takes. */
const longestTurn = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    let longest = 0
    let isOn = true
    const before = process.cpuUsage()
    let last = process.threadCpuUsage()
    const measure = () => {
      longest = Math.max(longest, millis(process.threadCpuUsage(last)))
      last = process.threadCpuUsage()
    }
    const turn = () => {
      measure()
      if (isOn) setImmediate(turn)
    }
    setImmediate(turn)
    const result = yield* effect
    isOn = false
    measure()
    return { result, share: longest / millis(process.cpuUsage(before)) }
  })

describe("the reader of feeds", () => {
  it.live("leaves the event loop free while it reads a large feed", () =>
    Effect.gen(function* () {
      const { read } = yield* FeedReader.FeedReader
      yield* read(question(feed(1)))
      const { result, share } = yield* longestTurn(read(question(feed(10_000))))
      assert("pages" in result)
      assert.strictEqual(result.count, 10_000)
      // If the feed were read on this thread, one turn would take nearly all of the time.
      assert.isBelow(share, 0.25)
      const pages = result.pages.map(EntryPages.unpack)
      assert.isTrue(pages.every(({ length }) => length <= EntryPages.maxEntries))
      assert.deepStrictEqual(
        pages.flat().map(({ externalId }) => externalId),
        Array.from({ length: 10_000 }, (_, index) => String(index))
      )
    }).pipe(Effect.provide(FeedReader.layer))
  )

  it.live("ends a thread whose feed needs too much memory, and reads the next one", () =>
    Effect.gen(function* () {
      const { read } = yield* FeedReader.make({ atOnce: 1, longest: Duration.minutes(2), megabytes: 64 })
      const failure = yield* Effect.flip(read(question(feed(60_000))))
      assert.deepInclude(failure, { reason: "memory", message: "reading it took more than 64 MB" })
      assert.deepInclude(yield* read(question(feed(1))), { count: 1 })
    }).pipe(Effect.scoped)
  )

  it.live("says why what it is given is no feed", () =>
    Effect.gen(function* () {
      const { read } = yield* FeedReader.FeedReader
      assert.deepStrictEqual(yield* read(question(Buffer.from("hello"))), {
        problem: "it is not RSS, Atom or JSON Feed"
      })
    })
  )
})
