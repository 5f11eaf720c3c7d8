/**
 * `list`: what changed since the checkpoint, then the pass or the label walk from where the checkpoint left it.
 *
 * Protocol, in the order of Google's guide (https://developers.google.com/workspace/gmail/api/guides/sync):
 *
 * 1. The watermark (the mailbox's history id) is taken BEFORE a pass begins, so that what arrives meanwhile is in the
 *    history after it.
 * 2. A pass lists everything, newest first. Each call of `list` with an unfinished pass begins with the changes, so a
 *    long backfill never holds up new mail.
 * 3. Before a pass's last page is given, the history is read once more. If messages left the listing while the pass
 *    went on, pages may have shifted past some that never showed: the pass is made again, which the checker makes
 *    cheap, and only a pass under which nothing moved says that it covers everything.
 * 4. From then on a poll is one `history.list`. A history that is no longer known is `CheckpointExpired`, never a jump
 *    to now: the engine lists in full, and the messages known already get their labels by a label walk.
 */
import * as Effect from "effect/Effect"
import * as HashSet from "effect/HashSet"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import { CheckpointExpired, IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { HistoryRecord } from "./Api.ts"
import * as HistoryChanges from "./HistoryChanges.ts"
import { later, type Checkpoint, type LabelWalk, type Live, type Pass } from "./Checkpoint.ts"
import * as Labels from "./Labels.ts"
import * as TaskListing from "./TaskListing.ts"
import {
  done,
  listingError,
  next,
  refused,
  tokenRefused,
  type Failure,
  type Source,
  type Step,
  type StepResult
} from "./ListingStep.ts"
import { begin, newPass } from "./Watermark.ts"

/** Passes made again in one call of `list` because messages left meanwhile. After so many the next poll goes on. */
const maxRepeated = 3

const changesPerPage = 500

export const list = (
  source: Source,
  task: SyncTask,
  checkpoint: Option.Option<Checkpoint>
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  const from = Option.getOrUndefined(checkpoint)
  if (!isLive(task)) {
    return TaskListing.list(source, task, from !== undefined && "done" in from ? from : { done: false, listed: 0 })
  }
  const fresh = { before: new Set<string>(), refused: 0, repeated: 0 }
  const live: Effect.Effect<State, IntegrationError> =
    from !== undefined && "historyId" in from
      ? Effect.succeed({ ...fresh, checkpoint: from, stage: reading(from), listed: false })
      : Effect.map(begin(source.api), (begun) => ({
          ...fresh,
          checkpoint: begun,
          stage: { _tag: "Pass" },
          listed: true
        }))
  return Stream.unwrap(Effect.map(live, (state) => Stream.paginate(state, (state) => step(source, task, state))))
}

interface State {
  readonly checkpoint: Live
  readonly stage: Stage
  /** A pass was begun or taken up in this call. */
  readonly listed: boolean
  /** The ids of the pass's page before, in this call: where pages shift, they are shown again. */
  readonly before: ReadonlySet<string>
  readonly refused: number
  /** Passes made again in this call. */
  readonly repeated: number
}

/** Reading the history, from one start to its end: page tokens of two starts don't mix. */
interface Reading {
  readonly _tag: "Reading"
  readonly start: string
  readonly pageToken?: string | undefined
  /** The mailbox's history id when this reading began: all up to there will have been read at its end. */
  readonly until?: string | undefined
  /** The last page of a pass, kept until the history has been read. */
  readonly held?: ReadonlyArray<string> | undefined
}

type Stage =
  | Reading
  /** Records that were read, page by page; then the reading goes on with `pageToken`, or ends. */
  | {
      readonly _tag: "Changes"
      readonly chunks: ReadonlyArray<ReadonlyArray<HistoryRecord>>
      readonly reading: Reading
    }
  | { readonly _tag: "Pass" }
  /** The last page of a pass, the history after it having been read. */
  | { readonly _tag: "End"; readonly held: ReadonlyArray<string> }
  | { readonly _tag: "Labels"; readonly walk?: Labels.Walk | undefined }

const reading = ({ historyId }: Live, held?: ReadonlyArray<string>): Reading => ({
  _tag: "Reading",
  start: historyId,
  held
})

const step = (
  source: Source,
  task: SyncTask,
  state: State
): Effect.Effect<StepResult<State>, Failure, ContentExistenceChecker> => {
  const { stage } = state
  switch (stage._tag) {
    case "Reading":
      return read(source, state, stage)
    case "Changes":
      return changes(source, task, state, stage)
    case "Pass":
      return pass(source, task, state)
    case "End":
      return end(source, task, state, stage.held)
    case "Labels":
      return labels(source, state, stage.walk)
  }
}

// ---- changes
// ---------------------------------------------------------------------------------------------------------

const read = Effect.fnUntraced(function* (source: Source, state: State, stage: Reading): Step<State> {
  const answer = yield* Effect.result(source.api.history(stage.start, { pageToken: stage.pageToken }))
  if (answer._tag === "Failure") {
    const { reason } = answer.failure
    if (stage.pageToken !== undefined && reason._tag === "Malformed") {
      return yield* refused<State>({ ...state, stage: reading(state.checkpoint, stage.held) })
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

const changes = Effect.fnUntraced(function* (
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
  const held = reading.held?.filter((id) => !gone.has(id))
  const after = { ...state, checkpoint }
  if (more.length > 0)
    return next(pages, { ...after, stage: { _tag: "Changes", chunks: more, reading: { ...reading, held } } })
  if (!atEnd) return next(pages, { ...after, stage: { ...reading, held } })
  if (held !== undefined) return next(pages, { ...after, stage: { _tag: "End", held } })
  if (checkpoint.pass !== undefined) return next(pages, { ...after, listed: true, stage: { _tag: "Pass" } })
  if (checkpoint.labels !== undefined) return next(pages, { ...after, stage: { _tag: "Labels" } })
  if (source.scope.listed && !state.listed) {
    const begun = { ...checkpoint, pass: yield* newPass(checkpoint.historyId, { initial: false }) }
    return next(pages, { ...after, checkpoint: begun, listed: true, stage: { _tag: "Pass" } })
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

// ---- passes
// ----------------------------------------------------------------------------------------------------------

const pass = Effect.fnUntraced(function* (source: Source, task: SyncTask, state: State): Step<State> {
  const { checkpoint } = state
  const current = checkpoint.pass
  if (current === undefined) return done([])
  const answer = yield* Effect.result(source.api.messages(source.filter, { pageToken: current.pageToken }))
  if (answer._tag === "Failure") {
    if (current.pageToken === undefined || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
    const again = {
      ...(yield* newPass(checkpoint.historyId, current)),
      repeated: current.repeated,
      metKnown: current.metKnown
    }
    return yield* refused<State>({ ...state, checkpoint: { ...checkpoint, pass: again } })
  }

  const { messages = [], nextPageToken, resultSizeEstimate } = answer.success
  const ids = messages.map((message) => message.id)
  const total = current.total ?? resultSizeEstimate
  const counted: Pass = {
    ...current,
    listed: current.listed + ids.length,
    ...(total === undefined ? {} : { total })
  }
  if (nextPageToken === undefined) {
    const held: Live = { ...checkpoint, pass: counted }
    // The changes of the history come before this page.
    return next([], { ...state, checkpoint: held, stage: reading(held, ids) })
  }

  const { listed, download, metKnown } = yield* choose(task, state, counted, ids)
  const after: Live = { ...checkpoint, pass: { ...counted, metKnown, pageToken: nextPageToken } }
  const page = { listed, download, ...named(source, current), ...remaining(counted), checkpoint: after }
  return next([page], { ...state, checkpoint: after, before: new Set(ids) })
})

/** The last page of a pass, once the history has been read after it. */
const end = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  ids: ReadonlyArray<string>
): Step<State> {
  const current = state.checkpoint.pass
  if (current === undefined) return done([])
  const { historyId } = state.checkpoint
  const { listed, download, metKnown } = yield* choose(task, state, current, ids)
  const page = { listed, download, ...named(source, current) }

  // A connection that lists at each poll makes its next pass then.
  if (current.shifted && !source.scope.listed) {
    const again: Live = {
      historyId,
      pass: yield* newPass(historyId, { initial: current.initial, before: { ...current, metKnown } })
    }
    const pages = [{ ...page, checkpoint: again }]
    return state.repeated < maxRepeated
      ? next(pages, { ...state, checkpoint: again, stage: { _tag: "Pass" }, repeated: state.repeated + 1 })
      : done(pages)
  }

  const walks = current.initial && metKnown
  const after: Live = { historyId, ...(walks ? { labels: { after: "", since: historyId } } : {}) }
  const covers = coversAll(source) && !current.shifted ? { covers: [{ prefix: "" }] } : {}
  const pages = [{ ...page, ...covers, remaining: 0, checkpoint: after }]
  return walks ? next(pages, { ...state, checkpoint: after, stage: { _tag: "Labels" } }) : done(pages)
})

const choose = Effect.fnUntraced(function* (
  task: SyncTask,
  { before }: State,
  current: Pass,
  ids: ReadonlyArray<string>
) {
  const listed = ids.map((externalId) => ({ externalId }))
  const download = yield* ContentExistenceChecker.selectNew(task, listed)
  // In a pass that is made again everything is known: by the pass before.
  const chosen = new Set(download.map((ref) => ref.externalId))
  const metKnown = current.metKnown || (current.repeated === 0 && ids.some((id) => !chosen.has(id) && !before.has(id)))
  return { listed, download, metKnown }
})

/** A message that a filter no longer matches is not gone, so a filtered pass proves no absence. */
const coversAll = ({ filter }: Source): boolean => filter.query === undefined && filter.labelIds === undefined

const named = (source: Source, current: Pass) => (coversAll(source) ? { listing: current.name } : {})

const remaining = (current: Pass) =>
  current.total === undefined ? {} : { remaining: Math.max(0, current.total - current.listed) }

// ---- labels
// ----------------------------------------------------------------------------------------------------------

const labels = Effect.fnUntraced(function* (
  source: Source,
  state: State,
  opened: Labels.Walk | undefined
): Step<State> {
  const { api, filter, scope } = source
  const { checkpoint } = state
  const current = checkpoint.labels
  if (current === undefined) return done([])
  const begun = current.since === undefined ? {} : { since: current.since }
  const resumed = current.positions !== undefined || current.pageToken !== undefined
  const answer = yield* Effect.result(
    Effect.gen(function* () {
      const walk = opened ?? (yield* Labels.open(api, filter, scope.excluded, current))
      const list = yield* api.messages(filter, { pageToken: current.pageToken })
      const ids = (list.messages ?? []).map((message) => message.id)
      return { walk, nextPageToken: list.nextPageToken, patches: yield* Labels.patches(api, filter, walk, ids) }
    })
  )
  if (answer._tag === "Failure") {
    if (!resumed || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
    const again: LabelWalk = { ...begun, after: current.after }
    return yield* refused<State>({ ...state, checkpoint: { ...checkpoint, labels: again }, stage: { _tag: "Labels" } })
  }

  const { walk, nextPageToken, patches } = answer.success
  const { labels: _, ...rest } = checkpoint
  const after: Live =
    nextPageToken !== undefined
      ? {
          ...rest,
          labels: { ...begun, after: current.after, pageToken: nextPageToken, positions: Labels.positions(walk) }
        }
      : walk.more !== undefined
        ? { ...rest, labels: { ...begun, after: walk.more } }
        : // Changes of labels that were read while the walk went on may have been overwritten by what it had listed before.
          { ...rest, historyId: current.since ?? rest.historyId }
  const pages = [{ listed: [], download: [], patches, checkpoint: after }]
  if (after.labels === undefined) return done(pages)
  const kept = nextPageToken === undefined ? undefined : walk
  return next(pages, { ...state, checkpoint: after, stage: { _tag: "Labels", walk: kept } })
})
