/** The caller on whose behalf a fiber runs: visible to the store and the source, but not to the engine. */
import * as Context from "effect/Context"

/** The source's responses to a slice that the status of the slice's run must reflect. */
interface Told {
  problems: number
  failedItems: number
}

export interface Caller {
  readonly process: { dead: boolean; frozenUntil: number; readonly name: string }
  readonly kind: "poll" | "person"
  /** True for a dry run, which must not write anything. */
  readonly isDry: boolean
  /** The tick at which the caller began. */
  readonly since: number
  /** True after a fault or a freeze affected one of the caller's store calls. */
  isStruck: boolean
  /** The responses to the present slice. */
  told: Told
}

const nobody: Caller = {
  process: { dead: false, frozenUntil: 0, name: "nobody" },
  kind: "person",
  isDry: false,
  since: 0,
  isStruck: false,
  told: { problems: 0, failedItems: 0 }
}

export const Caller = Context.Reference<Caller>("idem/test/simulation/Caller", { defaultValue: () => nobody })
