/**
 * The store in memory, for tests: faithful to the port, the fence included. Its time is Effect's clock. Each method
 * makes all its changes in one synchronous step, so that it is atomic.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import { Store } from "../engine/Store.ts"
import { BlobStore, layerMemory } from "./Blobs.ts"
import * as BodyStore from "./memory/BodyStore.ts"
import * as ConnectionStore from "./memory/ConnectionStore.ts"
import * as ContentStore from "./memory/ContentStore.ts"
import * as DeletionStore from "./memory/DeletionStore.ts"
import * as FeedStore from "./memory/FeedStore.ts"
import * as LeaseStore from "./memory/LeaseStore.ts"
import * as LedgerStore from "./memory/LedgerStore.ts"
import * as LockStore from "./memory/LockStore.ts"
import * as OverviewStore from "./memory/OverviewStore.ts"
import * as RunStore from "./memory/RunStore.ts"
import * as SecretStore from "./memory/SecretStore.ts"
import * as SessionStore from "./memory/SessionStore.ts"
import * as TaskStore from "./memory/TaskStore.ts"
import * as State from "./memory/State.ts"

const make = Effect.gen(function* () {
  const state = State.empty({ databaseId: randomUUID(), number: 1, id: randomUUID() })
  const blobs = yield* BlobStore
  return Store.of({
    ...ConnectionStore.make(state, blobs),
    ...LeaseStore.make(state),
    ...RunStore.make(state),
    ...TaskStore.make(state),
    ...ContentStore.make(state, blobs),
    ...LedgerStore.make(state),
    ...DeletionStore.make(state),
    ...BodyStore.make(state, blobs),
    ...FeedStore.make(state),
    ...SecretStore.make(state),
    ...SessionStore.make(state),
    ...LockStore.make(state),
    ...OverviewStore.make(state)
  })
})

export const layer: Layer.Layer<Store> = Layer.effect(Store, make).pipe(Layer.provide(layerMemory))
