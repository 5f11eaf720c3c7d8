/** Feeds that change while they are read in slices, over several pages of entries. */
import { assert, describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FeedReader from "../../../src/integrations/rss/FeedReader.ts"
import { integration } from "../../../src/integrations/Rss.ts"
import * as Harness from "../../../src/testing/Harness.ts"
import * as FeedServer from "../../support/FeedServer.ts"
import { list } from "./listing.ts"

layer(FeedReader.layer, { excludeTestServices: true })((it) => {
  describe("a feed of several pages that changes twice while it is read", () => {
    it.effect("loses nothing", () =>
      Effect.gen(function* () {
        const feed = yield* FeedServer.make
        const add = (from: number, to: number) => {
          for (let index = from; index < to; index++) feed.add(`e${index}`)
        }
        add(0, 1_200)
        const url = feed.address("/rss")
        let found = yield* list(url, { pages: 1 })
        const ids = new Set(found.ids)
        add(1_200, 1_210)
        // The second slice notices the change, and is interrupted too.
        for (const pages of [1, undefined, undefined]) {
          found = yield* list(url, { place: found.checkpoint, ...(pages === undefined ? {} : { pages }) })
          for (const id of found.ids) ids.add(id)
        }
        assert.strictEqual(ids.size, 1_210)
        assert.strictEqual((yield* list(url, { place: found.checkpoint })).pages, 1)
      }).pipe(Effect.scoped)
    )

    it.effect("deletes nothing that a complete feed still has", () =>
      Effect.gen(function* () {
        const feed = yield* FeedServer.make
        feed.kind = "complete"
        for (let index = 0; index < 2_000; index++) feed.add(`e${index}`)
        const process = yield* Harness.start({
          integration,
          credentials: {},
          store: yield* Harness.makeStore,
          watch: Harness.watcher(),
          slicePages: 1
        })
        yield* process.connect({ url: feed.address("/rss"), quota: { unitsPerMinute: 1_000_000_000 } })
        yield* process.sync()
        feed.add("changed")
        let requests = 0
        feed.answer = (response, request) => {
          requests += 1
          if (requests === 2) feed.add("changed again")
          feed.show(request, response)
        }
        const { counts } = yield* process.sync()
        assert.isAtLeast(requests, 4)
        assert.deepStrictEqual([counts.deleted, counts.deletionsHeld], [0, 0])
        yield* process.sync()
        assert.strictEqual((yield* process.ids("stored")).length, 2_002)
      }).pipe(Effect.scoped)
    )
  })
})
