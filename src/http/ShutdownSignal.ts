/**
 * Signals that the server is shutting down: then waiting readers get a response at once, and connections are not kept
 * alive. cli/Shutdown.ts handles SIGTERM.
 */
import * as Context from "effect/Context"
import * as Latch from "effect/Latch"

/** Opens when the shutdown begins. */
export const Stopping = Context.Reference<Latch.Latch>("idem/http/ShutdownSignal", {
  defaultValue: () => Latch.makeUnsafe(false)
})
