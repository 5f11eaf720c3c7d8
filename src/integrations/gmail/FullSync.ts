/**
 * Google's "full synchronization": a pass lists all messages, newest first. This module begins a pass, reads its pages,
 * and ends it. Later changes are in the history (see History.ts).
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { Api } from "./Api.ts"
import type { Live, Pass } from "./Checkpoint.ts"
import * as MailboxProfile from "./MailboxProfile.ts"
import * as MessagePages from "./MessagePages.ts"
import { done, listingError, next, refused, type Source, type State, type Step, tokenRefused } from "./ListingStep.ts"

/**
 * How many times a pass is repeated at once because messages left the listing, however many slices that takes. After
 * that, each poll makes one pass. A message that arrived after the pass began counts too when it leaves: because of an
 * offset, another message could be skipped.
 */
const maxRepeated = 3

/** Makes the first checkpoint: the mailbox's history id, read before anything is listed. */
export const begin = Effect.fnUntraced(function* (api: Api) {
  const { historyId, total } = yield* MailboxProfile.beginning(api)
  const live: Live = { historyId, pass: yield* make(historyId, { initial: true, total }) }
  return live
})

/** Makes a pass with a new name. `before` is the pass that it repeats. */
export const make = Effect.fnUntraced(function* (
  historyId: string,
  options: { readonly initial: boolean; readonly total?: number | undefined; readonly before?: Pass | undefined }
) {
  const unique = Math.abs(yield* Random.nextInt).toString(36)
  const { before, total = before?.total } = options
  const pass: Pass = {
    name: `${historyId}-${unique}`,
    repeated: before === undefined ? 0 : before.repeated + 1,
    shifted: false,
    initial: options.initial,
    metKnown: before?.metKnown ?? false,
    listed: 0,
    ...(total === undefined ? {} : { total })
  }
  return pass
})

/** Emits the next page of a pass. The last page waits until the history has been read. */
export const page = Effect.fnUntraced(function* (source: Source, task: SyncTask, state: State): Step<State> {
  const { checkpoint } = state
  const current = checkpoint.pass
  if (current === undefined) return done([])
  const answer = yield* Effect.result(MessagePages.read(source, current, state.chats))
  if (answer._tag === "Failure") {
    if (current.pageToken === undefined || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
    const again = {
      ...(yield* make(checkpoint.historyId, current)),
      repeated: current.repeated,
      metKnown: current.metKnown
    }
    return yield* refused<State>({ ...state, checkpoint: { ...checkpoint, pass: again }, chats: undefined })
  }

  const { all, chats, ids, nextPageToken, position, resultSizeEstimate } = answer.success
  const total = current.total ?? resultSizeEstimate
  const counted: Pass = {
    ...current,
    listed: current.listed + all.length,
    ...(total === undefined ? {} : { total })
  }
  if (nextPageToken === undefined) {
    const atEnd: Live = { ...checkpoint, pass: counted }
    // The changes of the history precede this page.
    return next([], { ...state, checkpoint: atEnd, stage: { _tag: "History", lastPage: ids }, chats: undefined })
  }

  const { listed, download, metKnown } = yield* choose(task, state, counted, ids)
  const after: Live = { ...checkpoint, pass: { ...counted, ...position, metKnown, pageToken: nextPageToken } }
  const given = { listed, download, ...named(source, current), ...remaining(counted), checkpoint: after }
  return next([given], { ...state, checkpoint: after, before: new Set(ids), chats })
})

/** Emits the last page of a pass, after the history has been read. */
export const end = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  ids: ReadonlyArray<string>
): Step<State> {
  const current = state.checkpoint.pass
  if (current === undefined) return done([])
  const { historyId } = state.checkpoint
  const { listed, download, metKnown } = yield* choose(task, state, current, ids)
  const given = { listed, download, ...named(source, current) }

  // A connection that lists at each poll makes its next pass at the next poll.
  if (current.shifted && !source.scope.needsListing) {
    const again: Live = {
      historyId,
      pass: yield* make(historyId, { initial: current.initial, before: { ...current, metKnown } })
    }
    const pages = [{ ...given, checkpoint: again }]
    return current.repeated < maxRepeated
      ? next(pages, { ...state, checkpoint: again, stage: { _tag: "Pass" } })
      : done(pages)
  }

  const walks = current.initial && metKnown
  const after: Live = { historyId, ...(walks ? { labels: { after: "", since: historyId } } : {}) }
  const covers = coversAll(source) ? { covers: [{ prefix: "" }] } : {}
  const pages = [{ ...given, ...covers, remaining: 0, checkpoint: after }]
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
  // In a repeated pass all messages are known, because the previous pass listed them.
  const chosen = new Set(download.map((ref) => ref.externalId))
  const metKnown = current.metKnown || (current.repeated === 0 && ids.some((id) => !chosen.has(id) && !before.has(id)))
  return { listed, download, metKnown }
})

/** A message that a filter no longer matches is not gone, so a filtered pass proves no absence. */
const coversAll = ({ filter }: Source): boolean => filter.query === undefined && filter.labelIds === undefined

const named = (source: Source, current: Pass) => (coversAll(source) ? { listing: current.name } : {})

const remaining = (current: Pass) =>
  current.total === undefined ? {} : { remaining: Math.max(0, current.total - current.listed) }
