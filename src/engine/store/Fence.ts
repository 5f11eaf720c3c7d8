/**
 * The fence: the right to write for a connection. `LeaseStore.acquire` takes a new fence, which invalidates all earlier
 * ones. Every transaction that writes for a run checks its fence first.
 */
import * as Schema from "effect/Schema"
import { type Connection, ConnectionId } from "../model/Connection.ts"

export interface Fence {
  readonly connectionId: ConnectionId
  readonly fence: bigint
}

export const fenceOf = ({ fence, id }: Pick<Connection, "id" | "fence">): Fence => ({ connectionId: id, fence })

/** The fence is no longer current. Nothing was written. */
export class Superseded extends Schema.TaggedError<Superseded>()("Superseded", { connectionId: ConnectionId }) {
  override get message(): string {
    return "another run took over this connection, it was changed or removed, or the database failed over"
  }
}
