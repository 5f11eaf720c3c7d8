/** Why a slice begins nothing more. What is under way is finished and kept. */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import type { IntegrationError, Reason as ErrorReason } from "../../contract/IntegrationError.ts"
import * as RunMeter from "./RunMeter.ts"

export type Reason =
  /** Its time is up, or its account's quota is until then: nothing of what it did not reach is counted or kept. */
  | { readonly _tag: "Over" }
  /** The source refused, or is down: what it did not reach is deferred. */
  | { readonly _tag: "Refused"; readonly error: IntegrationError }
  /** Too many items failed: it is not the items. */
  | { readonly _tag: "GivenUp"; readonly message: string }

/** The reason why a slice stops, if it does. The listing fiber and the download fibers of the slice share it. */
export type StopSignal = Ref.Ref<Reason | undefined>

export const make: Effect.Effect<StopSignal> = Ref.make<Reason | undefined>(undefined)

export const read: (stop: StopSignal) => Effect.Effect<Reason | undefined> = Ref.get

/** Halts the slice. The first reason stands, but for one that says only that its time is up. */
export const set = (stop: StopSignal, reason: Reason): Effect.Effect<void> =>
  Ref.update(stop, (before) => (before === undefined || before._tag === "Over" ? reason : before))

/** Reasons for which the whole source is left alone. Any other reason of a listing says nothing about single items. */
const refusals: ReadonlySet<ErrorReason["_tag"]> = new Set(["Unauthorized", "RateLimited", "Transient"])

/**
 * Halts the slice for an error that concerns the whole source, and says whether it does. Where our own budget was used
 * up, the source has refused nothing: the slice is over.
 */
export const forError = Effect.fnUntraced(function* (
  stop: StopSignal,
  meter: RunMeter.RunMeter,
  error: IntegrationError
) {
  if (!refusals.has(error.reason._tag)) return false
  const { exhausted } = yield* RunMeter.read(meter)
  const isOurs = error.reason._tag === "RateLimited" && exhausted !== undefined
  yield* set(stop, isOurs ? { _tag: "Over" } : { _tag: "Refused", error })
  return true
})

/** True if the source is down: the failures of its items are not theirs. */
export const isDown = (reason: Reason | undefined): boolean =>
  reason?._tag === "GivenUp" || (reason?._tag === "Refused" && reason.error.reason._tag === "Transient")
