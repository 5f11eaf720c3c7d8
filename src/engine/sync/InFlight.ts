/**
 * The ids that this run has chosen and not yet committed. The integration's checker reports them as known, so that an
 * id that a listing repeats is downloaded once. Also tracks ids that pages of this run deleted (which may not be
 * committed yet), and ids that the store did not know when the integration asked.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { ContentStore } from "../store/ContentStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import * as RunMeter from "../telemetry/RunMeter.ts"

/** A chosen occurrence of an id. */
export interface Flight {
  readonly revision: string | undefined
  /** The previous occurrence of the same id, under another revision. It has to end first. */
  readonly after: Flight | undefined
  /** Ends the occurrence after it was committed or dropped, and frees its id. */
  readonly end: Effect.Effect<void>
  readonly isEnded: () => boolean
  /** Completes when the occurrence ends. */
  readonly ended: Effect.Effect<void>
}

export interface InFlight {
  /** Returns the last occurrence of this id in flight; undefined if there is none. */
  readonly find: (externalId: string) => Flight | undefined
  /** Begins an occurrence of this id. */
  readonly begin: (externalId: string, revision: string | undefined) => Flight
  /** Records that a page deletes these ids. */
  readonly remove: (externalIds: ReadonlyArray<string>) => void
  /** Returns true for an id that a page deleted and that was not chosen since. */
  readonly isRemoved: (externalId: string) => boolean
  /** Returns true for an id that a page deleted and that was chosen since. */
  readonly hasReturned: (externalId: string) => boolean
  /** Records that the store did not know these ids when the integration asked. */
  readonly wereUnknown: (externalIds: ReadonlyArray<string>) => void
  /** Returns true for an id that the store did not know and that was not chosen since: the ledger has no row for it. */
  readonly isUnknown: (externalId: string) => boolean
}

export const make = (): InFlight => {
  const last = new Map<string, Flight>()
  const removed = new Set<string>()
  const returned = new Set<string>()
  const unknown = new Set<string>()
  return {
    find: (externalId) => last.get(externalId),
    begin: (externalId, revision) => {
      if (removed.delete(externalId)) returned.add(externalId)
      const ended = Deferred.makeUnsafe<void>()
      const flight: Flight = {
        revision,
        after: last.get(externalId),
        end: Effect.suspend(() => {
          if (last.get(externalId) === flight) last.delete(externalId)
          return Deferred.succeed(ended, undefined)
        }),
        isEnded: () => Deferred.isDoneUnsafe(ended),
        ended: Deferred.await(ended)
      }
      last.set(externalId, flight)
      unknown.delete(externalId)
      return flight
    },
    remove: (externalIds) => {
      for (const id of externalIds) {
        removed.add(id)
        returned.delete(id)
      }
    },
    isRemoved: (externalId) => removed.has(externalId),
    hasReturned: (externalId) => returned.has(externalId),
    wereUnknown: (externalIds) => {
      for (const id of externalIds) unknown.add(id)
    },
    isUnknown: (externalId) => unknown.has(externalId)
  }
}

const failed = Effect.mapError(
  (cause: StoreError) => new ContentExistenceCheckerError({ message: cause.message, cause })
)

/**
 * Makes the connection's checker for one run: it adds the ids in flight to the store's result, and counts each query.
 */
export const checker = (options: {
  readonly contents: ContentStore["Service"]
  readonly connectionId: ConnectionId
  readonly inflight: InFlight
  readonly meter: RunMeter.RunMeter
}): ContentExistenceChecker["Service"] => {
  const { connectionId, contents, inflight, meter } = options
  // The ids in flight are read before the store is queried: an id that is committed in between is in the store's
  // result.
  const flying = (ids: ReadonlyArray<string>) => ids.filter((id) => inflight.find(id) !== undefined)
  return {
    existing: Effect.fnUntraced(function* (ids) {
      yield* RunMeter.queried(meter)
      const ours = flying(ids)
      const known = yield* failed(contents.existing(connectionId, ids))
      inflight.wereUnknown(ids.filter((id) => !known.has(id) && inflight.find(id) === undefined))
      return ours.length === 0 ? known : new Set([...known, ...ours])
    }),
    revisions: Effect.fnUntraced(function* (ids) {
      yield* RunMeter.queried(meter)
      const ours = flying(ids).map((id) => [id, Option.fromUndefinedOr(inflight.find(id)?.revision)] as const)
      const known = yield* failed(contents.revisions(connectionId, ids))
      inflight.wereUnknown(ids.filter((id) => !known.has(id) && inflight.find(id) === undefined))
      return ours.length === 0 ? known : new Map([...known, ...ours])
    })
  }
}
