/** Turns the failures of a run into reasons and messages for people and scripts. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type { ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import * as MessageText from "../MessageText.ts"
import * as ConfigErrors from "../source/ConfigErrors.ts"
import type { NotOpenable } from "../source/OpenSource.ts"
import type { Stalled } from "../locks/Lease.ts"
import type { Failure } from "../model/Task.ts"
import type { Superseded } from "../store/Fence.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { TaskRemoved } from "./TaskQueue.ts"

/** Tells a person where to find the stack of a defect. */
const log = "its text and stack are in the log (standard error; of createIdem, the option `log`)"

/** Returns the name and the message of a failure. The text of a defect may contain a secret, so it is not shown. */
const ofCause = (cause: Cause.Cause<RunError>): Failure => {
  const found = Cause.findErrorOption(cause)
  if (Option.isSome(found)) return of(found.value)
  const what = MessageText.defect(Cause.squash(cause))
  return { reason: "Defect", message: `a fault in Idem or in the integration ended the run: ${what}; ${log}` }
}

/** Runs a step, and returns its value or its failure. An interruption is passed on. */
export const capture = <A, R>(
  step: Effect.Effect<A, RunError, R>
): Effect.Effect<Result.Result<A, Failure>, never, R> =>
  Effect.catchCause(Effect.map(step, Result.succeed), (cause) => {
    if (Cause.hasInterruptsOnly(cause)) return Effect.interrupt
    const logged = Cause.hasDies(cause) ? Effect.logError("the run ended with a defect", cause) : Effect.void
    return Effect.as(logged, Result.fail(ofCause(cause)))
  })

/** Returns an error of a run as people and scripts see it. */
export const of = (error: RunError): Failure => {
  switch (error._tag) {
    case "IntegrationError":
      return { reason: error.reason._tag, message: error.message }
    case "NotOpenable":
      return { reason: error.reason, message: error.message }
    case "SchemaError":
      // The error may come from decoding credentials, so its text is not repeated.
      return {
        reason: "Config",
        message: `what is stored for the connection no longer fits: ${ConfigErrors.explain(error.issue, { secret: true })}`
      }
    default:
      return { reason: error._tag, message: error.message }
  }
}

/** All errors with which a run can fail. */
export type RunError =
  | IntegrationError
  | ContentExistenceCheckerError
  | StoreError
  | Superseded
  | Stalled
  | NotOpenable
  | TaskRemoved
  | Schema.SchemaError
