/** Checks the fence of a run. */
import * as Effect from "effect/Effect"
import { type Fence, Superseded } from "../../engine/store/Fence.ts"
import type { ConnectionEntry, State } from "./State.ts"

/** Returns the connection if the fence is current; otherwise fails with `Superseded`. */
export const fenced = (state: State, fence: Fence): Effect.Effect<ConnectionEntry, Superseded> => {
  const entry = state.connections.get(fence.connectionId)
  return entry === undefined || entry.fence !== fence.fence
    ? Effect.fail(new Superseded({ connectionId: fence.connectionId }))
    : Effect.succeed(entry)
}
