/**
 * Reads the pages of a slice, and emits its work in order: forced ids, changes at the source, retries of the ledger,
 * then the backfill. No page is listed before the work of the previous page has been taken.
 *
 * The integration has chosen the new refs of a page (`ContentExistenceChecker.selectNew`, with the checker of
 * `InFlight.ts`).
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { externalIdProblem, type Ref as ContentRef } from "../../contract/Content.ts"
import type { Page, Problem } from "../../contract/Page.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import { Limits } from "../Limits.ts"
import type { CopySource } from "../model/Batch.ts"
import { type LedgerRow, refOf } from "../model/Content.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { DeletionStore } from "../store/DeletionStore.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as Deletions from "./Deletions.ts"
import * as StopSignal from "./StopSignal.ts"
import type { InFlight } from "./InFlight.ts"
import type { Listed, Listing, ListingError } from "./Listing.ts"
import type { PartReader } from "./PartReader.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { Download, Origin, PageListed } from "./SliceEvent.ts"

/** A ref to download, or an event that needs no download. */
export type Work = Download | PageListed

interface Reader extends SliceContext {
  readonly listing: Listing
  readonly parts: PartReader
  readonly contents: ContentStore["Service"]
  readonly ledger: LedgerStore["Service"]
  readonly deletions: DeletionStore["Service"]
  readonly limits: Limits
  readonly forcedIds: ReadonlySet<string>
}

const isUsable = (id: string): boolean => externalIdProblem(id) === undefined

/** Returns the refs of a page, each once. A chosen ref that the page does not list is added. */
const refsOf = ({ download, listed }: Page<Schema.Json>): ReadonlyArray<ContentRef> => {
  const ids = new Set(listed.map((ref) => ref.externalId))
  return [...listed, ...download.filter((ref) => !ids.has(ref.externalId))]
}

/** Makes the download of an id that no page listed. */
const downloadOf = (inflight: InFlight, origin: Origin, ref: ContentRef): Download => ({
  _tag: "Download",
  origin,
  ref,
  flight: inflight.begin(ref.externalId, ref.revision),
  page: undefined
})

/** Returns true for a failed item that is not yet due. */
const isLater = ({ nextAttemptAt }: LedgerRow, now: number): boolean =>
  nextAttemptAt !== null && DateTime.toEpochMillis(nextAttemptAt) > now

/** The ids of a page for which the ledger decides whether they are downloaded. */
interface InLedger {
  /**
   * Chosen ids that have to wait under the revision that failed: dead ones, and failed ones that are not yet due. An
   * integration that does not use the checker would choose them at every poll.
   */
  readonly waiting: ReadonlySet<string>
  /** Ids that are due, and that the integration did not choose because they are known. */
  readonly due: ReadonlySet<string>
}

/** Reads the ledger rows of this page's ids: one query, or none if no id can have a row. */
const inLedger = Effect.fnUntraced(function* (reader: Reader, page: Page<Schema.Json>) {
  const { connection, inflight, ledger, plan } = reader
  const chosen = new Map(page.download.map((ref) => [ref.externalId, ref]))
  const mayWait = ({ content, externalId }: ContentRef) =>
    content === undefined && inflight.find(externalId) === undefined && !inflight.isUnknown(externalId)
  const asked = plan.task.force ? [] : page.download.filter(mayWait)
  const others = plan.ledger === "listed" ? page.listed.filter(({ externalId }) => !chosen.has(externalId)) : []
  const externalIds = [...asked, ...others].map(({ externalId }) => externalId)
  if (externalIds.length === 0) return { waiting: new Set(), due: new Set() } satisfies InLedger
  const now = yield* Clock.currentTimeMillis
  const rows = yield* ledger.ledger(connection.id, { externalIds, limit: externalIds.length })
  const waits = (row: LedgerRow) => row.state === "dead" || isLater(row, now)
  const idsOf = (isIn: (row: LedgerRow, ref: ContentRef | undefined) => boolean) =>
    new Set(rows.filter((row) => isIn(row, chosen.get(row.externalId))).map(({ externalId }) => externalId))
  return {
    waiting: idsOf((row, ref) => ref !== undefined && ref.revision === row.revision && waits(row)),
    due: idsOf((row) => !waits(row))
  } satisfies InLedger
})

