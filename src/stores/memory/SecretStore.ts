/** Sealed secrets, retired keys and pending sign-ins in memory. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { type Sealed, SecretStore } from "../../engine/store/SecretStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import { keyIdOf } from "../../engine/secrets/Vault.ts"
import { byBytes, type State } from "./State.ts"

type Methods = SecretStore["Service"]

/** Fails for a secret that is sealed with a retired key. */
export const admitted = (state: State, sealed: Uint8Array): Effect.Effect<void, StoreError> => {
  if (!state.retiredKeys.has(keyIdOf(sealed))) return Effect.void
  const message = 'it is sealed with a key that "idem rekey" has replaced; give this process the new IDEM_SECRET_KEY'
  return Effect.fail(new StoreError({ message, cause: message }))
}

const equal = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

const compare = (a: Pick<Sealed, "kind" | "id">, b: Pick<Sealed, "kind" | "id">): number =>
  byBytes(a.kind, b.kind) || byBytes(a.id, b.id)

const make = (state: State): Methods => {
  const all = (now: number): ReadonlyArray<Sealed> => [
    ...Array.from(state.connections.values()).flatMap(({ account, credentials, domain, id, name }): Array<Sealed> =>
      credentials === null ? [] : [{ kind: "connection", id, subject: { name, domain, account }, sealed: credentials }]
    ),
    ...Array.from(state.signIns).flatMap(([id, { expiresAt, sealed }]): Array<Sealed> =>
      expiresAt <= now ? [] : [{ kind: "sign-in", id, subject: null, sealed }]
    )
  ]

  return {
    sealedByOtherKeys: (keyId, { after, limit }) =>
      Effect.map(Clock.currentTimeMillis, (now) =>
        all(now)
          .filter((each) => keyIdOf(each.sealed) !== keyId && (after === undefined || compare(each, after) > 0))
          .toSorted(compare)
          .slice(0, limit)
      ),

    replaceSealed: ({ id, kind }, before, next) =>
      Effect.gen(function* () {
        yield* admitted(state, next)
        if (kind === "connection") {
          const entry = state.connections.get(ConnectionId.make(id))
          if (entry === undefined || entry.credentials === null || !equal(entry.credentials, before)) return false
          entry.credentials = next
          return true
        }
        const entry = state.signIns.get(id)
        if (entry === undefined || !equal(entry.sealed, before)) return false
        entry.sealed = next
        return true
      }),

    retireKey: (keyId) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (all(now).some((each) => keyIdOf(each.sealed) === keyId)) return false
        state.retiredKeys.add(keyId)
        return true
      }),

    admitKey: (keyId) =>
      Effect.sync(() => {
        state.retiredKeys.delete(keyId)
      }),

    putSignIn: ({ atMost, sealed, stateHash, ttl }) =>
      Effect.gen(function* () {
        yield* admitted(state, sealed)
        const now = yield* Clock.currentTimeMillis
        for (const [hash, { expiresAt }] of state.signIns) if (expiresAt <= now) state.signIns.delete(hash)
        const oldest = Array.from(state.signIns).toSorted(([, a], [, b]) => a.expiresAt - b.expiresAt)
        for (const [hash] of oldest.slice(0, Math.max(0, oldest.length - atMost + 1))) state.signIns.delete(hash)
        state.signIns.set(stateHash, { sealed, expiresAt: now + Duration.toMillis(ttl) })
      }),

    takeSignIn: (stateHash) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const entry = state.signIns.get(stateHash)
        state.signIns.delete(stateHash)
        return entry === undefined || entry.expiresAt <= now ? Option.none() : Option.some(entry.sealed)
      })
  }
}

export const layer = (state: State): Layer.Layer<SecretStore> => Layer.succeed(SecretStore, make(state))
