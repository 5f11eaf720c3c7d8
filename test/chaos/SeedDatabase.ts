/** The database of a seed, and the harness's statements in it. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import type { Store } from "../../src/engine/Store.ts"
import * as Blobs from "../../src/stores/Blobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import type { Server } from "./Server.ts"

export interface SeedDatabase {
  readonly name: string
  /** Runs statements of the harness, and retries while the server can't be reached. */
  readonly ask: <A, E>(effect: Effect.Effect<A, E, Store | SqlClient.SqlClient>) => Effect.Effect<A>
}

/** Creates a database with this prefix in its name, which is dropped with the scope. */
export const make = Effect.fnUntraced(function* (server: Server, prefix: string, seed: number) {
  const name = `${prefix}_${seed}_${randomBytes(4).toString("hex")}`
  yield* server.database(name)
  const sql = PgClient.layer({
    path: server.socket,
    username: server.username,
    password: Redacted.make(server.password),
    database: name,
    maxConnections: 3,
    applicationName: "chaos"
  })
  const context = yield* Layer.build(Layer.provideMerge(Postgres.layer, Layer.merge(sql, Blobs.layerMemory)))
  const ask: SeedDatabase["ask"] = (effect) =>
    Effect.provideContext(effect, context).pipe(
      Effect.catchDefect((defect) => Effect.fail(defect)),
      Effect.retry({ times: 60, schedule: Schedule.spaced("100 millis") }),
      Effect.orDie
    )
  // Notes where the database is, as the start of `idem serve` does: without that, a failover is not noticed.
  yield* ask(Postgres.migrate)
  return { name, ask } satisfies SeedDatabase
})
