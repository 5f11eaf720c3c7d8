/** On whose behalf a fiber works: the edges (store and source) see it, and the engine does not. */
import * as Context from "effect/Context"

/** The answers of the source to a slice that the status of its run must reflect. */
interface Told {
  problems: number
  failedItems: number
}

export interface Caller {
  readonly process: { dead: boolean; frozenUntil: number; readonly name: string }
  readonly kind: "poll" | "person"
  /** A dry run: it may write nothing. */
  readonly isDry: boolean
  /** When it began, in ticks. */
  readonly since: number
  /** True once a fault, or a freeze, met one of its calls of the store. */
  isStruck: boolean
  /** Of the slice that it runs now. */
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
