/** The context of one slice, which its steps share. */
import type { LeasedConnection } from "../model/Connection.ts"
import type { RunId, RunKind } from "../model/Run.ts"
import type { TaskId } from "../model/Task.ts"
import type { RunMeter } from "../telemetry/RunMeter.ts"
import type { SpanStep } from "../telemetry/Spans.ts"
import type { InFlight } from "./InFlight.ts"
import type { StopSignal } from "./StopSignal.ts"
import type { Plan } from "./SyncPlan.ts"

export interface SliceContext {
  /** The connection, with the fence and the state of its lease. */
  readonly connection: LeasedConnection
  /** The run. `taskId` is undefined if it belongs to no task. */
  readonly run: { readonly runId: RunId; readonly taskId: TaskId | undefined; readonly kind: RunKind }
  /** The task whose own checkpoint moves; undefined if the connection's checkpoint moves. */
  readonly checkpointTask: TaskId | undefined
  readonly plan: Plan
  readonly stop: StopSignal
  readonly inflight: InFlight
  readonly meter: RunMeter
  readonly span: SpanStep
}
