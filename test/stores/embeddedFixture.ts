/** The visible state of an embedded server: its answers, and the files of its folder. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import type * as Embedded from "../../src/stores/Embedded.ts"

export const query = <A>(
  server: Embedded.Embedded["Service"],
  run: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>,
  password = server.password
) =>
  Effect.gen(function* () {
    const { database, socket, username } = server
    const connectTimeout = Duration.infinity
    return yield* Effect.provide(
      SqlClient.SqlClient.use(run),
      PgClient.layer({ path: socket, database, username, password, connectTimeout, maxConnections: 1 }),
      { local: true }
    )
  })

export const file = {
  mode: (path: string) => Effect.promise(async () => (await Fs.stat(path)).mode & 0o777),
  owner: (path: string) => Effect.promise(async () => (await Fs.stat(path)).uid),
  names: (path: string) => Effect.promise(() => Fs.readdir(path)),
  exists: (path: string) =>
    Effect.promise(() =>
      Fs.stat(path).then(
        () => true,
        () => false
      )
    )
}
