/** The PostgreSQL of a benchmark: one that Idem starts, with its own settings, in a folder that is removed afterwards. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Blobs from "../../src/stores/blobs/Postgres.ts"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Postgres from "../../src/stores/Postgres.ts"

const client = Layer.unwrap(
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "idem-bench-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    const { database, password, socket, username } = yield* Embedded.make({ folder })
    return PgClient.layer({ path: socket, username, password, database, multiplex: true, maxConnections: 10 })
  })
)

/** A migrated database, as SQL and as the store over it. */
export const layer = Layer.unwrap(Effect.as(Postgres.migrate, Postgres.layer)).pipe(
  Layer.provide(Blobs.layer),
  Layer.provideMerge(client)
)
