/**
 * Lists for a forced or windowed task: one listing, without the history. It reports no absence.
 *
 * A window becomes a Gmail query. `after:` and `before:` take whole seconds since the epoch, and Google documents
 * neither whether they are inclusive nor anything finer (https://support.google.com/mail/answer/7190). So the query
 * asks for up to a second more, and messages at the edges of the window are checked one by one.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Page } from "../../contract/Page.ts"
import type { SyncTask, Window } from "../../contract/SyncTask.ts"
import { type Api, pageSize } from "./Api.ts"
import type { Filter } from "./Config.ts"
import type { Checkpoint, TaskProgress } from "./Checkpoint.ts"
import type { Cursor } from "./LabelCursor.ts"
import * as MessagePages from "./MessagePages.ts"
import { done, listingError, next, refused, tokenRefused, type Failure, type Source, type Step } from "./ListingStep.ts"

/** The most messages that are checked at each edge (20 units each). Beyond it, up to a second too much is listed. */
const maxLookedAt = 100

const joined = (query: string | undefined, terms: ReadonlyArray<string>): string =>
  [...(query === undefined ? [] : [`(${query})`]), ...terms].join(" ")

/** Returns the filter with the window in its query: all of the window, and at most a second more at each edge. */
const narrow = (filter: Filter, window: Window | undefined): Filter => {
  if (window === undefined) return filter
  return {
    ...filter,
    query: joined(filter.query, [
      ...(window.since === undefined ? [] : [`after:${Math.floor(seconds(window.since)) - 1}`]),
      ...(window.until === undefined ? [] : [`before:${Math.ceil(seconds(window.until))}`])
    ])
  }
}

/** Returns ids that the narrowed filter may list although they are outside the window. One list call for each edge. */
const outsideOf = Effect.fnUntraced(function* (api: Api, filter: Filter, window: Window | undefined) {
  const ids = new Set<string>()
  const edges = [
    ...(window?.since === undefined ? [] : [{ at: window.since, lies: (time: number, at: number) => time < at }]),
    ...(window?.until === undefined ? [] : [{ at: window.until, lies: (time: number, at: number) => time >= at }])
  ]
  for (const { at, lies } of edges) {
    const second = Math.floor(seconds(at))
    const query = joined(filter.query, [`after:${second - 2}`, `before:${second + 2}`])
    const near = yield* api.messages({ ...filter, query }, { maxResults: pageSize })
    if ((near.messages ?? []).length > maxLookedAt) continue
    for (const { id } of near.messages ?? []) {
      const message = yield* Effect.catch(api.message(id), (error) =>
        error.reason._tag === "Gone" ? Effect.succeed(undefined) : Effect.fail(error)
      )
      if (message?.internalDate !== undefined && lies(Number(message.internalDate), DateTime.toEpochMillis(at))) {
        ids.add(id)
      }
    }
  }
  return ids
})

const seconds = (at: DateTime.Utc): number => DateTime.toEpochMillis(at) / 1000

/** The progress of the listing, and the list of chats once it was opened. */
interface State {
  readonly progress: TaskProgress
  readonly refused: number
  readonly chats: Cursor | undefined
}

export const list = (
  { api, filter }: Source,
  task: SyncTask,
  from: TaskProgress
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  if (from.done) return Stream.empty
  const source = { api, filter: narrow(filter, task.window) }
  const pages = (outside: ReadonlySet<string>) =>
    Stream.paginate<State, Page<Checkpoint>, Failure, ContentExistenceChecker>(
      { progress: from, refused: 0, chats: undefined },
      Effect.fnUntraced(function* ({ progress, ...state }): Step<State> {
        const answer = yield* Effect.result(MessagePages.read(source, progress, state.chats))
        if (answer._tag === "Failure") {
          if (progress.pageToken === undefined || !tokenRefused(answer.failure)) {
            return yield* listingError(answer.failure)
          }
          const again = { progress: { done: false, listed: 0 }, chats: undefined }
          return yield* refused<State>({ ...again, refused: state.refused })
        }
        const { all, chats, ids, nextPageToken, position, resultSizeEstimate } = answer.success
        const listed = ids.flatMap((id) => (outside.has(id) ? [] : [{ externalId: id }]))
        const after: TaskProgress = {
          done: nextPageToken === undefined,
          listed: progress.listed + all.length,
          ...(nextPageToken === undefined ? {} : { pageToken: nextPageToken, ...position })
        }
        const page: Page<Checkpoint> = {
          listed,
          download: yield* ContentExistenceChecker.selectNew(task, listed),
          ...(resultSizeEstimate === undefined ? {} : { remaining: Math.max(0, resultSizeEstimate - after.listed) }),
          checkpoint: after
        }
        return after.done ? done([page]) : next([page], { ...state, progress: after, chats })
      })
    )
  return Stream.unwrap(Effect.map(outsideOf(api, filter, task.window), pages))
}
