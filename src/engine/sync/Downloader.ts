/** What becomes of one chosen ref, and what its failure says about the source. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { AnySession } from "../../contract/Integration.ts"
import type { Done } from "./BatchWriter.ts"
import * as BodyReader from "./BodyReader.ts"
import type { Limits } from "../Limits.ts"
import type { Meter } from "./RunMeter.ts"
import type { Attributes, Spanning } from "../telemetry/Spans.ts"
import type { Store, StoreError } from "../Store.ts"
import type * as PageReader from "./PageReader.ts"

/** Fetches refs for one slice; refusals and too many failures halt it. */
export const make = (options: {
  readonly session: AnySession
  readonly store: Store["Service"]
  readonly limits: Limits
  readonly meter: Meter
  readonly state: PageReader.State
  readonly span: Spanning
}) => {
  const { limits, meter, session, span, state, store } = options
  let failuresInARow = 0
  let failures = 0
  let done = 0

  /** A failure of one item; where too many of them fail, it is not the items. */
  const failed = () => {
    failures += 1
    done += 1
    if (failures >= limits.abortAfter && failures > done * limits.abortShare) {
      state.halt ??= { _tag: "Abort", message: `${failures} of ${done} items failed: the run is given up` }
    }
    return "failed" as const
  }

  const outcomeOf = (error: IntegrationError): "failed" | "deferred" | "gone" | "dropped" => {
    switch (error.reason._tag) {
      case "Gone":
        return "gone"
      case "Unsettled":
        return "deferred"
      case "RateLimited":
        if (meter.exhausted !== undefined) {
          state.halt ??= { _tag: "Over" }
          state.more = true
          return "dropped"
        }
        state.halt = { _tag: "Yield", error }
        return "deferred"
      case "Unauthorized":
        state.halt = { _tag: "Yield", error }
        return "deferred"
      case "Transient":
        failuresInARow += 1
        if (failuresInARow < limits.downAfter) return failed()
        state.halt = { _tag: "Yield", error }
        return "deferred"
      default:
        return failed()
    }
  }

  return ({ flight, origin, page, ref }: PageReader.Fetch): Effect.Effect<Done, StoreError> => {
    const occurrence = { origin, flight, page }
    const dropped = { ...occurrence, _tag: "Dropped", externalId: ref.externalId } as const
    const missed = (outcome: "failed" | "deferred" | "gone", error: IntegrationError): Done => ({
      ...occurrence,
      _tag: "Missed",
      externalId: ref.externalId,
      revision: ref.revision,
      outcome,
      reason: error.reason._tag,
      message: error.message
    })
    const fetch = Effect.suspend(() => {
      if (state.halt?._tag === "Over") return Effect.succeed(dropped)
      if (state.halt?._tag === "Yield") return Effect.succeed(missed("deferred", state.halt.error))
      if (state.halt?._tag === "Abort") return Effect.succeed(missed("deferred", aborted(state.halt.message)))
      if (ref.content === undefined) meter.downloads += 1
      return (ref.content === undefined ? session.download(ref) : Effect.succeed(ref.content)).pipe(
        Effect.flatMap((content) => BodyReader.item(ref, content, { store, limits, meter })),
        Effect.map((item): Done => {
          failuresInARow = 0
          done += 1
          return { ...occurrence, _tag: "Stored", item }
        }),
        Effect.catchTag("IntegrationError", (error) => {
          const outcome = outcomeOf(error)
          if (outcome !== "dropped") return Effect.succeed(missed(outcome, error))
          // It waited for quota and never began.
          if (ref.content === undefined) meter.downloads -= 1
          return Effect.succeed(dropped)
        })
      )
    })
    const told =
      ref.content === undefined
        ? span("download", { "idem.external_id": ref.externalId, "idem.origin": origin }, fetch, said)
        : fetch
    return flight.after === undefined ? told : Effect.andThen(Deferred.await(flight.after.settled), told)
  }
}

/** What became of a download. That it failed is the item's outcome, and no failure of the span. */
const said = (done: Done): Attributes =>
  done._tag === "Stored"
    ? { "idem.outcome": "fetched", "idem.bytes": BodyReader.size(done.item) }
    : done._tag === "Missed"
      ? { "idem.outcome": done.outcome, "idem.reason": done.reason }
      : { "idem.outcome": "dropped" }

const aborted = (message: string) => new IntegrationError({ reason: new Transient({ message }) })
