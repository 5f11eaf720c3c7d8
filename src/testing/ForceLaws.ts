/** Laws about the force flags, and about two downloads of one item. */
import * as Effect from "effect/Effect"
import { begin, mirrors, missing, some, succeed } from "./ChangeLaws.ts"
import { type Draft, expect } from "./Law.ts"

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "with force everything is fetched again, and what did not change is unchanged",
    remedy:
      "Two fetches of an unchanged item must give the same body and metadata: put what differs by itself (expiring URLs, counters) in `volatile`",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(15)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const pages = watch.pages.length
      const { counts } = yield* succeed(process, { force: true })
      yield* expect(
        counts.stored + counts.updated === 0,
        `a forced sync of an unchanged source stored ${counts.stored} and updated ${counts.updated}`
      )
      yield* expect(counts.checkerQueries === 0, `a forced sync asked the checker ${counts.checkerQueries} times`)
      const chosen = watch.pages.slice(pages).flatMap(({ page }) => page.download.map((ref) => ref.externalId))
      const left = missing(yield* source.ids, chosen)
      yield* expect(left.length === 0, `a forced sync left out ${some(left)}`)
      yield* mirrors(source, process)
    })
  },
  {
    name: "with forceIds alone those ids are downloaded by their id, and nothing is listed",
    remedy: "`download` must work from the external id alone: it also serves the ledger",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(10)
      const ids = (yield* source.ids).slice(0, 4)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const [pages, downloads] = [watch.pages.length, watch.downloads.length]
      const { counts } = yield* succeed(process, { forceIds: ids })
      yield* expect(watch.pages.length === pages, "a task of forceIds alone listed the source")
      const asked = watch.downloads.slice(downloads)
      yield* expect(
        missing(ids, asked).length === 0 && asked.length === ids.length,
        `asked to download ${some(ids)}, it downloaded ${asked.length === 0 ? "nothing" : some(asked)}`
      )
      yield* expect(
        counts.forced === ids.length && counts.unchanged === ids.length,
        `of ${ids.length} unchanged items downloaded by id, ${counts.unchanged} were unchanged: a download and a listing must give the same content`
      )
    })
  }
]
