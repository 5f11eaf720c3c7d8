/** The real engine over a store, with a scripted source as its only integration. */
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Integration } from "../../src/contract/Integration.ts"
import * as SyncTask from "../../src/contract/SyncTask.ts"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import { Engine, type SyncResult } from "../../src/engine/Engine.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { Limits } from "../../src/engine/Limits.ts"
import * as Lease from "../../src/engine/locks/Lease.ts"
import * as PollingClaim from "../../src/engine/locks/PollingClaim.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import * as LeasedSlice from "../../src/engine/sync/LeasedSlice.ts"
import type { Connection } from "../../src/engine/model/Connection.ts"
import type { ContentPlace, ContentState } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { fromContext, layer as wholeStoreLayer, WholeStore, replaceMethods } from "../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../src/engine/sync/SyncEngine.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"
import * as SourceNetwork from "../../src/engine/network/SourceNetwork.ts"
import type { WebhookStore } from "../../src/engine/store/WebhookStore.ts"
import type { Sender } from "../../src/engine/webhooks/Sender.ts"
import * as Destination from "../../src/engine/webhooks/Destination.ts"
import * as WebhookSender from "../../src/http/webhooks/WebhookSender.ts"
import * as Memory from "../../src/stores/Memory.ts"
import * as State from "../../src/stores/memory/State.ts"
import * as MemoryWebhooks from "../../src/stores/memory/WebhookStore.ts"
import { integration, MemorySource } from "./MemorySource.ts"

/** Webhooks can be created and read; nothing is delivered. */
export const webhooks = Layer.mergeAll(
  Layer.unwrap(Effect.sync(() => MemoryWebhooks.layer(State.empty({ databaseId: "", number: 1, id: "" })))),
  WebhookSender.layer
).pipe(Layer.provideMerge(Destination.layer), Layer.provide(NodeDns.layer), Layer.orDie)

type TestServices = Engine | LeasedSlice.Services | WebhookStore | Sender | Destination.Destination

/** Provides the services of a run over this store, with one integration. */
export const engineOver = <E, R>(
  store: Layer.Layer<Store, E, R>,
  only: Integration,
  network: Layer.Layer<never> = Layer.orDie(Layer.provide(SourceNetwork.layer, NodeDns.layer))
): Layer.Layer<TestServices, E, R> =>
  Layer.provideMerge(
    SyncEngine.layer,
    webhooks.pipe(
      Layer.provideMerge(
        Layer.mergeAll(
          store,
          Quotas.layerMemory,
          UnsealedVault.layer,
          Integrations.layer({ [only.domain]: Effect.succeed(only) }),
          network
        )
      )
    )
  )

/** The same as `engineOver` for a scripted source; `limits` override the defaults. */
export const layer = (
  source: MemorySource,
  options: { readonly store?: Layer.Layer<Store>; readonly limits?: Partial<Limits> } = {}
): Layer.Layer<TestServices> =>
  Layer.provideMerge(
    engineOver(options.store ?? Memory.layer, integration(source)),
    Layer.effect(
      Limits,
      Effect.map(Limits, (defaults) => ({ ...defaults, ...options.limits }))
    )
  )

export const connect = Effect.fnUntraced(function* (
  options: { readonly config?: unknown; readonly name?: string; readonly token?: string } = {}
) {
  const engine = yield* Engine
  const connected = yield* engine.connect({
    domain: "memory",
    name: options.name ?? "test",
    config: options.config,
    credentials: { token: options.token ?? "s3cret" },
    every: undefined
  })
  return connected.connection
})

/** Runs a test over a separate engine with one connection, whose source is empty. */
export const withConnection = (
  test: (source: MemorySource, connection: Connection) => Effect.fn.Return<void, unknown, TestServices>,
  limits: Partial<Limits> = {}
) =>
  Effect.suspend(() => {
    const source = new MemorySource()
    return Effect.flatMap(connect(), (connection) => Effect.gen(() => test(source, connection))).pipe(
      Effect.provide(layer(source, { limits }))
    )
  })

/** Runs a sync, and asserts that its counts add up. */
export const sync = Effect.fnUntraced(function* (connection: Connection, task: Partial<SyncTask.SyncTask> = {}) {
  const engine = yield* Engine
  const result = yield* engine.sync(
    connection,
    { ...SyncTask.poll, ...task },
    { spec: JSON.stringify(task), wait: true }
  )
  return checked(result)
})

/** Runs one slice, as the scheduler does. */
export const poll = Effect.fnUntraced(function* (connection: Connection) {
  const turn = yield* LeasedSlice.turn(Lease.acquire(connection.id), () => Effect.succeed(LeasedSlice.poll))
  if (turn._tag !== "Ran") return yield* Effect.die(new Error("somebody else runs"))
  return turn.result
})

/** Returns the result unchanged, after asserting that its counts add up. */
export const checked = (result: SyncResult): SyncResult => {
  if (result.planned === null && !RunCounts.addUp(result.counts)) {
    throw new Error(`the counts don't add up: ${JSON.stringify(result.counts)}`)
  }
  return result
}

/** Returns the ids in this state, from all pages. */
export const ids = Effect.fnUntraced(function* (connection: Connection, state: ContentState = "stored") {
  const store = yield* WholeStore
  const found: Array<string> = []
  let after: ContentPlace | undefined
  do {
    const page = yield* store.contents(connection.id, { state, limit: 500, after })
    found.push(...page.contents.map((row) => row.externalId))
    after = page.next ?? undefined
  } while (after !== undefined)
  return found
})

/** Returns a store that runs `before` ahead of each method that writes, to inject crashes and outages. */
export const faulty = (
  store: Layer.Layer<Store>,
  before: (method: string) => Effect.Effect<void>
): Layer.Layer<Store> =>
  replaceMethods((real) => ({
    ...real,
    commit: (...args) => Effect.andThen(before("commit"), real.commit(...args)),
    renew: (...args) => Effect.andThen(before("renew"), real.renew(...args)),
    release: (...args) => Effect.andThen(before("release"), real.release(...args)),
    existing: (...args) => Effect.andThen(before("existing"), real.existing(...args))
  })).pipe(Layer.provide(store))

/** The claim of a process from which no other process has taken over polling. */
export const polling = Layer.succeed(PollingClaim.PollingClaim, { takenOver: Effect.succeed(Option.none()) })

/** Builds a store that several engines share, as processes share a database. */
export const shared = Effect.map(Layer.build(Memory.layer), (context) => wholeStoreLayer(fromContext(context)))
