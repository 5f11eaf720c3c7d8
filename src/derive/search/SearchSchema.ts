/**
 * The functions and text search configurations in the database. They are created again if this version of Idem has
 * other ones, or if the database has other extensions than before.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import { UsageError } from "../../engine/Engine.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import * as Storable from "../../stores/Storable.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import { transaction } from "../../stores/postgres/Transactions.ts"
import * as Candidates from "./Candidates.ts"
import * as IndexFunctions from "./IndexFunctions.ts"
import * as QueryParser from "./QueryParser.ts"
import * as Ranking from "./Ranking.ts"
import { allRows, oneRow } from "../../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../../stores/postgres/AdvisoryLocks.ts"

/** Grows when the functions change. */
const functionsVersion = 10

/** Grows when vectors are made differently: all contents are indexed again. */
const vectorsVersion = 4

const Profile = Schema.Struct({
  functions: Schema.Int,
  vectors: Schema.Int,
  unaccent: Schema.NullOr(Schema.String),
  pgTrgm: Schema.NullOr(Schema.String)
})
const ProfileText = Schema.fromJsonString(Profile)
const decodeProfile = allRows(Schema.Struct({ profile: ProfileText }))
const encodeProfile = Schema.encodeEffect(ProfileText)
const decodeExtensions = allRows(Schema.Struct({ extension: Schema.String, schema: Schema.String }))
const decodeSchema = oneRow(Schema.Struct({ schema: Schema.String }))
const decodeLanguages = allRows(Schema.Struct({ language: Schema.String }))

/** The schemas of the extensions that search uses; undefined for an extension that the database lacks. */
const extensions = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    const rows = yield* sql`SELECT extname AS extension, nspname AS schema FROM pg_extension
      JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname IN ('unaccent', 'pg_trgm')`
    const found = new Map((yield* decodeExtensions(rows)).map(({ extension, schema }) => [extension, schema]))
    return { unaccent: found.get("unaccent"), pgTrgm: found.get("pg_trgm") } satisfies IndexFunctions.Extensions
  })
)

/** Matches an error of `derived.search_use` that a person can fix. */
const isRefusal = Schema.is(Schema.Struct({ code: Schema.Literal("IDM01"), message: Schema.String }))

/**
 * Sets the language of a connection's texts, by the name of a configuration of PostgreSQL; `simple` is the default. If
 * the connection had another language, its contents are indexed again.
 */
export const setLanguage = (connection: string, language: string) =>
  SqlClient.SqlClient.use((sql) => sql`SELECT derived.search_use(${connection}, ${Storable.text(language)})`).pipe(
    Effect.catchTag("SqlError", (error) => {
      const { cause } = error.reason
      return Effect.fail(isRefusal(cause) ? new UsageError({ message: cause.message }) : error)
    }),
    toStoreError("setting the language of search")
  )

/** Creates missing extensions, if the server has them and this user may create them. */
const createExtensions = SqlClient.SqlClient.use((sql) =>
  Effect.forEach(
    ["unaccent", "pg_trgm"],
    (name) =>
      sql
        .unsafe(`CREATE EXTENSION IF NOT EXISTS ${name} SCHEMA derived`)
        .unprepared.pipe(
          Effect.catchIf(isSqlError, ({ message, reason: { cause } }) =>
            Effect.logInfo(
              `search does without the extension ${name}, because it can't be created: ` +
                (cause instanceof Error ? cause.message : message)
            )
          )
        ),
    { discard: true }
  )
)

/**
 * Brings the functions up to date. Without the extension `unaccent`, accents matter in queries; without `pg_trgm`,
 * misspelt names are not found.
 */
export const ensure: Effect.Effect<void, StoreError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const before = yield* extensions
  if (before.unaccent === undefined || before.pgTrgm === undefined) yield* createExtensions
  const has = yield* extensions
  const wanted = {
    functions: functionsVersion,
    vectors: vectorsVersion,
    unaccent: has.unaccent ?? null,
    pgTrgm: has.pgTrgm ?? null
  }
  const present = Effect.gen(function* () {
    const rows = yield* sql`SELECT profile FROM derived.search_profile`
    return (yield* decodeProfile(rows))[0]?.profile
  })
  const isCurrent = Effect.map(present, (found) => JSON.stringify(found) === JSON.stringify(wanted))
  if (yield* isCurrent) return
  yield* Effect.gen(function* () {
    yield* AdvisoryLocks.take(sql, "search")
    const found = yield* present
    if (JSON.stringify(found) === JSON.stringify(wanted)) return
    const { schema } = yield* decodeSchema(yield* sql`SELECT quote_ident(current_schema()) AS schema`)
    const used = yield* decodeLanguages(yield* sql`SELECT DISTINCT language FROM derived.search_language`)
    const run = (statement: string) => sql.unsafe(statement).unprepared
    // A function may set a parameter of `pg_trgm` only in a session that has loaded it, unless a superuser creates it.
    if (has.pgTrgm !== undefined) yield* run(`SELECT ${IndexFunctions.identifier(has.pgTrgm)}.similarity('', '')`)
    const languages = new Set(["simple", ...used.map(({ language }) => language)])
    yield* Effect.forEach(
      [
        IndexFunctions.dropFunctions,
        ...IndexFunctions.functions(has, schema),
        ...QueryParser.functions(has),
        ...Candidates.functions,
        ...Ranking.functions(schema)
      ],
      run,
      { discard: true }
    )
    for (const language of languages) yield* sql`SELECT derived.search_configure(${language})`
    yield* run("DROP INDEX IF EXISTS derived.search_name_similar")
    if (has.pgTrgm !== undefined) {
      yield* run(
        `CREATE INDEX search_name_similar ON derived.search_name
          USING gin (name ${IndexFunctions.identifier(has.pgTrgm)}.gin_trgm_ops)`
      )
    }
    if (found?.vectors !== wanted.vectors || found.unaccent !== wanted.unaccent) {
      yield* sql`INSERT INTO derived.pending (connection_id, external_id)
        SELECT connection_id, external_id FROM derived.content ORDER BY occurred_at DESC NULLS LAST
        ON CONFLICT (connection_id, external_id) DO NOTHING`
    }
    yield* sql`INSERT INTO derived.search_profile (profile) VALUES (${yield* Effect.orDie(encodeProfile(wanted))})
      ON CONFLICT (singleton) DO UPDATE SET profile = excluded.profile`
  }).pipe(transaction(sql))
}).pipe(toStoreError("preparing search"))
