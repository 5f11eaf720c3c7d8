/** Whether this process can do its work: what a load balancer or an orchestrator asks. */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Why not, for a person. */
export class NotReady extends Schema.TaggedError<NotReady>()("NotReady", { message: Schema.String }) {}

export class Ready extends Context.Service<
  Ready,
  {
    /** Succeeds while connections are polled and the database answers. It answers within a few seconds. */
    readonly check: Effect.Effect<void, NotReady>
  }
>()("idem/http/Ready") {}
