/** What becomes of one chosen ref, and what its failure says about the source. */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { AnySession } from "../../contract/Integration.ts"
import * as BodyReader from "./BodyReader.ts"
import type * as DownloadBudget from "./DownloadBudget.ts"
import type { Limits } from "../Limits.ts"
import { type Meter, touch } from "./RunMeter.ts"
import type { Attributes, Spanning } from "../telemetry/Spans.ts"
import type { Store, StoreError } from "../Store.ts"
import type * as PageReader from "./PageReader.ts"
import type { Download, Dropped, Missed, Stored } from "./SliceEvent.ts"

/** What became of a download. */
export type Result = Stored | Missed | Dropped

/** Content that the listing gave is in memory with its page already: it takes nothing of the budget. */
const listedShare: DownloadBudget.Share = {
  size: () => Number.POSITIVE_INFINITY,
  grow: () => Effect.void,
  stream: Effect.void
}

/** Fetches refs for one slice; refusals and too many failures halt it. */
export const make = (options: {
  readonly session: AnySession
  readonly store: Store["Service"]
  readonly limits: Limits
  readonly budget: DownloadBudget.Budget
  readonly meter: Meter
  readonly state: PageReader.State
  readonly span: Spanning
}) => {
  const { budget, limits, meter, session, span, state, store } = options
  const downloads = budget.run()
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

  return ({ flight, origin, page, ref }: Download): Effect.Effect<Result, StoreError> => {
    const occurrence = { origin, flight, page }
    const dropped = { ...occurrence, _tag: "Dropped", externalId: ref.externalId } as const
    const missed = (outcome: "failed" | "deferred" | "gone", error: IntegrationError): Missed => ({
      ...occurrence,
      _tag: "Missed",
      externalId: ref.externalId,
      revision: ref.revision,
      outcome,
      reason: error.reason._tag,
      message: error.message
    })
    const attempt = Effect.fnUntraced(function* (share: DownloadBudget.Share) {
      if (state.halt?._tag === "Over") return dropped
      if (state.halt?._tag === "Yield") return missed("deferred", state.halt.error)
      if (state.halt?._tag === "Abort") return missed("deferred", aborted(state.halt.message))
      if (ref.content === undefined) meter.downloads += 1
      return yield* (ref.content === undefined ? session.download(ref) : Effect.succeed(ref.content)).pipe(
        Effect.flatMap((content) => BodyReader.item(ref, content, { store, limits, meter, share })),
        Effect.map((item): Result => {
          failuresInARow = 0
          done += 1
          return { ...occurrence, _tag: "Stored", item }
        }),
        Effect.catchTag("IntegrationError", (error): Effect.Effect<Result> => {
          const outcome = outcomeOf(error)
          if (outcome !== "dropped") return Effect.succeed(missed(outcome, error))
          // It waited for quota and never began.
          if (ref.content === undefined) meter.downloads -= 1
          return Effect.succeed(dropped)
        })
      )
    })
    // What the download opens is closed, and what it holds given back, once its item is whole.
    const fetch = Effect.scoped(
      ref.content === undefined
        ? Effect.flatMap(downloads.begin, (share) => Effect.andThen(touch(meter), attempt(share)))
        : attempt(listedShare)
    )
    const told =
      ref.content === undefined
        ? span("download", { "idem.external_id": ref.externalId, "idem.origin": origin }, fetch, said)
        : fetch
    return flight.after === undefined ? told : Effect.andThen(Deferred.await(flight.after.ended), told)
  }
}

/** What became of a download. That it failed is the item's outcome, and no failure of the span. */
const said = (done: Result): Attributes =>
  done._tag === "Stored"
    ? { "idem.outcome": "fetched", "idem.bytes": BodyReader.size(done.item) }
    : done._tag === "Missed"
      ? { "idem.outcome": done.outcome, "idem.reason": done.reason }
      : { "idem.outcome": "dropped" }

const aborted = (message: string) => new IntegrationError({ reason: new Transient({ message }) })
