/**
 * The migrations of the schema. A released migration is never edited: a change is a new number at the end.
 *
 * In `content`, `state` is the state that readers see, and `pending` the state in the ledger. Stored content whose
 * update failed is `stored` with `pending` `failed`; content that was never stored has the same state in both columns.
 */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { isSqlError, type SqlError } from "effect/sql/SqlError"
import { SchemaTooNew, StoreError } from "../../engine/store/StoreError.ts"
import * as Connections from "./migrations/Connections.ts"
import * as Content from "./migrations/Content.ts"
import { first } from "./migrations/InitialSchema.ts"
import * as Keys from "./migrations/Keys.ts"
import * as Mirror from "./migrations/Mirror.ts"
import * as MirrorReaders from "./migrations/MirrorReaders.ts"
import * as Search from "./migrations/Search.ts"
import * as Tasks from "./migrations/Tasks.ts"
import * as Totals from "./migrations/Totals.ts"
import * as Webhooks from "./migrations/Webhooks.ts"
import { isDuplicate, lostConnection, messageOf, toStoreError } from "./SqlErrors.ts"
import { oneRow } from "./RowDecoders.ts"

/** All migrations, by number and name. */
export const migrations = {
  "0001_first": first,
  "0002_feed": Content.feed,
  "0003_tasks": Tasks.tasks,
  "0004_webhooks": Webhooks.webhooks,
  "0005_keys": Keys.keys,
  "0006_listings": Connections.listings,
  "0007_access": Connections.access,
  "0008_parts": Connections.parts,
  "0009_waits": Connections.waits,
  "0010_deletions": Content.deletions,
  "0011_checks": Connections.checks,
  "0012_locks": Keys.locks,
  "0013_redelivery": Webhooks.redelivery,
  "0014_mirror": Mirror.mirror,
  "0015_members": Connections.members,
  "0016_body_keys": Content.bodyKeys,
  "0017_reader": MirrorReaders.reader,
  "0018_progress": Connections.progress,
  "0019_search": Search.search,
  "0020_read_tokens": MirrorReaders.readTokens,
  "0021_totals": Totals.totals,
  "0022_became": Content.became,
  "0023_text_queue": Search.textQueue,
  "0024_history": Tasks.history,
  "0025_search_deleted": Search.searchDeleted,
  "0026_purge_steps": Totals.purgeSteps,
  "0027_projections": Mirror.projections
}

/** The schema of this version. */
export const supported = Object.keys(migrations).length

const table = "idem_migration"

const decodeVersion = oneRow(Schema.Struct({ version: Schema.Int }))
const decodeExists = oneRow(Schema.Struct({ found: Schema.Boolean }))

/** Reads the schema of this database: 0 if Idem has never migrated it. */
export const version: Effect.Effect<number, StoreError, SqlClient.SqlClient> = SqlClient.SqlClient.use((sql) =>
  Effect.gen(function* () {
    const { found } = yield* decodeExists(yield* sql`SELECT to_regclass(${table}) IS NOT NULL AS found`)
    if (!found) return 0
    const rows = yield* sql`SELECT coalesce(max(migration_id), 0) AS version FROM idem_migration`
    return (yield* decodeVersion(rows)).version
  }).pipe(toStoreError("reading the schema's version"))
)

/** Fails if a newer version has migrated the database. */
export const checkNotNewer: Effect.Effect<void, StoreError | SchemaTooNew, SqlClient.SqlClient> = Effect.flatMap(
  version,
  (found) => (found > supported ? Effect.fail(new SchemaTooNew({ found, supported })) : Effect.void)
)

/**
 * Ends the leases of runs of older versions, which would commit by the older schema. Such a version can't acquire a
 * lease any more (`LeaseStore.acquire`). At this point, the migrator holds the lock of its table.
 */
const supersedeOlder = SqlClient.SqlClient.use(
  (sql) => sql`UPDATE connection SET fence = fence + 1, lease_until = clock_timestamp()
    WHERE lease_holder IS NOT NULL AND (SELECT max(migration_id) FROM idem_migration) < ${PgTypes.int4(supported)}`
)

/** An empty database has none of Idem's names. If one is taken, the database belongs to something else. */
const isTaken = (cause: SqlError) => {
  const next = "Idem did not create it: give Idem a database of its own"
  return new StoreError({ message: `migrating the database: ${messageOf(cause)}, and ${next}`, cause })
}

/**
 * Migrates the database, and returns its schema before and after. If two processes do so at the same time, the second
 * waits and then finds nothing to do. All migrations run in one transaction.
 */
export const migrate: Effect.Effect<
  { readonly before: number; readonly after: number },
  StoreError | SchemaTooNew,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  yield* checkNotNewer
  const before = yield* version
  if (before === supported) return { before, after: before }
  const loader = Migrator.fromRecord(migrations)
  const superseding = Effect.andThen(Effect.orDie(supersedeOlder), loader)
  yield* Migrator.make({})({ loader: before === 0 ? loader : superseding, table }).pipe(
    Effect.catchTag("MigrationError", (error) =>
      isSqlError(error.cause) ? Effect.fail(error.cause) : Effect.die(error)
    ),
    Effect.catchDefect(lostConnection),
    Effect.mapError((error) => (before === 0 && isSqlError(error) && isDuplicate(error) ? isTaken(error) : error)),
    toStoreError("migrating the database")
  )
  return { before, after: yield* version }
})

/** Fails unless the database has exactly the schema of this version. */
export const check: Effect.Effect<void, StoreError | SchemaTooNew, SqlClient.SqlClient> = Effect.gen(function* () {
  yield* checkNotNewer
  const found = yield* version
  if (found < supported) {
    const message = `the database has schema ${found}, and this idem needs ${supported}: run \`idem migrate\``
    return yield* new StoreError({ message, cause: message })
  }
})
