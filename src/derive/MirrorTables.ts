/**
 * The tables behind the views of the schema `mirror`, and the views. They are created from the projections: new tables
 * and columns are added, and nothing is ever removed or changed, because people's queries depend on it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { integer, none, type Projection, type Table, text, timestamp } from "../contract/Projection.ts"
import { UsageError } from "../engine/Engine.ts"
import type { StoreError } from "../engine/store/StoreError.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { transaction } from "../stores/postgres/Transactions.ts"
import { createView, viewsOf } from "./MirrorViews.ts"
import { allRows } from "../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../stores/postgres/AdvisoryLocks.ts"

/** Increase this when rows of `mirror.content`, or the way rows are written, change. */
const ownVersion = 1

/** The table of all contents, the only one that every integration fills. */
export const content: Table = {
  name: "content",
  description:
    "All content of all sources, such as emails, messages and files. Deleted content stays until it is purged.",
  id: { name: "id", description: "The source's own id, unique within the connection." },
  columns: {
    source: text("The kind of source: gmail, slack, ftp, …"),
    kind: text("The kind of content: message, file, channel, …"),
    state: text("Either stored or deleted."),
    title: text("A title for people, such as a subject or a file name."),
    occurred_at: timestamp("When it happened, according to the source; null if the source gives no time."),
    media_type: text("The media type of the body; null if it is not known."),
    size: integer("The size of the body in bytes."),
    sha256: text("SHA-256 of the body, in hex."),
    stored_at: timestamp("When it was first stored, or stored again after a deletion."),
    updated_at: timestamp("When it last changed in Idem."),
    deleted_at: timestamp("When Idem found it deleted; null if it is stored.")
  },
  indexes: ["occurred_at", "sha256", "deleted_at"],
  text: true
}

/** Names of tables and views that no projection may declare. */
const reserved = new Set(["follower", "projection", "relation", "text", "pending", "connection", "attachment"])

/** Columns that views have in addition to those of their table. */
const added = ["connection", "text", "snippet", "has_attachments", "deleted_at"]

/** The integrations' projections by domain. */
export type Projections = ReadonlyMap<string, Projection>

const isName = (name: string): boolean => /^[a-z][a-z0-9_]{0,40}$/.test(name)

const shape = (table: Table) =>
  JSON.stringify(table, (_, value: unknown) =>
    typeof value === "object" && value !== null && "schema" in value ? { ...value, schema: null } : value
  )

const tableProblem = (table: Table): string | undefined => {
  const columns = Object.keys(table.columns)
  const lookups = Object.entries(table.lookups ?? {})
  const names = [table.name, table.id?.name ?? "id", ...columns, ...lookups.map(([name]) => name)]
  const bad = names.find((name) => !isName(name))
  if (bad !== undefined) return `"${bad}" is not lower case letters, digits and underscores`
  if (reserved.has(table.name)) return "the name is reserved"
  if (new Set([...added, ...names]).size < names.length + added.length && table !== content) {
    return "a column has the name of another, or a reserved one"
  }
  const used = [...(table.key ?? []), ...(table.indexes ?? []), ...lookups.map(([, { on }]) => on)]
  const absent = used.find((name) => !columns.includes(name))
  return absent === undefined ? undefined : `there is no column "${absent}"`
}

/** Returns all tables, each once, `content` first. */
const tablesOf = (projections: Projections): Effect.Effect<ReadonlyArray<Table>, UsageError> =>
  Effect.gen(function* () {
    const tables = new Map([[content.name, content]])
    for (const [domain, { tables: declared }] of projections) {
      for (const table of declared) {
        const fail = (problem: string) =>
          new UsageError({ message: `the projection of ${domain}: the table "${table.name}": ${problem}` })
        const problem = tableProblem(table)
        if (problem !== undefined) return yield* fail(problem)
        const other = tables.get(table.name)
        if (other !== undefined && shape(other) !== shape(table)) {
          return yield* fail("another integration declares it differently")
        }
        tables.set(table.name, table)
      }
    }
    for (const { lookups = {}, name } of tables.values()) {
      for (const { table, value } of Object.values(lookups)) {
        const other = tables.get(table)
        if (other === undefined || !(value in other.columns) || (other.key ?? []).length > 0) {
          const message = `the table "${name}" looks up "${value}" of "${table}", which has no such column, or several rows for a content`
          return yield* new UsageError({ message })
        }
      }
    }
    return [...tables.values()]
  })

