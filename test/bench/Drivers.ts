/** Other drivers that people would use, each with its own pool on the benchmark's database. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Path from "node:path"
import { Pool } from "pg"
import Postgres from "postgres"
import { Server } from "./Database.ts"

/** The size of Idem's own pool. */
const connections = 10

export const make = Effect.gen(function* () {
  const { database, password, socket, username } = yield* Server
  const access = {
    host: Path.dirname(socket),
    port: Number(Path.extname(socket).slice(1)),
    database,
    password: Redacted.value(password)
  }
  const pg = yield* Effect.acquireRelease(
    Effect.sync(() =>
      // A session that the server ends while the pool closes does not affect the measurement.
      new Pool({ ...access, user: username, max: connections }).on("error", () => {})
    ),
    (pool) => Effect.promise(() => pool.end())
  )
  const postgres = yield* Effect.acquireRelease(
    Effect.sync(() => Postgres({ ...access, username, max: connections })),
    (sql) => Effect.promise(() => sql.end())
  )
  return { pg, postgres }
})
export type Drivers = Effect.Success<typeof make>
