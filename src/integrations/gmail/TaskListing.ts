import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Page } from "../../contract/Page.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import type { Checkpoint, TaskProgress } from "./Checkpoint.ts"
import { done, listingError, next, refused, tokenRefused, type Failure, type Source, type Step } from "./ListingStep.ts"
import * as TaskWindow from "./TaskWindow.ts"

type State = TaskProgress & { readonly refused: number }

/** A forced or windowed task: one listing, and no history. It says nothing of what is absent. */
export const list = (
  { api, filter }: Source,
  task: SyncTask,
  from: TaskProgress
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  if (from.done) return Stream.empty
  const narrowed = TaskWindow.narrow(filter, task.window)
  const pages = (outside: ReadonlySet<string>) =>
    Stream.paginate<State, Page<Checkpoint>, Failure, ContentExistenceChecker>(
      { ...from, refused: 0 },
      Effect.fnUntraced(function* (state): Step<State> {
        const answer = yield* Effect.result(api.messages(narrowed, { pageToken: state.pageToken }))
        if (answer._tag === "Failure") {
          if (state.pageToken === undefined || !tokenRefused(answer.failure)) return yield* listingError(answer.failure)
          return yield* refused<State>({ done: false, listed: 0, refused: state.refused })
        }
        const { messages = [], nextPageToken, resultSizeEstimate } = answer.success
        const listed = messages.flatMap(({ id }) => (outside.has(id) ? [] : [{ externalId: id }]))
        const after: TaskProgress = {
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
  return Stream.unwrap(Effect.map(TaskWindow.outside(api, filter, task.window), pages))
}
