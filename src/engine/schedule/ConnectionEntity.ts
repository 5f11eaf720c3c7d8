/** A connection as an entity of the cluster, addressed by its id: it runs in the process that owns its shard. */
import * as Schema from "effect/Schema"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Entity from "effect/cluster/Entity"
import * as Rpc from "effect/rpc/Rpc"

// `requested`: a task of the connection is due; without it, a wake-up starts no task. A slice commits complete items
// and can continue in any process, so a process that shuts down interrupts it.
const Wake = Rpc.make("Wake", { payload: { requested: Schema.Boolean } }).annotate(
  ClusterSchema.InterruptOnTermination,
  true
)

// Hinted parts. `everywhere`: anything else may have changed too. The call returns after the poll that the hints
// caused, if any.
const Hint = Rpc.make("Hint", {
  payload: { parts: Schema.Array(Schema.String), everywhere: Schema.Boolean }
}).annotate(ClusterSchema.InterruptOnTermination, true)

export const ConnectionEntity = Entity.make("idem/Connection", [Wake, Hint])
