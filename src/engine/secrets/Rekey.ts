/**
 * Replaces the key that secrets are sealed with, while other processes run. Opens each sealed value with the key that
 * sealed it, and seals it with the current key, unless it has changed meanwhile. Finally retires the former keys, so
 * that no process can store a value sealed with them. After a crash at any point it can be run again.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import { UsageError } from "../Engine.ts"
import * as Keys from "./Keys.ts"
import * as Lock from "../locks/Lock.ts"
import { credentialsContext, keyIdOf, signInContext, Vault, webhookContext } from "./Vault.ts"
import type { LockStore } from "../store/LockStore.ts"
import { type Sealed, SecretStore } from "../store/SecretStore.ts"
import type { StoreError } from "../store/StoreError.ts"
import { WebhookId } from "../model/Webhook.ts"

export interface Rekeyed {
  /** The id of the current key. */
  readonly key: string
  /** How many values were sealed again. */
  readonly resealed: number
  /** Values that no key of this process opens. They were left as they are. */
  readonly locked: ReadonlyArray<string>
  /** Ids of former keys that are retired: nothing is sealed with them, and nothing can be. */
  readonly retired: ReadonlyArray<string>
  /** Files with former keys, which older backups need. */
  readonly kept: ReadonlyArray<string>
}

const chunk = 100

/** The most passes over the values, about a minute in all. A value that keeps changing is resealed by a later pass. */
const passes = 600
const betweenPasses = Duration.millis(100)

const contextOf = (row: Sealed): string => {
  switch (row.kind) {
    case "connection":
      return credentialsContext(row.subject ?? { domain: "", account: "" })
    case "sign-in":
      return signInContext(row.id)
    case "webhook":
      return webhookContext(WebhookId.make(row.id))
  }
}

const nameOf = (row: Sealed): string =>
  row.subject === null ? `${row.kind} ${row.id.slice(0, 8)}` : `the connection ${row.subject.name}`

/** Makes one pass over the values that are sealed with another key. */
const pass = Effect.fnUntraced(function* (current: string) {
  const secrets = yield* SecretStore
  const vault = yield* Vault
  const locked: Array<Sealed> = []
  let resealed = 0
  let moved = 0
  let after: Sealed | undefined
  while (true) {
    const rows = yield* secrets.sealedByOtherKeys(current, { after, limit: chunk })
    for (const row of rows) {
      const opened = yield* Effect.result(vault.unseal(row.sealed, contextOf(row)))
      if (Result.isFailure(opened)) {
        locked.push(row)
        continue
      }
      const next = yield* vault.seal(opened.success, contextOf(row))
      if (yield* secrets.replaceSealed(row, row.sealed, next)) resealed += 1
      else moved += 1
    }
    after = rows.at(-1)
    if (rows.length < chunk) return { resealed, moved, locked }
  }
})

const reseal = Effect.gen(function* () {
  const secrets = yield* SecretStore
  const vault = yield* Vault
  const { current, former } = yield* vault.keys
  // A key that was retired once may be the current key again.
  yield* secrets.admitKey(current)
  let resealed = 0
  for (let made = 0; made < passes; made += 1) {
    const done = yield* pass(current)
    resealed += done.resealed
    const lockedBy = new Set(done.locked.map((row) => keyIdOf(row.sealed)))
    const free = former.filter((id) => !lockedBy.has(id))
    const retired = yield* Effect.filter(free, (id) => secrets.retireKey(id))
    // Another process has stored, or may have stored, a value sealed with a former key.
    const isUnsettled = retired.length < free.length || (done.moved > 0 && free.length < former.length)
    if (!isUnsettled) return { key: current, resealed, locked: done.locked.map(nameOf), retired }
    yield* Effect.sleep(betweenPasses)
  }
  return yield* new UsageError({
    message: "other processes still seal secrets with a former key: give all processes the new IDEM_SECRET_KEY first"
  })
})

/**
 * Rekeys. With a key file (`Keys.ofFiles`), makes a new key unless `IDEM_SECRET_KEY` sets one, and renames the former
 * key's file once nothing is sealed with it. Without a key file, both keys must be set.
 */
export const rekey = (
  file: string | undefined
): Effect.Effect<
  Rekeyed,
  UsageError | Keys.VaultError | StoreError,
  LockStore | SecretStore | Vault | FileSystem.FileSystem
> =>
  Lock.withLock("rekey")(
    Effect.gen(function* () {
      const vault = yield* Vault
      if (file !== undefined) yield* Keys.rotateFile(file)
      const { former } = yield* vault.keys
      if (file === undefined && former.length === 0) {
        return yield* new UsageError({
          message:
            "there is no former key: give the new key as IDEM_SECRET_KEY, and the key to replace as IDEM_SECRET_KEY_OLD"
        })
      }
      const rekeyed = yield* reseal
      const isOver = file !== undefined && rekeyed.retired.length === former.length
      return { ...rekeyed, kept: isOver ? yield* Keys.endRotation(file) : [] }
    })
  )
