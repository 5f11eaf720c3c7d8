/**
 * The pages of a slice, as the integration lists them: first the changes, then a listing, which continues the backfill.
 * Pages are pulled, and end with the slice. If the source no longer accepts the checkpoint, it is listed in full.
 */
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Schema from "effect/Schema"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { IntegrationError, Malformed } from "../../contract/IntegrationError.ts"
import type { AnySession } from "../../contract/Integration.ts"
import type { Page } from "../../contract/Page.ts"
import { Limits } from "../Limits.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"
import * as Deletions from "./Deletions.ts"
import * as StopSignal from "./StopSignal.ts"
import type { PartReader } from "./PartReader.ts"
import type { SliceContext } from "./SliceContext.ts"
import type { ListingEnded } from "./SliceEvent.ts"

export interface Listed {
  /** The number of the page, from 1. */
  readonly number: number
  readonly page: Page<Schema.Json>
  /** True for the first page of a listing without a checkpoint: the stored parts of other listings are removed. */
  readonly forgetsParts: boolean
}

export type ListingError = IntegrationError | ContentExistenceCheckerError

export interface Listing {
  /** Returns the next page; `Option.none` if this slice lists no more. */
  readonly next: Effect.Effect<Option.Option<Listed>, ListingError>
  /** Stops the listing for this slice: the next slice continues at the last checkpoint. */
  readonly leave: () => void
  /** Returns the state in which the listing ended. */
  readonly ended: () => ListingEnded
}

/**
 * The failure of a listing that would never end: each slice would list the same pages again, at full speed. A listing
 * without new items is valid as long as its checkpoint or one of its parts moves.
 */
export const repeated = (pages: number) =>
  new IntegrationError({
    reason: new Malformed({
      message: `the listing repeats itself: ${pages} pages with nothing new, and the checkpoint has not moved`
    })
  })

/** The failure of a sync whose slices list the same pages again and again (see `Repetition`). */
export const endless = (slices: number) =>
  new IntegrationError({
    reason: new Malformed({
      message: `the listing repeats itself: ${slices} slices in a row listed the same pages, with nothing new in them`
    })
  })

interface State extends Omit<ListingEnded, "_tag"> {
  readonly isRestarted: boolean
  readonly forgetsParts: boolean
  /** True if the source has no more pages, or can't be listed. */
  readonly isEnded: boolean
  readonly isLeft: boolean
}

const attributesOf = (page: Option.Option<Page<Schema.Json>>) =>
  Option.isNone(page)
    ? { "idem.end": true }
    : {
        "idem.listed": page.value.listed.length,
        "idem.new": page.value.download.length,
        "idem.deleted": page.value.deleted?.length ?? 0
      }

export const make = Effect.fnUntraced(function* (
  { meter, plan, span, stop }: SliceContext,
  options: {
    readonly session: AnySession
    readonly checker: ContentExistenceChecker["Service"]
    readonly parts: PartReader
  }
): Effect.fn.Return<Listing, never, Scope.Scope> {
  const { checker, parts, session } = options
  const limits = yield* Limits
  const scope = yield* Effect.scope
  const endsAt = (yield* RunMeter.monotonicMillis) + Duration.toMillis(limits.sliceTime)

  const open = (checkpoint: Option.Option<Schema.Json>) =>
    session.list(plan.task, checkpoint, parts.parts).pipe(
      Stream.rechunk(1),
      Stream.provideService(ContentExistenceChecker, checker),
      Stream.toChannel,
      // Unlike `Stream.toPull`, this pulls in the context of the pulling fiber, so that requests are within the span of
      // the page.
      (channel) => Channel.toPullScoped(channel, scope)
    )
  let pull = yield* open(plan.checkpoint)
  let state: State = {
    more: false,
    failure: undefined,
    reading: Deletions.nothingRead,
    notes: [],
    isRestarted: false,
    forgetsParts: parts.isFresh(),
    isEnded: false,
    isLeft: false
  }
  const change = (changed: Partial<State>): void => {
    state = { ...state, ...changed }
  }

  /** Records that the source has no more pages. */
  const end = () => change({ isEnded: true, reading: Deletions.ended(state.reading) })

  /** Pulls the next page of the source. Returns `Option.none` at the end of the listing. */
  const pullPage = Effect.suspend(() => {
    const page = pull.pipe(
      Effect.map((chunk) => Option.some(chunk[0])),
      Pull.catchDone(() => {
        end()
        return Effect.succeedNone
      })
    )
    return span("page", { "idem.page": state.reading.pages + 1 }, page, attributesOf)
  })

  const listInFull = Effect.fnUntraced(function* (why: string) {
    change({
      isRestarted: true,
      forgetsParts: true,
      notes: [...state.notes, `${why}: listing in full`],
      reading: { ...state.reading, isAbandoned: true }
    })
    parts.reset()
    pull = yield* open(Option.none())
  })

  /**
   * Pulls one more page after the last page of the slice. Returns false if there is none. The next slice lists that
   * page again. Without this check, a source that is listed in full at every poll, in exactly as many pages as a slice
   * may have, would always seem to have more, and would be polled without a pause.
   */
  const hasMore = Effect.suspend(() => pull).pipe(
    Effect.as(true),
    Pull.catchDone(() => {
      end()
      return Effect.succeed(false)
    }),
    Effect.catchTag("IntegrationError", () => Effect.succeed(true))
  )

  /**
   * Returns the next page. Returns `Option.none` at the end of the listing, if the source refused, or once the slice is
   * over.
   */
  const next: Effect.Effect<Option.Option<Page<Schema.Json>>, ListingError> = Effect.gen(function* () {
    const { isEnded, isLeft, isRestarted, reading } = state
    if (isEnded || isLeft) return Option.none()
    const isOver = reading.pages >= limits.slicePages || (yield* RunMeter.monotonicMillis) >= endsAt
    if (isOver && (yield* StopSignal.read(stop)) === undefined) {
      if (!(yield* hasMore)) return Option.none()
      yield* StopSignal.set(stop, { _tag: "Over" })
    }
    if ((yield* StopSignal.read(stop)) !== undefined) {
      change({ more: true })
      return Option.none()
    }
    return yield* Effect.catchTag(
      pullPage,
      "IntegrationError",
      Effect.fnUntraced(function* (error) {
        if (error.reason._tag === "CheckpointExpired" && reading.pages > 0) {
          // The next slice lists in full, because a listing in this slice could miss deletions: content that this slice
          // stored from the changes would never be absent from a listing that began under the same lease, and the
          // source can no longer report whether it was deleted meanwhile.
          change({ isEnded: true, more: true, reading: { ...reading, isAbandoned: true } })
          return Option.none<Page<Schema.Json>>()
        }
        if (error.reason._tag === "CheckpointExpired" && !isRestarted) {
          yield* listInFull(error.message)
          return yield* next
        }
        const isRefusal = yield* StopSignal.forError(stop, meter, error)
        change({ isEnded: true, more: true, ...(isRefusal ? {} : { failure: error }) })
        return Option.none<Page<Schema.Json>>()
      })
    )
  })

  const listed = Effect.map(
    next,
    Option.map((page): Listed => {
      const { forgetsParts, reading } = state
      change({ forgetsParts: false, reading: Deletions.withPage(reading, page) })
      return { number: reading.pages + 1, page, forgetsParts }
    })
  )

  return {
    next: listed,
    leave: () => change({ isLeft: true, more: true }),
    ended: () => {
      const { failure, more, notes, reading } = state
      return { _tag: "ListingEnded", failure, more, notes, reading }
    }
  }
})
