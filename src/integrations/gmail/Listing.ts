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
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { isLive, type SyncTask } from "../../contract/SyncTask.ts"
import type { Checkpoint } from "./Checkpoint.ts"
import * as History from "./History.ts"
import * as LabelRebuild from "./LabelRebuild.ts"
import { type Failure, type Source, type State, type StepResult } from "./ListingStep.ts"
import * as FullSync from "./FullSync.ts"
import * as TaskListing from "./TaskListing.ts"

export const list = (
  source: Source,
  task: SyncTask,
  checkpoint: Option.Option<Checkpoint>
): Stream.Stream<Page<Checkpoint>, Failure, ContentExistenceChecker> => {
  const from = Option.getOrUndefined(checkpoint)
  if (!isLive(task)) {
    return TaskListing.list(source, task, from !== undefined && "done" in from ? from : { done: false, listed: 0 })
  }
  const fresh = { before: new Set<string>(), refused: 0 }
  const live: Effect.Effect<State, IntegrationError> =
    from !== undefined && "historyId" in from
      ? Effect.succeed({ ...fresh, checkpoint: from, stage: { _tag: "History" }, hasPassed: false })
      : Effect.map(FullSync.begin(source.api), (begun) => ({
          ...fresh,
          checkpoint: begun,
          stage: { _tag: "Pass" },
          hasPassed: true
        }))
  return Stream.unwrap(Effect.map(live, (state) => Stream.paginate(state, (state) => step(source, task, state))))
}

const step = (
  source: Source,
  task: SyncTask,
  state: State
): Effect.Effect<StepResult<State>, Failure, ContentExistenceChecker> => {
  const { stage } = state
  switch (stage._tag) {
    case "History":
      return History.read(source, state, stage)
    case "Changes":
      return History.changes(source, task, state, stage)
    case "Pass":
      return FullSync.page(source, task, state)
    case "End":
      return FullSync.end(source, task, state, stage.lastPage)
    case "Labels":
      return LabelRebuild.step(source, state, stage.walk)
  }
}
