/** Told when the server stops: who waits for something answers at once, and connections are not kept alive. */
import * as Context from "effect/Context"
import * as Latch from "effect/Latch"

/** Open from then on. */
export const Stopping = Context.Reference<Latch.Latch>("idem/http/ShutdownSignal", {
  defaultValue: () => Latch.makeUnsafe(false)
})
