/** Downloads a chosen ref. A failure becomes the outcome of the item, or stops the slice if the source is down. */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { AnySession } from "../../contract/Integration.ts"
import * as BodyReader from "./BodyReader.ts"
import * as ContentValidation from "./ContentValidation.ts"
import * as DownloadBudget from "./DownloadBudget.ts"
import { Limits } from "../Limits.ts"
import * as StopSignal from "./StopSignal.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import type { Attributes } from "../telemetry/Spans.ts"
import { BodyStore } from "../store/BodyStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { Download, DownloadEvent, Dropped, NotFetched } from "./SliceEvent.ts"

/** True if the content must be requested: neither the listing nor another content has it. */
const isDownloaded = ({ copyOf, ref }: Download): boolean => ref.content === undefined && copyOf === undefined

/** Content that came with the listing needs no budget: it is already in memory. */
const listedShare: DownloadBudget.Share = {
  size: () => Number.POSITIVE_INFINITY,
  grow: () => Effect.void,
  stream: Effect.void
}

/** The failures of the downloads of a slice so far. */
interface Tally {
  readonly done: number
  readonly failed: number
  /** The number of `Transient` failures in a row. */
  readonly transientInARow: number
}

/** Makes the downloader of one slice. Refusals and too many failures stop the slice. */
export const make = Effect.fnUntraced(function* ({ meter, span, stop }: SliceContext, session: AnySession) {
  const bodies = yield* BodyStore
  const limits = yield* Limits
  const downloads = (yield* DownloadBudget.DownloadBudget).run()
  const tally = yield* Ref.make<Tally>({ done: 0, failed: 0, transientInARow: 0 })

  /** Counts a failed item. If too many items fail, the source is at fault, and the slice stops. */
  const failed = Effect.gen(function* () {
    const { done, failed } = yield* Ref.updateAndGet(tally, (before) => ({
      ...before,
      done: before.done + 1,
      failed: before.failed + 1
    }))
    if (failed >= limits.abortAfter && failed > done * limits.abortShare) {
      const message = `${failed} of ${done} items failed: the run is given up`
      yield* StopSignal.set(stop, { _tag: "GivenUp", message })
    }
    return "failed" as const
  })

  /** Decides the outcome of a failed item, and whether the slice stops. */
  const outcomeOf = Effect.fnUntraced(function* (error: IntegrationError) {
    switch (error.reason._tag) {
      case "Gone":
        return "gone"
      case "Unsettled":
        return "deferred"
      case "RateLimited":
      case "Unauthorized":
        yield* StopSignal.forError(stop, meter, error)
        return (yield* StopSignal.read(stop))?._tag === "Over" ? "dropped" : "deferred"
      case "Transient": {
        const { transientInARow } = yield* Ref.updateAndGet(tally, (before) => ({
          ...before,
          transientInARow: before.transientInARow + 1
        }))
        if (transientInARow < limits.downAfter) return yield* failed
        yield* StopSignal.forError(stop, meter, error)
        return "deferred"
      }
      default:
        return (yield* StopSignal.forError(stop, meter, error)) ? "deferred" : yield* failed
    }
  })

  const read = ({ copyOf, ref }: Download, share: DownloadBudget.Share) => {
    if (copyOf !== undefined) return BodyReader.copy(ref, copyOf)
    // Suspended, because an integration may throw before it returns an effect.
    const given = Effect.suspend(() =>
      ref.content === undefined ? session.download(ref) : Effect.succeed(ref.content)
    )
    return Effect.flatMap(ContentValidation.checked(ref, given), (content) =>
      BodyReader.item(ref, content, { bodies, limits, meter, share })
    )
  }

  const work = Effect.fnUntraced(function* (
    download: Download,
    share: DownloadBudget.Share
  ): Effect.fn.Return<DownloadEvent, StoreError, Scope.Scope> {
    const { flight, origin, page } = download
    const stopReason = yield* StopSignal.read(stop)
    if (stopReason?._tag === "Over") return dropped(download)
    if (stopReason !== undefined) {
      return notFetched(download, "deferred", stopReason._tag === "Refused" ? stopReason.error : givenUp(stopReason))
    }
    const downloads = isDownloaded(download)
    if (downloads) yield* RunMeter.downloading(meter, 1)
    const done = yield* Effect.result(read(download, share))
    if (Result.isSuccess(done)) {
      yield* Ref.update(tally, (before) => ({ ...before, done: before.done + 1, transientInARow: 0 }))
      return { _tag: "Fetched", flight, origin, page, ...done.success }
    }
    const error = done.failure
    if (error._tag !== "IntegrationError") return yield* error
    const outcome = yield* outcomeOf(error)
    if (outcome !== "dropped") return notFetched(download, outcome, error)
    // The download was waiting for quota and had not begun.
    if (downloads) yield* RunMeter.downloading(meter, -1)
    return dropped(download)
  })

  return (download: Download): Effect.Effect<DownloadEvent, StoreError> => {
    const { flight, origin, ref } = download
    const isFetched = isDownloaded(download)
    // Once its item is complete, the download's scope closes and its share of the memory is released.
    const scoped = Effect.scoped(
      isFetched ? Effect.flatMap(downloads.begin, (share) => work(download, share)) : work(download, listedShare)
    )
    const traced = isFetched
      ? span("download", { "idem.external_id": ref.externalId, "idem.origin": origin }, scoped, attributesOf)
      : scoped
    return flight.after === undefined ? traced : Effect.andThen(flight.after.ended, traced)
  }
})

const dropped = ({ flight, origin, page }: Download): Dropped => ({ _tag: "Dropped", flight, origin, page })

const notFetched = (
  { flight, origin, page, ref }: Download,
  outcome: NotFetched["outcome"],
  error: IntegrationError
): NotFetched => ({
  _tag: "NotFetched",
  flight,
  origin,
  page,
  externalId: ref.externalId,
  revision: ref.revision,
  outcome,
  reason: error.reason._tag,
  message: error.message
})

/** The outcome of a download as attributes of its span. A failure belongs to the item: the span itself succeeds. */
const attributesOf = (done: DownloadEvent): Attributes =>
  done._tag === "Fetched"
    ? { "idem.outcome": "fetched", "idem.bytes": BodyReader.size(done.item) }
    : done._tag === "NotFetched"
      ? { "idem.outcome": done.outcome, "idem.reason": done.reason }
      : { "idem.outcome": "dropped" }

const givenUp = ({ message }: { readonly message: string }) =>
  new IntegrationError({ reason: new Transient({ message }) })
