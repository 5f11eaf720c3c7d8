/**
 * What this run has chosen and not yet committed. The checker that an integration is given counts it as known, so that
 * an id which a listing repeats is fetched once.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { Meter } from "./RunMeter.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { Store, StoreError } from "../Store.ts"

/** One chosen occurrence of an id. `ended` is done once it was committed, or dropped. */
export interface Flight {
  readonly revision: string | undefined
  readonly ended: Deferred.Deferred<void>
  /** The occurrence of the same id before it, under another revision: that one goes first. */
  readonly after: Flight | undefined
}

/** The last flight of each external id. */
export type Inflight = Map<string, Flight>

/** Takes an id up. */
export const begin = (inflight: Inflight, externalId: string, revision: string | undefined): Flight => {
  const flight: Flight = { revision, ended: Deferred.makeUnsafe(), after: inflight.get(externalId) }
  inflight.set(externalId, flight)
  return flight
}

/** Ends an occurrence: it is in the store now, or it was dropped. */
export const end = (inflight: Inflight, externalId: string, flight: Flight): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (inflight.get(externalId) === flight) inflight.delete(externalId)
    return Effect.asVoid(Deferred.succeed(flight.ended, undefined))
  })

/** True once an occurrence was committed, or dropped. */
export const isEnded = (flight: Flight): boolean => Deferred.isDoneUnsafe(flight.ended)

const failed = Effect.mapError(
  (cause: StoreError) => new ContentExistenceCheckerError({ message: cause.message, cause })
)

/** The connection's checker for one run: the store's answer and what is in flight, each query counted. */
export const checker = (options: {
  readonly store: Store["Service"]
  readonly connectionId: ConnectionId
  readonly inflight: Inflight
  readonly meter: Meter
}): ContentExistenceChecker["Service"] => {
  const { connectionId, inflight, meter, store } = options
  // In flight is looked up before the store is asked: what is committed in between is then in the store's answer.
  const flying = (ids: ReadonlyArray<string>) => ids.filter((id) => inflight.has(id))
  return {
    existing: (ids) =>
      Effect.suspend(() => {
        meter.checkerQueries += 1
        const ours = flying(ids)
        return failed(store.existing(connectionId, ids)).pipe(
          Effect.map((known) => (ours.length === 0 ? known : new Set([...known, ...ours])))
        )
      }),
    revisions: (ids) =>
      Effect.suspend(() => {
        meter.checkerQueries += 1
        const ours = flying(ids).map((id) => [id, Option.fromUndefinedOr(inflight.get(id)?.revision)] as const)
        return failed(store.revisions(connectionId, ids)).pipe(
          Effect.map((known) => (ours.length === 0 ? known : new Map([...known, ...ours])))
        )
      })
  }
}
