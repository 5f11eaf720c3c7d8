/**
 * Implements `list`: the changes since the checkpoint, then the pass or the label walk from its position in the
 * checkpoint.
 *
 * The protocol, in the order of Google's guide (https://developers.google.com/workspace/gmail/api/guides/sync):
 *
 * 1. The watermark (the mailbox's history id) is read BEFORE a pass begins, so that messages that arrive during the
 *    pass are in the history after it.
 * 2. A pass lists everything, newest first. Each call of `list` with an unfinished pass begins with the changes, so a
 *    long backfill never delays new mail.
 * 3. Before the last page of a pass is emitted, the history is read once more. If messages left the listing during the
 *    pass, pages may have shifted past messages that were never shown: the pass is repeated, which is cheap because of
 *    the checker. Only a pass without such shifts covers everything.
 * 4. From then on a poll is one `history.list`. An expired history is `CheckpointExpired`, and is never skipped: the
 *    engine lists in full, and the messages that are already known get their labels from a label walk.
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
