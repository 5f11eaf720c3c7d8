/** The functions of search, created by the owner of a database who is no superuser. */
import { assert, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import * as MirrorTables from "../../../src/derive/MirrorTables.ts"
import * as SearchSchema from "../../../src/derive/search/SearchSchema.ts"
import * as Postgres from "../../../src/stores/Postgres.ts"
import * as Database from "../../support/Postgres.ts"
import { projections } from "./Scenario.ts"

it.live("are created again by a process whose session has not loaded pg_trgm", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { config } = yield* PgClient.PgClient
    const role = `owner_${randomBytes(8).toString("hex")}`
    yield* Effect.acquireRelease(sql.unsafe(`CREATE ROLE ${role}`), () =>
      Effect.forEach(
        [
          `ALTER DATABASE ${config.database} OWNER TO CURRENT_USER`,
          `DROP OWNED BY ${role} CASCADE`,
          `DROP ROLE ${role}`
        ],
        (statement) => Effect.orDie(sql.unsafe(statement)),
        { discard: true }
      )
    )
    yield* sql.unsafe(`ALTER DATABASE ${config.database} OWNER TO ${role}`)
    /** Runs statements in a new session of the owner. */
    const asOwner = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
      Effect.andThen(
        SqlClient.SqlClient.use((session) => session.unsafe(`SET ROLE ${role}`)),
        effect
      ).pipe(Effect.provide(PgClient.layer({ ...config, maxConnections: 1 }), { local: true }))
    yield* asOwner(
      Effect.all([Postgres.migrate, MirrorTables.ensure(projections), SearchSchema.ensure], { discard: true })
    )
    const newest = yield* sql`SELECT profile FROM derived.search_profile`
    yield* sql`UPDATE derived.search_profile SET profile = replace(profile, '"functions":', '"functions":1')`
    yield* asOwner(SearchSchema.ensure)
    assert.deepStrictEqual(yield* sql`SELECT profile FROM derived.search_profile`, newest)
  }).pipe(Effect.scoped, Effect.provide(Database.layerEmpty))
)
