/**
 * What this run has chosen and not yet committed. The checker that an integration is given counts it as known, so that
 * an id which a listing repeats is fetched once.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../contract/ContentExistenceChecker.ts"
import type { Meter } from "./Meter.ts"
import type { ConnectionId, Store, StoreError } from "./Store.ts"

/** Revisions by external id. */
export type Inflight = Map<string, string | undefined>

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
        const ours = flying(ids).map((id) => [id, Option.fromUndefinedOr(inflight.get(id))] as const)
        return failed(store.revisions(connectionId, ids)).pipe(
          Effect.map((known) => (ours.length === 0 ? known : new Map([...known, ...ours])))
        )
      })
  }
}
