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
 *    went on, pages may have shifted past some that never showed: the pass is made again, which the checker makes cheap,
 *    and only a pass under which nothing moved says that it covers everything.
 * 4. From then on a poll is one `history.list`. A history that is no longer known is `CheckpointExpired`, never a jump to
 *    now: the engine lists in full, and the messages known already get their labels by a label walk.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { CheckpointExpired, Forbidden, IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { Api, Filter } from "./Api.ts"
import * as Changes from "./Changes.ts"
import { later, type Checkpoint, type LabelWalk, type Live, type Own, type Pass } from "./Checkpoint.ts"
import * as Labels from "./Labels.ts"
import * as Window from "./Window.ts"

/** Passes made again in one call of `list` because messages left meanwhile. After so many the next poll goes on. */
const maxRepeated = 3

/** Refused page tokens in one call of `list`: a server that refuses its own fresh ones would keep us for ever. */
const maxRefused = 3

const changesPerPage = 500

type Failure = IntegrationError | ContentExistenceCheckerError

/** Pages to give, and the state to go on from. */
type Turn<S> = readonly [ReadonlyArray<Page<Checkpoint>>, Option.Option<S>]
type Step<S> = Effect.fn.Return<Turn<S>, Failure, ContentExistenceChecker>

/** What to list, and how the scope's labels are read in the history. */
export interface Source {
  readonly api: Api
  readonly filter: Filter
  readonly scope: Changes.Scope
}

export const list = (
  source: Source,
  task: SyncTask,
  checkpoint: Option.Option<Checkpoint>
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  const from = Option.getOrUndefined(checkpoint)
  if (!isLive(task)) return own(source, task, from !== undefined && "done" in from ? from : { done: false, listed: 0 })
  const live: Effect.Effect<State, IntegrationError> =
    from !== undefined && "historyId" in from
      ? Effect.succeed({
          checkpoint: from,
          stage: { _tag: "Changes", start: from.historyId },
          listed: false,
          refused: 0,
          repeated: 0
        })
      : Effect.map(begin(source.api), (checkpoint) => ({
          checkpoint,
          stage: { _tag: "Pass" },
          listed: true,
          refused: 0,
          repeated: 0
        }))
  return Stream.unwrap(Effect.map(live, (state) => Stream.paginate(state, (state) => step(source, task, state))))
}

interface State {
  readonly checkpoint: Live
  readonly stage: Stage
  /** A pass was begun or taken up in this call. */
  readonly listed: boolean
  readonly refused: number
  /** Passes made again in this call. */
  readonly repeated: number
}

type Stage =
  | {
      readonly _tag: "Changes"
      /** The start that `pageToken` belongs to: tokens of two starts don't mix. */
      readonly start: string
      readonly pageToken?: string | undefined
      /** The mailbox's history id when these changes began to be read. */
      readonly until?: string | undefined
      /** The last page of a pass, kept until the history has been read. */
      readonly held?: ReadonlyArray<string> | undefined
    }
  | { readonly _tag: "Pass" }
  | { readonly _tag: "Labels"; readonly walk?: Labels.Walk | undefined }

const step = (
  source: Source,
  task: SyncTask,
  state: State
): Effect.Effect<Turn<State>, Failure, ContentExistenceChecker> => {
  switch (state.stage._tag) {
    case "Changes":
      return changes(source, task, state, state.stage)
    case "Pass":
      return pass(source, task, state)
    case "Labels":
      return labels(source, state, state.stage.walk)
  }
}

// ---- the watermark ---------------------------------------------------------------------------------------------------

const begin = Effect.fnUntraced(function* (api: Api) {
  const profile = yield* Effect.catch(api.profile, (error) =>
    error.reason._tag === "Gone" ? Effect.succeed(undefined) : Effect.fail(error)
  )
  const historyId = profile?.historyId ?? (yield* watermark(api))
  const live: Live = { historyId, pass: yield* newPass(historyId, { initial: true, total: profile?.messagesTotal }) }
  return live
})

/**
 * The mailbox's history id from a server that has no `getProfile`: that of the newest message, then what the history
 * that begins there says of the mailbox, so that older messages changed since are not taken for changes.
 */
const watermark = Effect.fnUntraced(function* (api: Api) {
  const newest = (yield* api.messages({ includeSpamTrash: true }, { maxResults: 1 })).messages?.[0]
  const message = newest === undefined ? undefined : yield* api.message(newest.id, "minimal")
  const start = message?.historyId ?? "1"
  const history = yield* Effect.catch(api.history(start, { maxResults: 1 }), (error) =>
    error.reason._tag === "Gone" ? Effect.succeed({ historyId: start }) : Effect.fail(error)
  )
  return later(start, history.historyId)
})

const newPass = Effect.fnUntraced(function* (
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

// ---- changes ---------------------------------------------------------------------------------------------------------

const changes = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  stage: Extract<Stage, { _tag: "Changes" }>
): Step<State> {
  const { api, scope } = source
  const answer = yield* Effect.result(api.history(stage.start, { pageToken: stage.pageToken }))
  if (answer._tag === "Failure") {
    const { reason } = answer.failure
    if (stage.pageToken !== undefined && reason._tag === "Malformed") {
      const again: Stage = { ...stage, start: state.checkpoint.historyId, pageToken: undefined }
      return yield* refused<State>({ ...state, stage: again })
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
  const until = stage.until ?? historyId
  const pages: Array<Page<Checkpoint>> = []
  const gone = new Set<string>()
  let checkpoint = state.checkpoint
  for (const records of Changes.chunks(history, changesPerPage)) {
    const found = Changes.fold(records, scope)
    checkpoint = moved(checkpoint, records.at(-1)?.id ?? checkpoint.historyId, found.shifted)
    const listed = found.candidates.map((externalId) => ({ externalId }))
    found.deleted.forEach((id) => gone.add(id))
    found.candidates.forEach((id) => gone.delete(id))
    pages.push({
      listed,
      download: yield* ContentExistenceChecker.selectNew(task, listed),
      deleted: found.deleted,
      patches: found.patches,
      checkpoint
    })
  }

  // All up to where the mailbox was when reading began has been read, and no record is older than the one before.
  const end = nextPageToken === undefined ? moved(checkpoint, until, false) : checkpoint
  const last = pages.at(-1)
  if (last !== undefined) pages[pages.length - 1] = { ...last, checkpoint: end }
  else if (end !== state.checkpoint) pages.push({ listed: [], download: [], checkpoint: end })

  const held = stage.held?.filter((id) => !gone.has(id))
  if (nextPageToken !== undefined) {
    return next(pages, { ...state, checkpoint: end, stage: { ...stage, pageToken: nextPageToken, until, held } })
  }
  const read = { ...state, checkpoint: end }
  if (held !== undefined && end.pass !== undefined) {
    const [finished, rest] = yield* finish(source, task, read, end.pass, held)
    return [[...pages, ...finished], rest] as const
  }
  if (end.pass !== undefined) return next(pages, { ...read, listed: true, stage: { _tag: "Pass" } })
  if (end.labels !== undefined) return next(pages, { ...read, stage: { _tag: "Labels" } })
  if (scope.listed && !state.listed) {
    const begun = { ...end, pass: yield* newPass(end.historyId, { initial: false }) }
    return next(pages, { ...read, checkpoint: begun, listed: true, stage: { _tag: "Pass" } })
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

// ---- passes ----------------------------------------------------------------------------------------------------------

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
    return next([], { ...state, checkpoint: held, stage: { _tag: "Changes", start: held.historyId, held: ids } })
  }

  const { listed, download, metKnown } = yield* choose(task, counted, ids)
  const after: Live = { ...checkpoint, pass: { ...counted, metKnown, pageToken: nextPageToken } }
  return next([{ listed, download, ...named(source, current), ...remaining(counted), checkpoint: after }], {
    ...state,
    checkpoint: after
  })
})

/** The last page of a pass, once the history has been read after it. */
const finish = Effect.fnUntraced(function* (
  source: Source,
  task: SyncTask,
  state: State,
  current: Pass,
  ids: ReadonlyArray<string>
): Step<State> {
  const { historyId } = state.checkpoint
  const { listed, download, metKnown } = yield* choose(task, current, ids)
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
  const end: Live = { historyId, ...(walks ? { labels: { after: "" } } : {}) }
  const covers = coversAll(source) && !current.shifted ? { covers: [{ prefix: "" }] } : {}
  const pages = [{ ...page, ...covers, remaining: 0, checkpoint: end }]
  return walks ? next(pages, { ...state, checkpoint: end, stage: { _tag: "Labels" } }) : done(pages)
})

const choose = Effect.fnUntraced(function* (task: SyncTask, current: Pass, ids: ReadonlyArray<string>) {
  const listed = ids.map((externalId) => ({ externalId }))
  const download = yield* ContentExistenceChecker.selectNew(task, listed)
  // In a pass that is made again everything is known: by the pass before.
  const metKnown = current.metKnown || (current.repeated === 0 && download.length < new Set(ids).size)
  return { listed, download, metKnown }
})

/** A message that a filter no longer matches is not gone, so a filtered pass proves no absence. */
const coversAll = ({ filter }: Source): boolean => filter.query === undefined && filter.labelIds === undefined

const named = (source: Source, current: Pass) => (coversAll(source) ? { listing: current.name } : {})

const remaining = (current: Pass) =>
  current.total === undefined ? {} : { remaining: Math.max(0, current.total - current.listed) }

// ---- labels ----------------------------------------------------------------------------------------------------------

const labels = Effect.fnUntraced(function* (
  source: Source,
  state: State,
  opened: Labels.Walk | undefined
): Step<State> {
  const { api, filter, scope } = source
  const { checkpoint } = state
  const current = checkpoint.labels
  if (current === undefined) return done([])
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
    const again: LabelWalk = { after: current.after }
    return yield* refused<State>({ ...state, checkpoint: { ...checkpoint, labels: again }, stage: { _tag: "Labels" } })
  }

  const { walk, nextPageToken, patches } = answer.success
  const { labels: _, ...rest } = checkpoint
  const after: Live =
    nextPageToken !== undefined
      ? { ...rest, labels: { after: current.after, pageToken: nextPageToken, positions: Labels.positions(walk) } }
      : walk.more !== undefined
        ? { ...rest, labels: { after: walk.more } }
        : rest
  const pages = [{ listed: [], download: [], patches, checkpoint: after }]
  if (after.labels === undefined) return done(pages)
  const kept = nextPageToken === undefined ? undefined : walk
  return next(pages, { ...state, checkpoint: after, stage: { _tag: "Labels", walk: kept } })
})

// ---- tasks of their own ----------------------------------------------------------------------------------------------

type OwnState = Own & { readonly refused: number }

/** A forced or windowed task: one listing, and no history. It says nothing of what is absent. */
const own = (
  { api, filter }: Source,
  task: SyncTask,
  from: Own
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  if (from.done) return Stream.empty
  const narrowed = Window.narrow(filter, task.window)
  const pages = (outside: ReadonlySet<string>) =>
    Stream.paginate<OwnState, Page<Checkpoint>, Failure, ContentExistenceChecker>(
      { ...from, refused: 0 },
      Effect.fnUntraced(function* (state): Step<OwnState> {
        const answer = yield* Effect.result(api.messages(narrowed, { pageToken: state.pageToken }))
        if (answer._tag === "Failure") {
          if (state.pageToken === undefined || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
          return yield* refused<OwnState>({ done: false, listed: 0, refused: state.refused })
        }
        const { messages = [], nextPageToken, resultSizeEstimate } = answer.success
        const listed = messages.flatMap(({ id }) => (outside.has(id) ? [] : [{ externalId: id }]))
        const after: Own = {
          done: nextPageToken === undefined,
          listed: state.listed + messages.length,
          ...(nextPageToken === undefined ? {} : { pageToken: nextPageToken })
        }
        const page: Page<Checkpoint> = {
          listed,
          download: yield* ContentExistenceChecker.selectNew(task, listed),
          ...(resultSizeEstimate === undefined ? {} : { remaining: Math.max(0, resultSizeEstimate - after.listed) }),
          checkpoint: after
        }
        return after.done ? done([page]) : next([page], { ...after, refused: state.refused })
      })
    )
  return Stream.unwrap(Effect.map(Window.outside(api, filter, task.window), pages))
}

// ---- steps -----------------------------------------------------------------------------------------------------------

const next = <S>(pages: ReadonlyArray<Page<Checkpoint>>, state: S): Turn<S> => [pages, Option.some(state)]

const done = (pages: ReadonlyArray<Page<Checkpoint>>): Turn<never> => [pages, Option.none()]

/** Google answers 400 to a page token that it no longer takes; 404 is taken for the same. */
const tokenRefused = (error: IntegrationError): boolean =>
  error.reason._tag === "Malformed" || error.reason._tag === "Gone"

/** Goes on from a state without the refused token, a bounded number of times. */
const refused = <S extends { readonly refused: number }>(state: S): Effect.Effect<Turn<S>, IntegrationError> =>
  state.refused < maxRefused
    ? Effect.succeed(next([], { ...state, refused: state.refused + 1 }))
    : Effect.fail(
        new IntegrationError({
          reason: new Transient({ message: "Gmail refuses the page tokens that it has just given" })
        })
      )

/** A listing that is refused as such (a label that isn't there, a query that can't be read) is no bad item. */
const listingError = (error: IntegrationError): IntegrationError =>
  error.reason._tag === "Malformed"
    ? new IntegrationError({ reason: new Forbidden({ message: error.reason.message }) })
    : error
