/** The store of runs: their status, counts, problems and notes. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type { ConnectionId } from "../model/Connection.ts"
import type { Hour, Run, RunId, RunKind, RunStatus } from "../model/Run.ts"
import type { Counts } from "../model/RunCounts.ts"
import type { TaskId } from "../model/Task.ts"
import type { Fence, Superseded } from "./Fence.ts"
import type { StoreError } from "./StoreError.ts"

export class RunStore extends Context.Service<
  RunStore,
  {
    /**
     * Inserts the run's row with the status `running`. The caller chooses `runId`, so that a quiet run needs no row,
     * and a repeated call after a lost response changes nothing.
     */
    readonly beginRun: (
      fence: Fence,
      run: { readonly runId: RunId; readonly taskId: TaskId | undefined; readonly kind?: RunKind | undefined }
    ) => Effect.Effect<void, StoreError | Superseded>
    readonly finishRun: (
      fence: Fence,
      run: {
        readonly runId: RunId
        readonly status: Exclude<RunStatus, "running" | "interrupted">
        /** Added to the counts: calls, units and queries since the last batch. */
        readonly counts: Partial<Counts>
        readonly notes: ReadonlyArray<string>
        readonly error: Run["error"]
      }
    ) => Effect.Effect<void, StoreError | Superseded>
    readonly run: (runId: RunId) => Effect.Effect<Option.Option<Run>, StoreError>
    /** Returns the last runs, newest first. */
    readonly runs: (connectionId: ConnectionId, limit: number) => Effect.Effect<ReadonlyArray<Run>, StoreError>
    /**
     * Removes runs that ended longer ago than this, except the last run of each connection, and tasks without progress
     * for that long, except queued ones. Returns the number of runs removed.
     */
    readonly pruneRuns: (olderThan: Duration.Duration) => Effect.Effect<number, StoreError>
    /**
     * Returns the last `hours` hours (UTC) including the current one, oldest first. Hours without a run are included.
     */
    readonly statistics: (connectionId: ConnectionId, hours: number) => Effect.Effect<ReadonlyArray<Hour>, StoreError>
  }
>()("idem/engine/store/RunStore") {}
