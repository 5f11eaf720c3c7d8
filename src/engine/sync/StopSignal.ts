/** Why a slice begins no more work. Downloads in flight are completed and kept. */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type { IntegrationError, Reason as ErrorReason } from "../../contract/IntegrationError.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"

export type Reason =
  /**
   * The slice's time is up, or the account's quota is used up for the rest of it. Items that were not reached are
   * neither counted nor recorded.
   */
  | { readonly _tag: "Over" }
  /** The source refused, or is down. Items that were not reached are deferred. */
  | { readonly _tag: "Refused"; readonly error: IntegrationError }
  /** Too many items failed, so the source must be at fault. */
  | { readonly _tag: "GivenUp"; readonly message: string }

/** The reason why a slice stops; undefined while it does not. The listing fiber and the download fibers share it. */
export type StopSignal = Ref.Ref<Reason | undefined>

export const make: Effect.Effect<StopSignal> = Ref.make<Reason | undefined>(undefined)

export const read: (stop: StopSignal) => Effect.Effect<Reason | undefined> = Ref.get

/** Stops the slice. The first reason is kept, unless it is `Over`: then the next reason replaces it. */
export const set = (stop: StopSignal, reason: Reason): Effect.Effect<void> =>
  Ref.update(stop, (before) => (before === undefined || before._tag === "Over" ? reason : before))

const refusals: ReadonlySet<ErrorReason["_tag"]> = new Set(["Unauthorized", "RateLimited", "Transient"])

/** Returns true for a reason that concerns the whole source. */
const isRefusal = (reason: ErrorReason): boolean =>
  refusals.has(reason._tag) || (reason._tag === "Forbidden" && reason.ofAccount === true)

/**
 * Stops the slice if the error concerns the whole source. Returns true in that case. If Idem's own budget is used up,
 * the source has refused nothing: then the slice is over.
 */
export const forError = Effect.fnUntraced(function* (
  stop: StopSignal,
  meter: RunMeter.RunMeter,
  error: IntegrationError
) {
  if (!isRefusal(error.reason)) return false
  const { exhausted } = yield* RunMeter.read(meter)
  const isOurs = error.reason._tag === "RateLimited" && exhausted !== undefined
  yield* set(stop, isOurs ? { _tag: "Over" } : { _tag: "Refused", error })
  return true
})

/** Returns true if the source is down, so that item failures are not the items' fault. */
export const isDown = (reason: Reason | undefined): boolean =>
  reason?._tag === "GivenUp" || (reason?._tag === "Refused" && reason.error.reason._tag === "Transient")
