/**
 * Refreshes credentials. The refreshes of a connection are serialized over all processes, and each starts from the
 * credentials that the previous one stored: providers that rotate refresh tokens revoke the grant if a used token comes
 * back.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { IntegrationError, Transient, Unauthorized } from "../../contract/IntegrationError.ts"
import type { RefreshCredentials } from "../../contract/Integration.ts"
import * as Lock from "../locks/Lock.ts"
import type { Connection } from "../model/Connection.ts"
import { LockStore } from "../store/LockStore.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { SecretStore } from "../store/SecretStore.ts"
import { Vault } from "../secrets/Vault.ts"

/** Refreshed credentials that are not stored are lost, so storing them is retried for about a minute. */
const saving = {
  schedule: Schedule.exponential("100 millis"),
  times: 9,
  while: (error: { readonly _tag: string }) => error._tag !== "IntegrationError"
} as const

const transient = (what: string) =>
  Effect.mapError((error: { readonly message: string }) =>
    error instanceof IntegrationError
      ? error
      : new IntegrationError({ reason: new Transient({ message: `${what}: ${error.message}` }) })
  )

/** Refreshes the stored credentials of this connection. `context` is the context that they are sealed with. */
export const make = Effect.fnUntraced(function* (
  connection: Pick<Connection, "id" | "config"> & { readonly context: string }
) {
  const connections = yield* ConnectionStore
  const locks = yield* LockStore
  const secrets = yield* SecretStore
  const vault = yield* Vault

  /** The stored row; undefined if the credentials have been removed. */
  const stored = Effect.gen(function* () {
    const row = Option.getOrUndefined(yield* connections.connection(connection.id))
    if (row === undefined || row.credentials === null) return undefined
    return {
      sealed: row.credentials,
      json: yield* vault.unseal(row.credentials, connection.context),
      config: row.config
    }
  })

  /**
   * Replaces `before` by `next`, even if `before` has been sealed again meanwhile. Does not replace credentials that a
   * person has set.
   */
  const replace = (before: Schema.Json, next: Schema.Json) =>
    Effect.gen(function* () {
      const now = yield* stored
      if (now === undefined || JSON.stringify(now.json) !== JSON.stringify(before)) return true
      const sealed = yield* vault.seal(next, connection.context)
      return yield* secrets.replaceSealed({ kind: "connection", id: connection.id }, now.sealed, sealed)
    }).pipe(Effect.repeat({ until: (isDone) => isDone }))

  const refresh: RefreshCredentials<Schema.Json> = (work) =>
    Effect.gen(function* () {
      const before = yield* stored
      if (before === undefined) {
        return yield* new IntegrationError({
          reason: new Unauthorized({ message: "the connection's credentials were forgotten" })
        })
      }
      // The source was opened with another config, so these credentials may belong to another address.
      if (JSON.stringify(before.config) !== JSON.stringify(connection.config)) {
        return yield* new IntegrationError({
          reason: new Transient({
            message:
              "the connection was changed meanwhile: its credentials were not refreshed, and the next run tries again"
          })
        })
      }
      const { json } = before
      const next = yield* work(json)
      if (next !== json) yield* Effect.retry(replace(json, next), saving)
      return next
    }).pipe(
      Effect.uninterruptible,
      Lock.withLock(`credentials of ${connection.id}`),
      transient("refreshed credentials could not be read or stored"),
      Effect.provideService(LockStore, locks)
    )
  return refresh
})
