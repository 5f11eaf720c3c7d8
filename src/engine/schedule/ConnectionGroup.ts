/**
 * A group of connections as an entity of the cluster: its connections run in the process that owns its shard. A group
 * stays in memory between polls, where an entity for each connection would be built again for each poll.
 */
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Schema from "effect/Schema"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import * as EntityId from "effect/cluster/EntityId"
import * as Sharding from "effect/cluster/Sharding"
import * as Rpc from "effect/rpc/Rpc"
import { ConnectionId } from "../model/Connection.ts"

/** The number of groups: enough to divide the connections evenly among a few dozen processes. */
const groups = 256

// `requested`: a task of the connection is due; without it, a wake-up starts no task. A slice commits complete items
// and can continue in any process, so a process that shuts down interrupts it.
const Wake = Rpc.make("Wake", {
  payload: { connectionId: ConnectionId, requested: Schema.Boolean }
}).annotate(ClusterSchema.InterruptOnTermination, true)

// Hinted parts. `everywhere`: anything else may have changed too. The call returns after the poll that the hints
// caused, if any.
const Hint = Rpc.make("Hint", {
  payload: { connectionId: ConnectionId, parts: Schema.Array(Schema.String), everywhere: Schema.Boolean }
}).annotate(ClusterSchema.InterruptOnTermination, true)

/** The messages of a group. `Hint` and `Wake` name one of its connections. */
export const ConnectionGroup = Entity.make("idem/ConnectionGroup", [Wake, Hint])

const idOf = (connectionId: ConnectionId): string => String(Math.abs(Hash.string(connectionId)) % groups)

/** Returns the clients of the groups, by connection. */
export const client = Effect.map(
  ConnectionGroup.client,
  (clientOf) => (connectionId: ConnectionId) => clientOf(idOf(connectionId))
)

/** Returns true if this process owns the connection's group. */
export const isOwned = (connectionId: ConnectionId): Effect.Effect<boolean, never, Sharding.Sharding> =>
  Effect.flatMap(Sharding.Sharding, (sharding) =>
    Effect.map(ConnectionGroup.getShardId(EntityId.make(idOf(connectionId))), (shard) => sharding.hasShardId(shard))
  )
