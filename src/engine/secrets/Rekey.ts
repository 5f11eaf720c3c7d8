/**
 * Replaces the key that secrets are sealed with, beside whatever else is running: each sealed value is opened with the key
 * that sealed it and put back sealed with the current one, if it still stands as it was read. In the end the former keys
 * are retired: nothing can be stored that they sealed, by whichever process. Cut short anywhere, it is begun again.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Result from "effect/Result"
import { UsageError } from "../Engine.ts"
import * as Keys from "./Keys.ts"
import * as Lock from "../schedule/Lock.ts"
import { credentialsContext } from "../source/OpenSource.ts"
import { signInContext } from "../source/SignIn.ts"
import type { Sealed } from "../model/Sealed.ts"
import { Store, type StoreError } from "../Store.ts"
import { keyIdOf, Vault } from "./Vault.ts"
import { sealContext as webhookContext } from "../webhooks/Signature.ts"
import { WebhookId } from "../webhooks/WebhookStore.ts"

export interface Rekeyed {
  /** The id of the key that everything is sealed with now. */
  readonly key: string
  /** How many values were sealed afresh. */
  readonly resealed: number
  /** What can't be opened with any key here, and was left as it is. */
  readonly locked: ReadonlyArray<string>
  /** Ids of former keys with which nothing is sealed any more, and never will be. */
  readonly retired: ReadonlyArray<string>
}

const chunk = 100

/** Values that change all the time are caught in the end; a database that does not settle within a minute is said. */
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

/** One look at everything that is sealed with another key. */
const pass = Effect.fnUntraced(function* (current: string) {
  const store = yield* Store
  const vault = yield* Vault
  const locked: Array<Sealed> = []
  let resealed = 0
  let moved = 0
  let after: Sealed | undefined
  while (true) {
    const rows = yield* store.sealedOtherwise(current, { after, limit: chunk })
    for (const row of rows) {
      const opened = yield* Effect.result(vault.unseal(row.sealed, contextOf(row)))
      if (Result.isFailure(opened)) {
        locked.push(row)
        continue
      }
      const next = yield* vault.seal(opened.success, contextOf(row))
      if (yield* store.replaceSealed(row, row.sealed, next)) resealed += 1
      else moved += 1
    }
    after = rows.at(-1)
    if (rows.length < chunk) return { resealed, moved, locked }
  }
})

const reseal = Effect.gen(function* () {
  const store = yield* Store
  const vault = yield* Vault
  const { current, former } = yield* vault.keys
  // A key that was retired once may become the current one again.
  yield* store.admitKey(current)
  let resealed = 0
  for (let made = 0; made < passes; made += 1) {
    const done = yield* pass(current)
    resealed += done.resealed
    const lockedBy = new Set(done.locked.map((row) => keyIdOf(row.sealed)))
    const free = former.filter((id) => !lockedBy.has(id))
    const retired = yield* Effect.filter(free, (id) => store.retireKey(id))
    // Someone has just stored what a former key sealed, or may have.
    const isUnsettled = retired.length < free.length || (done.moved > 0 && free.length < former.length)
    if (!isUnsettled) return { key: current, resealed, locked: done.locked.map(nameOf), retired } satisfies Rekeyed
    yield* Effect.sleep(betweenPasses)
  }
  return yield* new UsageError({
    message: "secrets keep being sealed with a former key: give all processes the new IDEM_SECRET_KEY first"
  })
})

/**
 * With a key file (`Keys.ofFiles`) a new key is made, unless `IDEM_SECRET_KEY` says which it is; and the former one's file
 * is removed once nothing is sealed with it. Without, both keys must have been given.
 */
export const rekey = (
  file: string | undefined
): Effect.Effect<Rekeyed, UsageError | Keys.VaultError | StoreError, Store | Vault | FileSystem.FileSystem> =>
  Lock.withLock("rekey")(
    Effect.gen(function* () {
      const vault = yield* Vault
      if (file !== undefined) yield* Keys.rotateFile(file)
      const { former } = yield* vault.keys
      if (file === undefined && former.length === 0) {
        return yield* new UsageError({
          message:
            "there is no former key: give the new key as IDEM_SECRET_KEY, and the one that is to be replaced as IDEM_SECRET_KEY_OLD"
        })
      }
      const rekeyed = yield* reseal
      if (file !== undefined && rekeyed.retired.length === former.length) yield* Keys.endRotation(file)
      return rekeyed
    })
  )
