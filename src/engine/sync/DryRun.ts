/** What a sync would do, found out by reading only: nothing is written, no lease is taken. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "../../contract/Content.ts"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { AnySession } from "../../contract/Integration.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import * as RunCounts from "../model/RunCounts.ts"
import type { Progress } from "../Engine.ts"
import * as InFlight from "./InFlight.ts"
import * as PartReader from "./PartReader.ts"
import type { Meter } from "./RunMeter.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { Store } from "../Store.ts"
import type { Plan } from "./PageReader.ts"

/** Counts with the plan: outcomes but `existing` are 0, since nothing was done. */
interface Planned {
  readonly counts: RunCounts.Tally
  readonly download: number
  /** Deletions that the source told, and what a complete listing did not show. */
  readonly delete: number
  readonly patch: number
}

export const run = Effect.fn("DryRun.run")(function* (options: {
  readonly session: AnySession
  readonly store: Store["Service"]
  readonly connectionId: ConnectionId
  readonly plan: Plan
  /** True if the listing deletes nothing: the scope has changed. */
  readonly isAfresh: boolean
  readonly meter: Meter
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}) {
  const { connectionId, meter, plan, session, store } = options
  const counts = RunCounts.tally()
  // What is planned stays in flight: an id that the listing repeats is planned once.
  const inflight: InFlight.Inflight = new Map()
  let download = 0
  let toDelete = 0
  let patch = 0
  let knownListed = 0

  const count = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    const usable = [...new Set(ids)].filter((id) => externalIdProblem(id) === undefined)
    return usable.length === 0 ? 0 : (yield* store.existing(connectionId, usable)).size
  })

  if (plan.task.forceIds.length > 0) {
    download += plan.task.forceIds.length
    counts.forced += plan.task.forceIds.length
    for (const id of plan.task.forceIds) InFlight.begin(inflight, id, undefined)
  }
  if (SyncTask.isLive(plan.task)) {
    const retries = yield* store.retriesDue(connectionId, 100_000)
    download += retries.length
    counts.retried += retries.length
    for (const row of retries) InFlight.begin(inflight, row.externalId, row.revision)
  }
  if (SyncTask.idsOnly(plan.task)) return { counts, download, delete: 0, patch: 0 } satisfies Planned

  // A task that keeps a checkpoint of its own begins without parts.
  const parts = PartReader.make({ store, connectionId, taskId: undefined, fresh: Option.isNone(plan.checkpoint) })
  const listPages = (checkpoint: Plan["checkpoint"]) =>
    session.list(plan.task, checkpoint, parts.parts).pipe(
      Stream.runForEach((page) =>
        Effect.gen(function* () {
          parts.move(page.parts ?? [])
          const chosen = page.download.filter((ref) => !inflight.has(ref.externalId))
          for (const ref of chosen) InFlight.begin(inflight, ref.externalId, ref.revision)
          counts.listed += page.listed.length
          counts.existing += Math.max(0, page.listed.length - chosen.length)
          download += chosen.length
          toDelete += yield* count(page.deleted ?? [])
          patch += yield* count((page.patches ?? []).map((one) => one.externalId))
          if (page.listing !== undefined) knownListed += page.listed.length - chosen.length
          if (!options.isAfresh && page.covers?.some((covered) => covered.prefix === "" && !covered.except?.length)) {
            toDelete += Math.max(0, (yield* store.totals(connectionId)).stored - knownListed)
          }
          yield* options.onProgress({ counts, remaining: page.remaining })
        })
      ),
      Effect.provideService(ContentExistenceChecker, InFlight.checker({ store, connectionId, inflight, meter }))
    )

  yield* listPages(plan.checkpoint).pipe(
    Effect.catchIf(
      (error) => error._tag === "IntegrationError" && error.reason._tag === "CheckpointExpired",
      () => {
        parts.reset()
        return listPages(Option.none())
      }
    )
  )
  return { counts, download, delete: toDelete, patch } satisfies Planned
})
