/** A Google Workspace domain whose users have mailboxes, connected to an engine in memory. */
import { it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import * as Vault from "../../../src/engine/secrets/Vault.ts"
import { Integrations } from "../../../src/engine/source/Integrations.ts"
import * as Members from "../../../src/engine/source/Members.ts"
import { Quotas } from "../../../src/engine/source/Quotas.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import { DeletionStore } from "../../../src/engine/store/DeletionStore.ts"
import { LockStore } from "../../../src/engine/store/LockStore.ts"
import { OverviewStore } from "../../../src/engine/store/OverviewStore.ts"
import * as SyncEngine from "../../../src/engine/sync/SyncEngine.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import { integration as gmailDomain } from "../../../src/integrations/GmailDomain.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Domain from "../../support/gmail/Domain.ts"
import * as GmailServer from "../../support/GmailServer.ts"

export const engine = Layer.suspend(() =>
  Layer.provideMerge(
    SyncEngine.layer,
    Layer.mergeAll(
      Memory.layer,
      Quotas.layerMemory,
      Layer.effect(Vault.Vault, Vault.make(Redacted.make<Uint8Array>(randomBytes(32)))),
      Integrations.layer({ gmail: Effect.succeed(gmail), "gmail-domain": Effect.succeed(gmailDomain) })
    )
  )
)

export const admin = "admin@example.com"
export const credentials = { serviceAccount: Domain.key, subject: admin }
export const quota = { unitsPerMinute: 1_000_000_000 }

/** A company whose administrator and these users have mailboxes, connected as `company`. */
export const scene = Effect.fnUntraced(function* (users: ReadonlyArray<string>, config: object = {}) {
  const server = yield* GmailServer.make()
  const clock = yield* Clock.Clock
  server.now = () => Math.floor(clock.currentTimeMillisUnsafe() / 1000)
  server.domain.add(admin, { isAdmin: true })
  for (const user of users) server.domain.add(user)
  const connections = yield* ConnectionStore
  const overviews = yield* OverviewStore
  const locks = yield* LockStore
  const deletions = yield* DeletionStore
  const store = { ...connections, ...overviews, ...deletions }
  const disconnect = (deleteContents: boolean) =>
    Members.disconnect({ connections, overviews, locks }, connection, deleteContents)
  const engine = yield* Engine
  const connect = (change: { readonly config?: object; readonly credentials?: object }) =>
    engine.connect({
      domain: "gmail-domain",
      name: "company",
      config: { rootUrl: server.url, quota, mailboxes: { quota }, ...config, ...change.config },
      credentials: change.credentials,
      every: undefined
    })
  const { connection, estimate } = yield* connect({ credentials })
  const poll = engine.sync(connection, SyncTask.poll, { spec: "", wait: true })
  const members = Effect.map(store.connections, (all) => all.filter(({ member }) => member !== null))
  const byName = (name: string) => Effect.map(store.connectionByName(name), Option.getOrThrow)
  const retired = Effect.map(members, (all) => all.filter(Members.isRetired).map(({ name }) => name))
  return { disconnect, server, store, engine, connection, estimate, connect, poll, members, byName, retired }
})

export const numbered = (count: number) => Array.from({ length: count }, (_, index) => `user${index + 1}@example.com`)

export const test = (name: string, work: Effect.Effect<unknown, unknown, Layer.Success<typeof engine> | Scope.Scope>) =>
  it.live(name, () => work.pipe(Effect.scoped, Effect.provide(Layer.fresh(engine))))
