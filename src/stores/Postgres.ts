/** The store over PostgreSQL. Its schema must be there: see `migrate`. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import { Store, type StoreError } from "../engine/Store.ts"
import { BlobStore } from "./Blobs.ts"
import * as Collect from "./postgres/Collect.ts"
import * as Commit from "./postgres/Commit.ts"
import * as Connections from "./postgres/Connections.ts"
import * as Migrations from "./postgres/Migrations.ts"
import * as Reads from "./postgres/Reads.ts"
import * as Runs from "./postgres/Runs.ts"

export { migrate } from "./postgres/Migrations.ts"

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
        ...(yield* Commit.make),
        ...(yield* Reads.make),
        ...(yield* Collect.make),
        writeBlob: blobs.write
      }
    })
  )
