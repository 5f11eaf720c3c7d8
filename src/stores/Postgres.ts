/** The store over PostgreSQL. The schema must exist: see `migrate`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Epoch as EpochOf } from "../engine/model/Change.ts"
import type { Store } from "../engine/Store.ts"
import type { SchemaTooNew, StoreError } from "../engine/store/StoreError.ts"
import type { BlobStore } from "./Blobs.ts"
import * as BodyStore from "./postgres/BodyStore.ts"
import * as ConnectionStore from "./postgres/ConnectionStore.ts"
import * as ContentStore from "./postgres/ContentStore.ts"
import * as DeletionStore from "./postgres/DeletionStore.ts"
import * as FeedEpoch from "./postgres/FeedEpoch.ts"
import * as FeedStore from "./postgres/FeedStore.ts"
import * as LeaseStore from "./postgres/LeaseStore.ts"
import * as LedgerStore from "./postgres/LedgerStore.ts"
import * as LockStore from "./postgres/LockStore.ts"
import * as Migrations from "./postgres/Migrations.ts"
import * as OverviewStore from "./postgres/OverviewStore.ts"
import * as RunStore from "./postgres/RunStore.ts"
import * as SecretStore from "./postgres/SecretStore.ts"
import * as SessionStore from "./postgres/SessionStore.ts"
import * as TaskStore from "./postgres/TaskStore.ts"

/**
 * Migrates the database, and returns its schema before and after. Begins a new epoch if the database was restored or
 * moved, or if `newEpoch` is set. In a new epoch, readers of the feed begin again.
 */
export const migrateWith = (options: {
  readonly newEpoch: boolean
}): Effect.Effect<
  { readonly before: number; readonly after: number; readonly epoch: EpochOf; readonly begun: boolean },
  StoreError | SchemaTooNew,
  SqlClient.SqlClient
> =>
  Effect.gen(function* () {
    const versions = yield* Migrations.migrate
    const settled = yield* FeedEpoch.beginIfMoved({ always: options.newEpoch })
    if (!options.newEpoch) yield* FeedEpoch.logNewEpoch(settled)
    return { ...versions, ...settled }
  })

export const migrate = migrateWith({ newEpoch: false })

/** Provides the store. Fails if the database does not have the schema of this version. */
export const layer: Layer.Layer<Store, StoreError | SchemaTooNew, SqlClient.SqlClient | BlobStore> = Layer.unwrap(
  Effect.as(
    Migrations.check,
    Layer.mergeAll(
      BodyStore.layer,
      ConnectionStore.layer,
      ContentStore.layer,
      DeletionStore.layer,
      FeedStore.layer,
      LeaseStore.layer,
      LedgerStore.layer,
      LockStore.layer,
      OverviewStore.layer,
      RunStore.layer,
      SecretStore.layer,
      SessionStore.layer,
      TaskStore.layer
    ).pipe(Layer.provide(FeedEpoch.layer))
  )
)
