/** Plans a sync without a lease and without writing. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { externalIdProblem } from "../../contract/Content.ts"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { AnySession, Integration } from "../../contract/Integration.ts"
import type { Coverage, Problem } from "../../contract/Page.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import type { Planned, Progress, SyncResult } from "../Engine.ts"
import { Limits } from "../Limits.ts"
import type { Connection } from "../model/Connection.ts"
import * as RunCounts from "../model/RunCounts.ts"
import * as OpenSource from "../source/OpenSource.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { DeletionStore } from "../store/DeletionStore.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import { OverviewStore } from "../store/OverviewStore.ts"
import * as Deletions from "./Deletions.ts"
import * as InFlight from "./InFlight.ts"
import * as Listing from "./Listing.ts"
import * as PartReader from "./PartReader.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as SyncPlan from "./SyncPlan.ts"

/** How many ids one query reads of those that a listing has not shown. */
const unseenAtOnce = 10_000

/** The counts of a dry run and its plan. All outcomes except `existing` are 0, because nothing was done. */
interface DryRun extends Pick<SyncResult, "counts" | "notes" | "problems"> {
  readonly planned: Planned
}

/** Opens the source and lists everything that a sync with this task would list. */
export const run = Effect.fn("DryRun.run")(function* (
  connection: Connection,
  task: SyncTask.SyncTask,
  onProgress: (progress: Progress) => Effect.Effect<void>
) {
  const meter = yield* RunMeter.make()
  const source = yield* OpenSource.decode(connection)
  const { isAfresh, notes, plan } = yield* SyncPlan.make(source, {
    task,
    checkpoint: SyncTask.isLive(task) ? connection.checkpoint : Option.none(),
    scope: connection.scope,
    done: new Set(),
    ledger: "due"
  })
  const session = yield* OpenSource.open({ connection, ...source }, meter)
  const { counts, planned, problems } = yield* list({ connection, session, plan, isAfresh, meter, onProgress })
  const { apiCalls, checkerQueries, quotaUnits } = yield* RunMeter.spent(meter)
  return {
    counts: { ...counts, apiCalls, checkerQueries, quotaUnits },
    notes,
    problems,
    planned: { ...planned, held: yield* heldOf(connection, planned.delete, source.integration) }
  } satisfies DryRun
}, Effect.scoped)

/** Returns how many deletions would be held, of those that were found and those that are already staged. */
const heldOf = Effect.fnUntraced(function* (connection: Connection, found: number, { deletionLimits }: Integration) {
  const staged = yield* DeletionStore
  const overviews = yield* OverviewStore
  const bounds = { ...(yield* Limits), ...deletionLimits }
  const { held, moved, waiting } = yield* staged.readyDeletions(connection.id, { changes: true, listing: true })
  const { stored } = yield* overviews.totals(connection.id)
  const deletions = found + waiting - moved + held
  return found + waiting > 0 && Deletions.areTooMany({ deletions, stored }, bounds) ? deletions : held
})

const list = Effect.fnUntraced(function* (options: {
  readonly connection: Connection
  readonly session: AnySession
  readonly plan: SyncPlan.Plan
  /** True if the listing deletes nothing, because the scope has changed. */
  readonly isAfresh: boolean
  readonly meter: RunMeter.RunMeter
  readonly onProgress: (progress: Progress) => Effect.Effect<void>
}) {
  const { meter, plan, session } = options
  const connectionId = options.connection.id
  const contents = yield* ContentStore
  const deletions = yield* DeletionStore
  const ledger = yield* LedgerStore
  const { slicePages } = yield* Limits
  const counts = RunCounts.tally()
  // Planned ids stay in flight, so that an id that the listing repeats is planned once.
  const inflight = InFlight.make()
  let download = 0
  let patch = 0
  /** The ids that would be deleted. */
  const removed = new Set<string>()
  /** The ids that the pages of the listing showed: a later page may cover them. */
  const shown = new Set<string>()
  const findsAbsences = SyncTask.isLive(plan.task) && !options.isAfresh
  /** The number of pages in a row with nothing to plan, and the checkpoint before them. */
  let idle = 0
  let last: string | undefined
  const problems: Array<Problem> = []

  const usable = (ids: ReadonlyArray<string>) => [...new Set(ids)].filter((id) => externalIdProblem(id) === undefined)
  const known = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
    const some = usable(ids)
    return some.length === 0 ? new Set<string>() : yield* contents.existing(connectionId, some)
  })

  /** Finds the ids in this coverage that the listing has not shown. */
  const findAbsent = Effect.fnUntraced(function* (listing: string, coverage: Coverage) {
    let after: string | undefined = ""
    while (after !== undefined) {
      const ids: ReadonlyArray<string> = yield* deletions.unseen(connectionId, listing, {
        coverage,
        after,
        limit: unseenAtOnce
      })
      for (const id of ids) if (!shown.has(id)) removed.add(id)
      after = ids.length === unseenAtOnce ? ids.at(-1) : undefined
    }
  })

  if (plan.task.forceIds.length > 0) {
    download += plan.task.forceIds.length
    counts.forced += plan.task.forceIds.length
    for (const id of plan.task.forceIds) inflight.begin(id, undefined)
  }
  if (SyncTask.isLive(plan.task)) {
    // A sync that a person starts also tries failed items before they are due.
    const rows = yield* ledger.ledger(connectionId, { limit: 100_000 })
    const retries = rows.filter(({ state }) => state !== "dead")
    download += retries.length
    counts.retried += retries.length
    for (const row of retries) inflight.begin(row.externalId, row.revision)
  }
  if (SyncTask.idsOnly(plan.task)) return { counts, problems, planned: { download, delete: 0, patch: 0 } }

  // A task that keeps a checkpoint of its own begins without parts.
  const parts = PartReader.make({
    contents,
    connectionId,
    taskId: undefined,
    fresh: Option.isNone(plan.checkpoint),
    hinted: plan.hinted
  })
  const listPages = (checkpoint: SyncPlan.Plan["checkpoint"]) =>
    session.list(plan.task, checkpoint, parts.parts).pipe(
      Stream.runForEach((page) =>
        Effect.gen(function* () {
          const moves = page.parts ?? []
          parts.move(moves)
          problems.push(...(page.problems ?? []))
          const chosen = page.download.filter((ref) => inflight.find(ref.externalId) === undefined)
          for (const ref of chosen) inflight.begin(ref.externalId, ref.revision)
          const checkpoint = JSON.stringify(page.checkpoint)
          idle = chosen.length + moves.length === 0 && checkpoint === last ? idle + 1 : 0
          last = checkpoint
          if (idle >= slicePages) return yield* Listing.repeated(idle)
          counts.listed += page.listed.length
          counts.existing += Math.max(0, page.listed.length - chosen.length)
          download += chosen.length
          patch += (yield* known((page.patches ?? []).map((one) => one.externalId))).size
          const seen = [...page.listed, ...page.download].map((ref) => ref.externalId)
          for (const id of seen) removed.delete(id)
          for (const id of yield* known(page.deleted ?? [])) removed.add(id)
          if (page.listing !== undefined && findsAbsences) {
            for (const id of seen) shown.add(id)
            for (const coverage of page.covers ?? []) yield* findAbsent(page.listing, coverage)
          }
          yield* options.onProgress({ counts, remaining: page.remaining })
        })
      ),
      Effect.provideService(ContentExistenceChecker, InFlight.checker({ contents, connectionId, inflight, meter }))
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
  return { counts, problems, planned: { download, delete: removed.size, patch } }
})