/** Returns the contents of which refs of a page are copies, by body key. */
const copySources = ({ connection, contents }: Reader, { download }: Page<Schema.Json>) => {
  const keys = new Set(download.flatMap(({ copy }) => (copy === undefined ? [] : [copy.bodyKey])))
  return keys.size === 0
    ? Effect.succeed<ReadonlyMap<string, CopySource>>(new Map())
    : contents.copySources(connection.id, [...keys])
}

/**
 * Returns the known ids of a page whose deletion the source reported in an earlier slice of the same reading: they have
 * reappeared, maybe with another body. One query, or none if no deletion is staged. Held deletions are not among them:
 * a listing that shows thousands of such ids takes their deletions back, and downloads nothing.
 */
const reappearedIds = ({ connection, deletions }: Reader, { download, listed }: Page<Schema.Json>) => {
  const chosen = new Set(download.map(({ externalId }) => externalId))
  const known = listed.map(({ externalId }) => externalId).filter((id) => !chosen.has(id))
  return connection.waiting.deletions && known.length > 0
    ? deletions.reportedDeleted(connection.id, known)
    : Effect.succeed<ReadonlySet<string>>(new Set())
}

/** The stores' records of the ids of a page. */
interface InStores extends InLedger {
  readonly copies: ReadonlyMap<string, CopySource>
  readonly reappeared: ReadonlySet<string>
}

/** Returns the ref to download for an id of a page; undefined if the id is known, forced, done or has to wait. */
const refToDownload = (
  { forcedIds, inflight, plan }: Reader,
  { due, reappeared, waiting }: InStores,
  { chosen, listed }: { readonly chosen: ContentRef | undefined; readonly listed: ContentRef }
): ContentRef | undefined => {
  const { externalId } = listed
  if (plan.done.has(externalId) || forcedIds.has(externalId)) return undefined
  const inFlight = inflight.find(externalId)
  // If a page of this run deleted the id, its deletion may not have been committed when the checker was asked: the id
  // is new, even if the checker knew it.
  const isBack = inflight.isRemoved(externalId) || (inFlight === undefined && reappeared.has(externalId))
  const ref = chosen ?? (isBack || due.has(externalId) ? listed : undefined)
  if (ref === undefined || isBack) return ref
  const isRepeated = inFlight !== undefined && inFlight.revision === ref.revision
  return isRepeated || waiting.has(externalId) ? undefined : ref
}

/** Turns a page into its event and its downloads. Each occurrence of an id is counted. */
const readPage = (reader: Reader, { forgetsParts, number, page }: Listed, stored: InStores) => {
  const { inflight, parts, plan } = reader
  const chosen = new Map(page.download.map((ref) => [ref.externalId, ref]))
  const downloads: Array<Download> = []
  const unusable: Array<Problem> = []
  const seen: Array<string> = []
  for (const listed of refsOf(page)) {
    const { externalId } = listed
    const problem = externalIdProblem(externalId)
    if (problem !== undefined) {
      unusable.push({ place: JSON.stringify(externalId.slice(0, 100)), message: problem })
      continue
    }
    seen.push(externalId)
    const ref = refToDownload(reader, stored, { chosen: chosen.get(externalId), listed })
    if (ref === undefined) continue
    const copyOf = ref.copy === undefined ? undefined : stored.copies.get(ref.copy.bodyKey)
    downloads.push({ ...downloadOf(inflight, "listed", ref), page: number, copyOf })
  }
  const { deleted = [], parts: moves = [], patches = [], problems = [] } = page
  parts.move(moves)
  inflight.remove(deleted)
  // A connection has one open listing, that of its live task: a listing of another task would delete its marks.
  const isLive = SyncTask.isLive(plan.task)
  const event: PageListed = {
    _tag: "PageListed",
    page: number,
    existing: seen.length - downloads.length,
    unusable,
    problems,
    remaining: page.remaining,
    downloads: downloads.length,
    waitsFor: [...deleted, ...patches.map((patch) => patch.externalId)].flatMap((id) => inflight.find(id) ?? []),
    end: {
      checkpoint: page.checkpoint,
      scope: plan.scope,
      parts: moves,
      forgetsParts,
      deleted: deleted.filter(isUsable),
      patches: patches.filter((patch) => isUsable(patch.externalId)),
      seen,
      listing: isLive ? page.listing : undefined,
      covers: isLive ? (page.covers ?? []) : [],
      complete: isLive && Deletions.completesPass(page)
    }
  }
  return [event, ...downloads]
}

