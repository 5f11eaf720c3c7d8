/** Laws about single pages. */
import * as Effect from "effect/Effect"
import { externalIdProblem } from "../contract/Content.ts"
import { type Coverage, maxCheckpointBytes, maxPageRefs } from "../contract/Page.ts"
import { maxPartBytes, maxParts } from "../contract/Parts.ts"
import { begin, missing, some, succeed } from "./ChangeLaws.ts"
import { ending, makeStore, start, watcher } from "./Harness.ts"
import { type Draft, expect } from "./Law.ts"

const inside = (id: string, { except = [], prefix }: Coverage): boolean =>
  id.startsWith(prefix) && !except.some((other) => id.startsWith(other))

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "a listing comes to its end",
    remedy:
      "End the stream of `list` once the source has nothing more now: when it gives no next page, or an empty page, or the same place again",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(30)
      const { integration, credentials } = source
      // A slice may end after any page, and the next one continues from there.
      for (const slicePages of [2, 3]) {
        const watch = watcher()
        const process = yield* start({ integration, credentials, store: yield* makeStore, watch, slicePages })
        yield* process.connect(source.config)
        yield* ending(watch, Effect.andThen(succeed(process), succeed(process))).pipe(
          Effect.mapError((found) => `in slices of ${slicePages} pages: ${found}`)
        )
      }
    })
  },
  {
    name: "pages are bounded, their ids can be stored, and what they choose is what they list",
    remedy: `A page has at most ${maxPageRefs} refs and a checkpoint of at most ${maxCheckpointBytes} bytes; \`download\` is a part of \`listed\``,
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(1200)
      const { process, watch } = yield* begin(source)
      // Lists every page, and downloads nothing.
      yield* succeed(process, { dryRun: true })
      const listed = watch.pages.flatMap(({ page }) => page.listed.map((ref) => ref.externalId))
      const left = missing(yield* source.ids, listed)
      yield* expect(left.length === 0, `a dry run did not list ${some(left)}`)
      for (const { page } of watch.pages) {
        yield* expect(page.listed.length <= maxPageRefs, `a page has ${page.listed.length} refs`)
        const size = JSON.stringify(page.checkpoint).length
        yield* expect(size <= maxCheckpointBytes, `a checkpoint has ${size} characters`)
        const ids = page.listed.map((ref) => ref.externalId)
        const bad = ids.find((id) => externalIdProblem(id) !== undefined)
        yield* expect(bad === undefined, `an id can't be stored: ${JSON.stringify(bad)}`)
        const unlisted = missing(
          page.download.map((ref) => ref.externalId),
          ids
        )
        yield* expect(unlisted.length === 0, `chosen, but not listed: ${some(unlisted)}`)
      }
    })
  },
  {
    name: "parts are bounded, each once a page, and their keys can be stored",
    remedy: `A page moves at most ${maxParts} parts of at most ${maxPartBytes} bytes each; keys follow the rules of external ids`,
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(60)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      for (const { page } of watch.pages) {
        const moves = page.parts ?? []
        yield* expect(moves.length <= maxParts, `a page moves ${moves.length} parts`)
        const keys = moves.map(({ key }) => key)
        yield* expect(new Set(keys).size === keys.length, "a page moves a part twice")
        const bad = keys.find((key) => externalIdProblem(key) !== undefined)
        yield* expect(bad === undefined, `a key can't be stored: ${JSON.stringify(bad)}`)
        const size = Math.max(0, ...moves.map(({ checkpoint }) => JSON.stringify(checkpoint).length))
        yield* expect(size <= maxPartBytes, `the checkpoint of a part has ${size} characters`)
      }
    })
  },
  {
    name: "the checker is asked once a page, in bulk",
    remedy: "Call ContentExistenceChecker.selectNew once for all refs of a page, never for one id",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(60)
      const { process, watch } = yield* begin(source)
      const { counts } = yield* succeed(process)
      const pages = watch.pages.filter(({ page }) => page.listed.length > 0).length
      // One response of the source may become several pages, for which the checker is asked together.
      const asked = counts.checkerQueries
      yield* expect(
        source.usesChecker ? asked > 0 && asked <= pages : asked === 0,
        `${pages} pages with refs, and ${counts.checkerQueries} questions to the checker`
      )
    })
  },
  {
    name: "`covers` says only what was listed completely",
    remedy:
      "Give each page of one pass the same `listing`. A pass covers a prefix once each id below it has been in one of its pages; when in doubt, cover nothing",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(60)
      // Content that is added later may be too late for the first pass.
      const early = yield* source.ids
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      yield* source.add(5)
      yield* succeed(process)
      const seen = new Map<string, Set<string>>()
      for (const { page } of watch.pages) {
        if (page.listing === undefined) {
          yield* expect((page.covers ?? []).length === 0, "a page that belongs to no listing covers something")
          continue
        }
        const marks = seen.get(page.listing) ?? new Set()
        seen.set(page.listing, marks)
        for (const ref of page.listed) marks.add(ref.externalId)
        for (const covered of page.covers ?? []) {
          const due = early.filter((id) => inside(id, covered))
          const unseen = due.filter((id) => !marks.has(id))
          yield* expect(
            unseen.length === 0,
            `covers ${JSON.stringify(covered.prefix)}, but did not list ${some(unseen)}`
          )
        }
      }
    })
  }
]
