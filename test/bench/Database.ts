/** The PostgreSQL of a benchmark, which Idem starts with its own settings, in a folder that is removed afterwards. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Postgres from "../../src/stores/Postgres.ts"

export class Server extends Context.Service<
  Server,
  {
    /** The data folder, as in `IDEM_DATA_DIR`. */
    readonly folder: string
    readonly socket: string
    readonly username: string
    readonly password: Redacted.Redacted
    readonly database: string
  }
>()("idem/test/bench/Server") {}

const server = Layer.effect(
  Server,
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const path = await mkdtemp(Path.join(tmpdir(), "idem-bench-"))
        // If root may not run PostgreSQL, another user must be able to reach the folder.
        await chmod(path, 0o755)
        return path
      }),
      (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
    )
    const { database, password, socket, username } = yield* Embedded.make({ folder })
    return { folder, database, password, socket, username }
  })
)

const client = Layer.unwrap(
  Effect.map(Server, ({ database, password, socket, username }) =>
    PgClient.layerFrom(Client.make({ path: socket, username, password, database }))
  )
)

/** A migrated database, with an SQL client and a store. */
export const layer = Layer.unwrap(Effect.as(Postgres.migrate, Postgres.layer)).pipe(
  Layer.provide(Blobs.layer),
  Layer.provideMerge(client),
  Layer.provideMerge(server)
)

/** The `DATABASE_URL` of the database, for processes. */
export const url = Effect.map(Server, ({ database, password, socket, username }) => {
  const host = encodeURIComponent(Path.dirname(socket))
  const secret = encodeURIComponent(Redacted.value(password))
  return `postgresql://${username}:${secret}@localhost/${database}?host=${host}&port=${Path.extname(socket).slice(1)}`
})
