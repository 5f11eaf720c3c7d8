/** Laws about the result of a sync for the source's state and its changes. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import { type Draft, expect, type ScriptedSource, Thrown } from "./Law.ts"
import { makeStore, type Process, start, watcher, type Watcher } from "./Harness.ts"

/** Connects a process to a new store, and records what it does. */
export const begin = Effect.fnUntraced(function* (source: ScriptedSource) {
  const store = yield* makeStore
  const watch = watcher()
  const process = yield* start({ integration: source.integration, credentials: source.credentials, store, watch })
  yield* process.connect(source.config)
  return { store, watch, process }
})

/** Returns the ids of one list that are not in the other, shortened for a message. */
export const missing = (from: ReadonlyArray<string>, there: ReadonlyArray<string>): ReadonlyArray<string> => {
  const known = new Set(there)
  return from.filter((id) => !known.has(id))
}

export const some = (ids: ReadonlyArray<string>): string =>
  `${ids
    .slice(0, 3)
    .map((id) => JSON.stringify(id))
    .join(", ")}${ids.length > 3 ? ` and ${ids.length - 3} more` : ""}`

/** Checks that the stored content equals the source's. */
export const mirrors = Effect.fnUntraced(function* (source: ScriptedSource, process: Process) {
  const there = yield* source.ids
  const stored = yield* process.ids("stored")
  const lost = missing(there, stored)
  yield* expect(lost.length === 0, `not stored: ${some(lost)}`)
  const extra = missing(stored, there)
  yield* expect(extra.length === 0, `stored, but not at the source: ${some(extra)}`)
})

/** Runs a sync that must succeed. */
export const succeed = Effect.fnUntraced(function* (process: Process, task: Parameters<Process["sync"]>[0] = {}) {
  const result = yield* process.sync(task)
  const { thrown } = process.watch
  const succeeded = result.status === (task.dryRun === true ? "planned" : "succeeded")
  if (!succeeded && thrown !== undefined) {
    return yield* new Thrown({ found: `the integration's code threw: ${Cause.pretty(thrown)}` })
  }
  const why = result.error === null ? `status ${result.status}` : `${result.error.reason}: ${result.error.message}`
  yield* expect(succeeded, `the sync did not succeed (${why})`)
  return result
})