const createTable = (table: Table): ReadonlyArray<string> => {
  const at = `derived."${table.name}"`
  const key = table.key ?? []
  const columns = Object.entries(table.columns)
  return [
    `CREATE TABLE IF NOT EXISTS ${at} (connection_id uuid NOT NULL, external_id text COLLATE "C" NOT NULL,
      ${columns.map(([name, { type }]) => `"${name}" ${type}, `).join("")}
      PRIMARY KEY (connection_id, external_id${key.map((name) => `, "${name}"`).join("")}))`,
    ...columns.map(([name, { type }]) => `ALTER TABLE ${at} ADD COLUMN IF NOT EXISTS "${name}" ${type}`),
    ...(table.keepsDeleted === true ? [`ALTER TABLE ${at} ADD COLUMN IF NOT EXISTS deleted_at timestamptz`] : []),
    ...(table.indexes ?? []).map(
      (name) => `CREATE INDEX IF NOT EXISTS "${table.name}_${name}" ON ${at} ("${name}", connection_id)`
    ),
    `INSERT INTO derived.relation (name) VALUES ('${table.name}') ON CONFLICT DO NOTHING`
  ]
}

const decodeColumns = allRows(Schema.Struct({ relation: Schema.String, column: Schema.String }))
const decodeVersions = allRows(Schema.Struct({ domain: Schema.String, version: Schema.Int, used: Schema.Boolean }))

/** The versions of the projections, by domain. Our own version has the empty domain. */
const versionsOf = (projections: Projections): ReadonlyMap<string, number> =>
  new Map([["", ownVersion], ...Array.from(projections, ([domain, { version }]) => [domain, version] as const)])

/** This process must not derive: a newer version of Idem, or another `idem.config.ts`, created the tables. */
export class MirrorNewer extends Schema.TaggedError<MirrorNewer>()("MirrorNewer", { domain: Schema.String }) {
  override get message(): string {
    return this.domain === ""
      ? "a newer idem fills the schema mirror: update this one"
      : `the schema mirror has rows of "${this.domain}" by a projection that this process does not have, or has in an older version: run it where its idem.config.ts is, or update it`
  }
}

/** Has the follower derive all content again, from the beginning of the feed. */
export const beginAgain = (sql: SqlClient.SqlClient) =>
  sql`UPDATE derived.follower SET cursor = NULL, generation = generation + 1, rebuilding = true`

/**
 * Brings the tables and views up to date, and returns the tables. If a projection has a new version or a new column,
 * all content is derived again.
 */
export const ensure = (
  projections: Projections
): Effect.Effect<ReadonlyArray<Table>, StoreError | UsageError | MirrorNewer, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const tables = yield* tablesOf(projections)
    const wanted = versionsOf(projections)
    const isCurrent = Effect.gen(function* () {
      const rows = yield* sql`SELECT domain, version, domain = '' OR EXISTS (SELECT 1 FROM connection
          WHERE connection.domain = projection.domain) AS used FROM derived.projection`
      const found = yield* decodeVersions(rows)
      const newer = found.find(({ domain, used, version }) => used && (wanted.get(domain) ?? none.version) < version)
      if (newer !== undefined) return yield* new MirrorNewer({ domain: newer.domain })
      const versions = new Map(found.map(({ domain, version }) => [domain, version]))
      if (Array.from(wanted).some(([domain, version]) => versions.get(domain) !== version)) return false
      const present = yield* sql`SELECT relname AS relation, attname AS "column" FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        WHERE relnamespace = 'derived'::regnamespace AND relkind = 'r'`
      const columns = new Set((yield* decodeColumns(present)).map(({ column, relation }) => `${relation}.${column}`))
      return tables.every(({ columns: named, name }) =>
        Object.keys(named).every((column) => columns.has(`${name}.${column}`))
      )
    })
    if (yield* isCurrent) return tables
    yield* Effect.gen(function* () {
      yield* AdvisoryLocks.take(sql, "mirror")
      if (yield* isCurrent) return
      const present = yield* Effect.flatMap(
        sql`SELECT table_name AS relation, column_name AS "column" FROM information_schema.columns
          WHERE table_schema = 'mirror' ORDER BY table_name, ordinal_position`,
        decodeColumns
      )
      const run = (statement: string) => sql.unsafe(statement).unprepared
      yield* Effect.forEach(tables.flatMap(createTable), run, { discard: true })
      for (const view of viewsOf(tables)) {
        const columns = present.filter(({ relation }) => relation === view.name).map(({ column }) => column)
        yield* Effect.forEach(createView(view, columns), run, { discard: true })
      }
      for (const [domain, version] of wanted) {
        yield* sql`INSERT INTO derived.projection (domain, version) VALUES (${domain}, ${version})
          ON CONFLICT (domain) DO UPDATE SET version = excluded.version`
      }
      yield* beginAgain(sql)
    }).pipe(transaction(sql))
    return tables
  }).pipe(toStoreError("preparing the schema mirror"))
