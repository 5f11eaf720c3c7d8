/**
 * The store in memory, for tests. It follows the ports exactly, including the fence. Its time is Effect's clock. Each
 * method makes all its changes in one synchronous step, so that it is atomic.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { randomUUID } from "node:crypto"
import type { Store } from "../engine/Store.ts"
import type { WebhookStore as Webhooks } from "../engine/store/WebhookStore.ts"
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
import * as WebhookStore from "./memory/WebhookStore.ts"

/** Provides all ports over one state. */
export const layer: Layer.Layer<Store | Webhooks> = Layer.unwrap(
  Effect.map(BlobStore, (blobs) => {
    const state = State.empty({ databaseId: randomUUID(), number: 1, id: randomUUID() })
    return Layer.mergeAll(
      BodyStore.layer(state, blobs),
      ConnectionStore.layer(state, blobs),
      ContentStore.layer(state, blobs),
      DeletionStore.layer(state),
      FeedStore.layer(state),
      LeaseStore.layer(state),
      LedgerStore.layer(state),
      LockStore.layer(state),
      OverviewStore.layer(state),
      RunStore.layer(state),
      SecretStore.layer(state),
      SessionStore.layer(state),
      TaskStore.layer(state),
      WebhookStore.layer(state)
    )
  })
).pipe(Layer.provide(layerMemory))
