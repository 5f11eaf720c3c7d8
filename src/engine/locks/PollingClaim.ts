/** The claim on polling: one process per database, or one cluster of processes. Acquires, renews and releases it. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as ProcessIdentity from "./ProcessIdentity.ts"
import { Limits } from "../Limits.ts"
import { LockStore } from "../store/LockStore.ts"
import type { StoreError } from "../store/StoreError.ts"

/** The claim of this process. */
export class PollingClaim extends Context.Service<
  PollingClaim,
  {
    /** Returns the holder if this process has lost the claim, else `Option.none`. This process may regain the claim. */
    readonly takenOver: Effect.Effect<Option.Option<string>>
  }
>()("idem/engine/locks/PollingClaim") {}

/** Another process polls this database, or a cluster that this process does not join. */
export class PolledElsewhere extends Schema.TaggedError<PolledElsewhere>()("PolledElsewhere", {
  holder: Schema.String,
  advice: Schema.String
}) {
  override get message(): string {
    return `${this.holder} polls this database already: ${this.advice}`
  }
}

/** The lock of the process, or the cluster, that polls this database. */
export const lockName = "polling"

/** The holder that all processes of a cluster share. */
const cluster = "a cluster of idem serve (IDEM_CLUSTER)"

/** Renews the claim until the scope closes. */
const renewInBackground = (claim: Effect.Effect<Option.Option<string>, StoreError>) =>
  Effect.gen(function* () {
    const limits = yield* Limits
    const takenOver = yield* Ref.make(Option.none<string>())
    const renewal = claim.pipe(
      Effect.tap((other) =>
        Option.isSome(other)
          ? Effect.logError(`${other.value} has taken over the polling of this database`)
          : Effect.void
      ),
      Effect.flatMap((other) => Ref.set(takenOver, other)),
      Effect.catchTag("StoreError", (error) => Effect.logWarning(error.message))
    )
    yield* Effect.forkScoped(Effect.repeat(renewal, Schedule.spaced(Duration.divideUnsafe(limits.leaseTtl, 3))))
    return PollingClaim.of({ takenOver: Ref.get(takenOver) })
  })

/**
 * Claims the polling under this name, also from a holder known to be dead. Returns the current holder if it is another
 * one, and the effect that renews the claim.
 */
const claimAs = Effect.fnUntraced(function* (holder: string) {
  const locks = yield* LockStore
  const limits = yield* Limits
  const claim = (deadHolder?: string) => locks.takeLock(lockName, { holder, ttl: limits.leaseTtl, deadHolder })
  const other = yield* claim()
  const taken = Option.isSome(other) && (yield* ProcessIdentity.isDead(other.value)) ? yield* claim(other.value) : other
  return { taken, renew: claim() }
})

/**
 * Claims the polling for this process alone, until the scope closes. A process that was frozen may lose the claim: then
 * the fences of its runs refuse its writes, and it logs a warning.
 */
export const ofOneProcess = Effect.gen(function* () {
  const locks = yield* LockStore
  const holder = yield* ProcessIdentity.self
  const { taken, renew } = yield* claimAs(holder)
  if (Option.isSome(taken)) {
    const advice =
      taken.value === cluster
        ? "set IDEM_CLUSTER=1 to join it, or stop all of it first and wait half a minute"
        : "stop it first, or give all of them IDEM_CLUSTER=1 to share the work"
    return yield* new PolledElsewhere({ holder: taken.value, advice })
  }
  yield* Effect.addFinalizer(() => Effect.ignore(locks.releaseLock(lockName, holder)))
  return yield* renewInBackground(renew)
})

/**
 * Claims the polling for all processes of a cluster, until the scope closes. No process releases the claim, because
 * others may still use it: it expires after the last renewal.
 */
export const ofCluster = Effect.gen(function* () {
  const { taken, renew } = yield* claimAs(cluster)
  if (Option.isSome(taken)) {
    return yield* new PolledElsewhere({
      holder: taken.value,
      advice: "stop it and start it again with IDEM_CLUSTER=1, as all of them must be"
    })
  }
  return yield* renewInBackground(renew)
})
