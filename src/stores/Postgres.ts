/** The store over PostgreSQL. Its schema must be there: see `migrate`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Epoch as EpochOf } from "../engine/model/Change.ts"
import { Store, type StoreError } from "../engine/Store.ts"
import { BlobStore } from "./Blobs.ts"
import * as Changes from "./postgres/Changes.ts"
import * as Collect from "./postgres/Collect.ts"
import * as Commit from "./postgres/Commit.ts"
import * as Connections from "./postgres/Connections.ts"
import * as Deletions from "./postgres/Deletions.ts"
import * as Epoch from "./postgres/Epoch.ts"
import * as Lists from "./postgres/Lists.ts"
import * as Migrations from "./postgres/Migrations.ts"
import * as Parts from "./postgres/Parts.ts"
import * as Overview from "./postgres/Overview.ts"
import * as Reads from "./postgres/Reads.ts"
import * as Runs from "./postgres/Runs.ts"
import * as Sealed from "./postgres/Sealed.ts"
import * as Sessions from "./postgres/Sessions.ts"
import * as Tasks from "./postgres/Tasks.ts"

/**
 * Brings the database up to date, and says from which schema to which. Where it was restored or moved since, or where it
 * is asked for, a new epoch begins: whoever reads the changes begins again.
 */
export const migrateWith = (options: {
  readonly newEpoch: boolean
}): Effect.Effect<
  { readonly before: number; readonly after: number; readonly epoch: EpochOf; readonly begun: boolean },
  StoreError | Migrations.SchemaTooNew,
  SqlClient.SqlClient
> =>
  Effect.gen(function* () {
    const versions = yield* Migrations.migrate
    const settled = yield* Epoch.settle({ always: options.newEpoch })
    if (!options.newEpoch) yield* Epoch.tellOfEpoch(settled)
    return { ...versions, ...settled }
  })

export const migrate = migrateWith({ newEpoch: false })

/** Fails where the database has another schema than the one that this version works with. */
export const layer: Layer.Layer<Store, StoreError | Migrations.SchemaTooNew, SqlClient.SqlClient | BlobStore> =
  Layer.effect(
    Store,
    Effect.gen(function* () {
      yield* Migrations.check
      const blobs = yield* BlobStore
      return {
        ...(yield* Connections.make),
        ...(yield* Runs.make),
        ...(yield* Tasks.make),
        ...(yield* Commit.make),
        ...(yield* Deletions.make),
        ...(yield* Parts.make),
        ...(yield* Reads.make),
        ...(yield* Sealed.make),
        ...(yield* Sessions.make),
        ...(yield* Lists.make),
        ...(yield* Changes.make),
        ...(yield* Collect.make),
        ...(yield* Overview.make),
        writeBlob: blobs.write
      }
    })
  )
