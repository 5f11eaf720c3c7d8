/** A separate database for each test file or test, on the server of this test run. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import * as Path from "node:path"
import { inject } from "vitest"
import * as Client from "../../src/stores/postgres/Client.ts"

const given = Effect.sync(() => {
  const { database, password, socket, username } = inject("postgres")
  // The server is running, but on a busy machine it may respond late.
  const connectTimeout = Duration.infinity
  return { template: database, pool: { path: socket, username, password: Redacted.make(password), connectTimeout } }
})

/** Runs one statement that can't be in a transaction, in the server's own database. */
const administer = (statement: string) =>
  Effect.flatMap(given, ({ pool }) =>
    Effect.provide(
      SqlClient.SqlClient.use((sql) => sql.unsafe(statement)),
      PgClient.layer({ ...pool, database: "postgres", maxConnections: 1 })
    )
  )

const makeDatabase = (template: string, options = "") =>
  Effect.acquireRelease(
    Effect.suspend(() => {
      const name = `t_${randomBytes(8).toString("hex")}`
      return Effect.as(administer(`CREATE DATABASE ${name} TEMPLATE ${template} ${options}`), name)
    }),
    (name) => Effect.orDie(administer(`DROP DATABASE ${name} WITH (FORCE)`))
  )

const layerFrom = (choose: (template: string) => string, config: PgClient.PgPoolConfig = {}, options = "") =>
  PgClient.layerFrom(
    Effect.gen(function* () {
      const { pool: access, template } = yield* given
      const database = yield* makeDatabase(choose(template), options)
      return yield* Client.make({ ...access, database, applicationName: "idem-test", ...config })
    })
  ).pipe(Layer.orDie)

/** `PgClient` and `SqlClient` of a fresh, migrated database. */
export const layer = layerFrom((template) => template)

/** Like `layer`, with these session settings in addition to Idem's own. */
export const layerWith = (config: PgClient.PgPoolConfig) => layerFrom((template) => template, config)

/** `PgClient` and `SqlClient` of an empty database, without Idem's tables. */
export const layerEmpty = layerFrom(() => "template1")

/** Like `layer`, in a locale of the system, whose rules for letters differ from the server's own. */
export const layerOfLocale = (locale: string) =>
  layerFrom(() => "template0", {}, `LOCALE_PROVIDER libc LOCALE '${locale}'`)

/** Creates an empty database for processes, and returns its URL. The database is dropped when the scope closes. */
export const makeUrl = Effect.gen(function* () {
  const database = yield* makeDatabase("template1")
  const { password, socket, username } = inject("postgres")
  const host = encodeURIComponent(Path.dirname(socket))
  const port = Path.extname(socket).slice(1)
  const query = `host=${host}&port=${port}&connect_timeout=0`
  return `postgresql://${username}:${encodeURIComponent(password)}@localhost/${database}?${query}`
})