/** Returns the ledger rows that this slice retries. */
const rowsToRetry = ({
  connection,
  ledger,
  limits,
  plan
}: Reader): Effect.Effect<ReadonlyArray<LedgerRow>, StoreError> => {
  if (plan.ledger === "due") return ledger.retriesDue(connection.id, limits.retries)
  return Effect.succeed(typeof plan.ledger === "object" ? plan.ledger.rows : [])
}

/** Reads the work of a slice, and passes it on in order. */
export const run = Effect.fnUntraced(function* <E, R>(
  context: SliceContext,
  options: {
    readonly listing: Listing
    readonly parts: PartReader
    /** Takes one piece of work. Returns once there is room for the next. */
    readonly take: (work: Work) => Effect.Effect<void, E, R>
  }
): Effect.fn.Return<void, E | ListingError | StoreError, R | ContentStore | DeletionStore | LedgerStore> {
  const reader: Reader = {
    ...context,
    ...options,
    forcedIds: new Set(context.plan.task.forceIds),
    contents: yield* ContentStore,
    ledger: yield* LedgerStore,
    deletions: yield* DeletionStore,
    limits: yield* Limits
  }
  const { inflight, limits, listing, plan, stop } = reader
  const { task } = plan
  const takeAll = Effect.fnUntraced(function* (works: ReadonlyArray<Work>) {
    for (const work of works) yield* options.take(work)
  })

  const read = Effect.fnUntraced(function* (listed: Listed) {
    const { page } = listed
    const copies = yield* copySources(reader, page)
    const reappeared = yield* reappearedIds(reader, page)
    yield* takeAll(readPage(reader, listed, { ...(yield* inLedger(reader, page)), copies, reappeared }))
  })

  let isRetried = false
  /** The retries, which run once: before the first page of a listing, or after the changes if there is no listing. */
  const retry = Effect.fnUntraced(function* () {
    if (isRetried || (yield* StopSignal.read(stop)) !== undefined) return
    isRetried = true
    const rows = yield* rowsToRetry(reader)
    // More rows may be due: then the listing stops after the present page, and continues in the next slice.
    if (plan.ledger === "due" && rows.length >= limits.retries) listing.leave()
    // The changes may have chosen the same id, or deleted it in a page that is not committed yet.
    const free = rows.filter(
      ({ externalId }) => inflight.find(externalId) === undefined && !inflight.isRemoved(externalId)
    )
    yield* takeAll(free.map((row) => downloadOf(inflight, "retried", refOf(row))))
  })

  if (typeof plan.ledger === "object") return yield* retry()
  const forced = new Set(task.forceIds.filter((id) => !plan.done.has(id)))
  yield* takeAll([...forced].map((externalId) => downloadOf(inflight, "forced", { externalId })))
  if (SyncTask.idsOnly(task)) return
  while (true) {
    const listed = yield* listing.next
    if (Option.isNone(listed)) break
    if (listed.value.page.listing !== undefined) yield* retry()
    yield* read(listed.value)
  }
  yield* retry()
})
