/** The step of a listing that reads the mailbox's history. */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Ref from "effect/Ref"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import { CheckpointExpired, IntegrationError } from "../../contract/IntegrationError.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import { later, type Live } from "./Checkpoint.ts"
import * as HistoryChanges from "./HistoryChanges.ts"
import {
  done,
  listingError,
  next,
  reading,
  refused,
  type Reading,
  type Source,
  type Stage,
  type State,
  type Step
} from "./ListingStep.ts"
import * as Pass from "./Pass.ts"

const changesPerPage = 500

/** Reads the next page of the history. */
export const read = Effect.fnUntraced(function* (source: Source, state: State, stage: Reading): Step<State> {
  const answer = yield* Effect.result(source.api.history(stage.start, { pageToken: stage.pageToken }))
  if (answer._tag === "Failure") {
    const { reason } = answer.failure
    if (stage.pageToken !== undefined && reason._tag === "Malformed") {
      return yield* refused<State>({ ...state, stage: reading(state.checkpoint, stage.lastPage) })
    }
    return yield* reason._tag === "Gone"
      ? new IntegrationError({
          reason: new CheckpointExpired({
            message: `Gmail no longer knows the history after ${stage.start}: the mailbox is listed in full`
          })
        })
      : listingError(answer.failure)
  }
  const { history = [], historyId, nextPageToken } = answer.success
  const on = { ...stage, pageToken: nextPageToken, until: stage.until ?? historyId }
  return next([], {
    ...state,
    stage: { _tag: "Changes", chunks: HistoryChanges.chunks(history, changesPerPage), reading: on }
  })
})

/** Gives the changes of records that were read, and after the last ones goes on with the pass or the label walk. */
export const changes = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  { chunks, reading }: Extract<Stage, { _tag: "Changes" }>
): Step<State> {
  const [records, ...more] = chunks
  const atEnd = more.length === 0 && reading.pageToken === undefined
  const found = HistoryChanges.fold(records ?? [], source.scope)
  // No record is older than the one before. At the end, all up to where the mailbox was has been read.
  const read = records?.at(-1)?.id ?? state.checkpoint.historyId
  const to = atEnd && reading.until !== undefined ? later(read, reading.until) : read
  const checkpoint = moved(state.checkpoint, to, found.shifted)
  const listed = found.candidates.map((externalId) => ({ externalId }))
  const download = yield* ContentExistenceChecker.selectNew(task, listed)
  const arrived = HashSet.fromIterable(download.map(({ externalId }) => externalId))
  yield* Ref.update(source.arrivals, (before) => HashSet.union(before, arrived))
  const page = { listed, download, deleted: found.deleted, patches: found.patches, checkpoint }
  const pages = records !== undefined || checkpoint !== state.checkpoint ? [page] : []

  // Messages that were deleted since are not listed again: that would undo their deletion.
  const gone = new Set(found.deleted)
  const lastPage = reading.lastPage?.filter((id) => !gone.has(id))
  const after = { ...state, checkpoint }
  if (more.length > 0)
    return next(pages, { ...after, stage: { _tag: "Changes", chunks: more, reading: { ...reading, lastPage } } })
  if (!atEnd) return next(pages, { ...after, stage: { ...reading, lastPage } })
  if (lastPage !== undefined) return next(pages, { ...after, stage: { _tag: "End", lastPage } })
  if (checkpoint.pass !== undefined) return next(pages, { ...after, hasPassed: true, stage: { _tag: "Pass" } })
  if (checkpoint.labels !== undefined) return next(pages, { ...after, stage: { _tag: "Labels" } })
  if (source.scope.needsListing && !state.hasPassed) {
    const begun = { ...checkpoint, pass: yield* Pass.make(checkpoint.historyId, { initial: false }) }
    return next(pages, { ...after, checkpoint: begun, hasPassed: true, stage: { _tag: "Pass" } })
  }
  return done(pages)
})

/** The same checkpoint where nothing moved. */
const moved = (checkpoint: Live, historyId: string, shifted: boolean): Live => {
  const to = later(checkpoint.historyId, historyId)
  const mark = shifted && checkpoint.pass?.shifted === false
  if (to === checkpoint.historyId && !mark) return checkpoint
  return {
    ...checkpoint,
    historyId: to,
    ...(mark && checkpoint.pass !== undefined ? { pass: { ...checkpoint.pass, shifted: true } } : {})
  }
}
