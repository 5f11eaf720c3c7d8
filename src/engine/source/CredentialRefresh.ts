/**
 * Credentials that a source replaces. One refresh of a connection at a time, over all processes of the database: whoever
 * comes second reads what the first one stored. So a dry run, a poll and a change of the connection may go on beside each
 * other with a provider that replaces the refresh token each time, and takes the grant away when an old one comes back.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import { IntegrationError, Transient, Unauthorized } from "../../contract/IntegrationError.ts"
import type { RefreshCredentials } from "../../contract/Integration.ts"
import * as Lock from "../schedule/Lock.ts"
import type { Connection } from "../model/Connection.ts"
import { Store } from "../Store.ts"
import { Vault } from "../secrets/Vault.ts"

/** What an answer replaced is lost if it isn't stored: a database that is away is tried again for about a minute. */
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

/** For the credentials that are stored for this connection as it was read; `context` is what they are sealed for. */
export const make = Effect.fnUntraced(function* (
  connection: Pick<Connection, "id" | "config"> & { readonly context: string }
) {
  const store = yield* Store
  const vault = yield* Vault

  /** None once they were forgotten. */
  const stored = Effect.gen(function* () {
    const row = Option.getOrUndefined(yield* store.connection(connection.id))
    if (row === undefined || row.credentials === null) return undefined
    return {
      sealed: row.credentials,
      json: yield* vault.unseal(row.credentials, connection.context),
      config: row.config
    }
  })

  /** Puts `next` in the place of `before`, however that is sealed by now. What a person put there meanwhile stays. */
  const replace = Effect.fnUntraced(function* (before: Schema.Json, next: Schema.Json) {
    while (true) {
      const now = yield* stored
      if (now === undefined || JSON.stringify(now.json) !== JSON.stringify(before)) return
      const sealed = yield* vault.seal(next, connection.context)
      if (yield* store.replaceSealed({ kind: "connection", id: connection.id }, now.sealed, sealed)) return
    }
  })

  const refresh: RefreshCredentials<Schema.Json> = (work) =>
    Effect.gen(function* () {
      const before = yield* stored
      if (before === undefined) {
        return yield* new IntegrationError({
          reason: new Unauthorized({ message: "the connection's credentials were forgotten" })
        })
      }
      // The source was opened with the config that was read: it may be at an address that these were not given for.
      if (JSON.stringify(before.config) !== JSON.stringify(connection.config)) {
        return yield* new IntegrationError({
          reason: new Transient({ message: "the connection was changed meanwhile: its credentials are left alone" })
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
      Effect.provideService(Store, store)
    )
  return refresh
})