const downloadsOf = (watch: Watcher, from: number): ReadonlyArray<string> => watch.downloads.slice(from)

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "a sync stores everything that the source has, and a second one adds nothing",
    remedy:
      "Choose what to download by ContentExistenceChecker.selectNew, and give a checkpoint that the next listing starts from",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(40)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      yield* mirrors(source, process)
      const before = watch.downloads.length
      const { counts } = yield* succeed(process)
      yield* expect(
        counts.stored + counts.updated === 0,
        `the second sync stored ${counts.stored}, updated ${counts.updated}`
      )
      const again = downloadsOf(watch, before)
      yield* expect(!source.usesChecker || again.length === 0, `the second sync downloaded ${some(again)} again`)
      yield* mirrors(source, process)
    })
  },
  {
    name: "what is added later arrives with the next sync, and only that is downloaded",
    remedy:
      "List from the checkpoint on, taken before the listing began: what came in meanwhile must be listed next time",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(10)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const before = watch.downloads.length
      const added = yield* source.add(3)
      yield* succeed(process)
      yield* mirrors(source, process)
      const other = source.usesChecker ? missing(downloadsOf(watch, before), added) : []
      yield* expect(other.length === 0, `downloaded again: ${some(other)}`)
    })
  },
  {
    name: "many items that are added later are all listed with the next sync",
    remedy: "Read the changes page by page to their end: the next page begins right after the last change of this one",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(10)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const before = watch.pages.length
      const added = yield* source.add(1200)
      // Lists every page, and downloads nothing.
      yield* succeed(process, { dryRun: true })
      const listed = watch.pages.slice(before).flatMap(({ page }) => page.listed.map((ref) => ref.externalId))
      const left = missing(added, listed)
      yield* expect(left.length === 0, `the next sync did not list ${some(left)}`)
    })
  },
  {
    name: "what changes at the source while it is listed arrives with the next sync",
    remedy: "Take the checkpoint of a full listing before its first page: changes since then must be listed next time",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(60)
      const { process, watch } = yield* begin(source)
      let changed: ReadonlyArray<string> = []
      watch.step = () =>
        Effect.suspend(() => {
          const id = watch.downloads[0]
          if (changed.length > 0 || id === undefined || watch.downloads.length < 5) return Effect.void
          changed = [id]
          return Effect.andThen(source.add(3), source.edit?.(id) ?? Effect.void)
        })
      yield* succeed(process)
      yield* succeed(process)
      yield* mirrors(source, process)
      const { counts } = yield* succeed(process, { forceIds: changed })
      yield* expect(counts.updated === 0, `an edit of ${some(changed)} during the listing was not stored`)
    })
  },
  {
    name: "an id that is listed twice is one content, downloaded once",
    remedy:
      "Give `listed` as the source lists it; selectNew takes each id once, and the engine knows what is in flight",
    needs: ["repeat"],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(30)
      yield* source.repeat ?? Effect.void
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      yield* mirrors(source, process)
      const twice = watch.downloads.filter((id, index) => watch.downloads.indexOf(id) !== index)
      yield* expect(!source.usesChecker || twice.length === 0, `downloaded more than once: ${some(twice)}`)
    })
  },
  {
    name: "an edit is seen and stored",
    remedy: "Give refs a revision that changes with the content, and select by revision",
    needs: ["edit"],
    check: Effect.fnUntraced(function* (source) {
      const [id] = yield* source.add(5)
      const { process } = yield* begin(source)
      yield* succeed(process)
      const before = yield* process.hashes
      if (id === undefined || source.edit === undefined) return
      yield* source.edit(id)
      const { counts } = yield* succeed(process)
      yield* expect(counts.updated >= 1, `after an edit of ${JSON.stringify(id)} nothing was updated`)
      const after = yield* process.hashes
      yield* expect(before.get(id) !== after.get(id), `${JSON.stringify(id)} still has its old body`)
      const again = yield* succeed(process)
      yield* expect(again.counts.updated === 0, "the sync after that updated it once more")
    })
  },
  {
    name: "what the source removes is deleted, and nothing else",
    remedy:
      "Say `deleted` for the source's own deletion events; or give each page of a pass the same `listing`, and say in `covers` what the pass has listed completely",
    needs: ["remove"],
    check: Effect.fnUntraced(function* (source) {
      const added = yield* source.add(12)
      const { process } = yield* begin(source)
      yield* succeed(process)
      const removed = [4, 8].flatMap((index) => added[index] ?? [])
      for (const id of removed) yield* source.remove?.(id) ?? Effect.void
      yield* succeed(process)
      yield* mirrors(source, process)
      const left = missing(removed, yield* process.ids("deleted"))
      yield* expect(left.length === 0, `removed at the source, but not deleted: ${some(left)}`)
    })
  },
  {
    name: "a failing item goes to the ledger, blocks nothing, and comes back",
    remedy:
      "Fail the item's download with an IntegrationError of the right reason; never leave it out, never fail the page",
    needs: ["fail"],
    check: Effect.fnUntraced(function* (source) {
      const added = yield* source.add(12)
      const id = source.failable === undefined ? added[5] : yield* source.failable
      if (id === undefined || source.fail === undefined) return
      yield* source.fail(id, true)
      const { process } = yield* begin(source)
      const first = yield* process.sync()
      yield* expect(first.status === "partial", `a sync with a failing item ended as ${first.status}`)
      const failed = [...(yield* process.ids("failed")), ...(yield* process.ids("dead"))]
      yield* expect(failed.includes(id), `${JSON.stringify(id)} fails and is not in the ledger`)
      const stored = yield* process.ids("stored")
      const blocked = missing(yield* source.ids, [...stored, id])
      yield* expect(blocked.length === 0, `one failing item kept out ${some(blocked)}`)
      yield* source.fail(id, false)
      yield* succeed(process)
      yield* mirrors(source, process)
    })
  },
  {
    name: "a download that throws costs that item only, which comes back",
    remedy:
      "Give a checkpoint that holds with any item of its page in the ledger, and download an item by its external id",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(12)
      const trial = yield* begin(source)
      yield* succeed(trial.process)
      const id = trial.watch.downloads[5] ?? trial.watch.downloads[0]
      // A source that includes all content in its listings has no downloads.
      if (id === undefined) return
      const { process, watch } = yield* begin(source)
      watch.throwing = id
      // Silences the log: the engine logs the defect with its stack, which would look like a failure of the law.
      const first = yield* Effect.provideService(process.sync(), References.MinimumLogLevel, "None")
      yield* expect(first.status === "partial", `a sync with a download that throws ended as ${first.status}`)
      const blocked = missing(yield* source.ids, [...(yield* process.ids("stored")), id])
      yield* expect(blocked.length === 0, `one download that throws kept out ${some(blocked)}`)
      watch.throwing = undefined
      yield* succeed(process)
      yield* mirrors(source, process)
    })
  },
  {
    name: "an expired checkpoint means a full listing that loses nothing and downloads only what is missing",
    remedy: "Fail the listing with CheckpointExpired, and list in full when `list` is called with no checkpoint",
    needs: ["expire"],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(20)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const added = yield* source.add(4)
      yield* source.expire ?? Effect.void
      const before = watch.downloads.length
      yield* succeed(process)
      yield* mirrors(source, process)
      const other = source.usesChecker ? missing(downloadsOf(watch, before), added) : []
      yield* expect(other.length === 0, `downloaded again: ${some(other)}`)
    })
  },
  {
    name: "a changed scope stores what it covers now, and deletes nothing",
    remedy: "Name the config fields that decide what is listed in `scope`",
    needs: ["narrowed"],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(20)
      const { process } = yield* begin(source)
      yield* succeed(process)
      const before = yield* process.ids("stored")
      if (source.narrowed === undefined) return
      yield* process.connect(source.narrowed.config)
      yield* succeed(process)
      yield* succeed(process)
      const gone = missing(before, yield* process.ids("stored"))
      yield* expect(gone.length === 0, `a narrower scope deleted ${some(gone)}`)
      const added = yield* source.add(3)
      const inside = added.filter(source.narrowed.keeps)
      yield* expect(
        inside.length > 0 && inside.length < added.length,
        "of three added items, `narrowed` must keep some and not all"
      )
      yield* succeed(process)
      const lost = missing(inside, yield* process.ids("stored"))
      yield* expect(lost.length === 0, `in the new scope, but not stored: ${some(lost)}`)
      // Content outside the narrow scope is older than the checkpoint: only a full listing finds it.
      yield* process.connect(source.config)
      yield* succeed(process)
      yield* mirrors(source, process)
    })
  }
]
