/**
 * Reads the mailbox's history, as a step of a listing.
 *
 * The history id of the checkpoint changes only at the end of a reading. Google documents that records come oldest
 * first, but googleapis/google-api-nodejs-client#3508 reports otherwise: until all pages were read, any id may be
 * missing. A reading that was cut off continues with its page token. If that token is refused, the reading begins
 * again, which is cheap because of the checker.
 */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Order from "effect/Order"
import * as Ref from "effect/Ref"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import { CheckpointExpired, IntegrationError } from "../../contract/IntegrationError.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { HistoryRecord } from "./Resources.ts"
import { byHistoryId, later, type Live } from "./Checkpoint.ts"
import * as HistoryChanges from "./HistoryChanges.ts"
import { done, listingError, next, refused, type Source, type Stage, type State, type Step } from "./ListingStep.ts"
import * as FullSync from "./FullSync.ts"

const changesPerPage = 500

const oldestFirst = Order.mapInput(byHistoryId, ({ id }: HistoryRecord) => id)

/** Returns the checkpoint at the beginning or at the end of a reading. */
const withoutReading = (checkpoint: Live): Live => {
  const { reading: _, ...rest } = checkpoint
  return rest
}

/** Reads the next page of the history. */
export const read = Effect.fnUntraced(function* (
  source: Source,
  state: State,
  { lastPage }: Extract<Stage, { _tag: "History" }>
): Step<State> {
  const { historyId: start, reading } = state.checkpoint
  const answer = yield* Effect.result(source.api.history(start, { pageToken: reading?.pageToken }))
  if (answer._tag === "Failure") {
    const { reason } = answer.failure
    if (reading !== undefined && reason._tag === "Malformed") {
      return yield* refused<State>({ ...state, checkpoint: withoutReading(state.checkpoint) })
    }
    return yield* reason._tag === "Gone"
      ? new IntegrationError({
          reason: new CheckpointExpired({
            message: `Gmail no longer knows the history after ${start}: the mailbox is listed in full`
          })
        })
      : listingError(answer.failure)
  }
  const { history = [], historyId, nextPageToken: pageToken } = answer.success
  const chunks = HistoryChanges.chunks(history.toSorted(oldestFirst), changesPerPage)
  const until = reading?.until ?? historyId
  return next([], { ...state, stage: { _tag: "Changes", chunks, pageToken, until, lastPage } })
})

/** Emits the changes of the records that were read. After the last ones, continues with the pass or the label walk. */
export const changes = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  stage: Extract<Stage, { _tag: "Changes" }>
): Step<State> {
  const { pageToken, until } = stage
  const [records, ...more] = stage.chunks
  const found = HistoryChanges.fold(records ?? [], source.scope)
  const checkpoint = marked(more.length > 0 ? state.checkpoint : moved(state.checkpoint, pageToken, until), found)
  const listed = found.candidates.map((externalId) => ({ externalId }))
  // A label's list does not show messages in Trash. So during a label walk, a message that was in Trash may have lost
  // its labels: it is downloaded again when it returns, with all its labels, even if it is known.
  const forceIds = [...task.forceIds, ...found.returned]
  const download = yield* ContentExistenceChecker.selectNew({ ...task, forceIds }, listed)
  const arrived = HashSet.fromIterable(download.map(({ externalId }) => externalId))
  yield* Ref.update(source.arrivals, (before) => HashSet.union(before, arrived))
  const page = { listed, download, deleted: found.deleted, patches: found.patches, checkpoint }
  const pages = records !== undefined || checkpoint !== state.checkpoint ? [page] : []

  // Messages that were deleted since are not listed again, because that would undo their deletion.
  const gone = new Set(found.deleted)
  const lastPage = stage.lastPage?.filter((id) => !gone.has(id))
  const after = { ...state, checkpoint }
  if (more.length > 0) return next(pages, { ...after, stage: { ...stage, chunks: more, lastPage } })
  if (pageToken !== undefined) return next(pages, { ...after, stage: { _tag: "History", lastPage } })
  if (lastPage !== undefined) return next(pages, { ...after, stage: { _tag: "End", lastPage } })
  if (checkpoint.pass !== undefined) return next(pages, { ...after, hasPassed: true, stage: { _tag: "Pass" } })
  if (checkpoint.labels !== undefined) return next(pages, { ...after, stage: { _tag: "Labels" } })
  if (source.scope.needsListing && !state.hasPassed) {
    const begun = { ...checkpoint, pass: yield* FullSync.make(checkpoint.historyId, { initial: false }) }
    return next(pages, { ...after, checkpoint: begun, hasPassed: true, stage: { _tag: "Pass" } })
  }
  return done(pages)
})

/**
 * Returns the checkpoint after a page of the history: at the next page, or at the end of the reading. If nothing
 * changed, returns the same object.
 */
const moved = (checkpoint: Live, pageToken: string | undefined, until: string): Live => {
  if (pageToken !== undefined) return { ...checkpoint, reading: { pageToken, until } }
  const historyId = later(checkpoint.historyId, until)
  return checkpoint.reading === undefined && historyId === checkpoint.historyId
    ? checkpoint
    : { ...withoutReading(checkpoint), historyId }
}

/** Marks in the checkpoint's pass that its pages may have shifted. */
const marked = (checkpoint: Live, { shifted }: HistoryChanges.Changes): Live =>
  shifted && checkpoint.pass?.shifted === false ? { ...checkpoint, pass: { ...checkpoint.pass, shifted } } : checkpoint
