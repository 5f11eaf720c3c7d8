/**
 * A projection turns content of an integration into rows of tables that people query: views of the schema `mirror`,
 * which has one view for each table declared here. Rows are derived data: they can be deleted and made again.
 *
 * The function must be pure and total: the same content gives the same rows, and no content makes it throw.
 */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import type { Metadata } from "./Content.ts"

/** A value of a column. Times are ISO 8601 in UTC. */
export type Value = string | number | boolean | null | ReadonlyArray<string>

export type Row = Readonly<Record<string, Value>>

/** A column: its type in PostgreSQL, the schema of its values, and its description, which becomes its `COMMENT`. */
export interface Column {
  readonly type: "text" | "bigint" | "boolean" | "timestamptz" | "text[]"
  readonly schema: Schema.Codec<Value, unknown>
  readonly description: string
}

const column =
  (type: Column["type"], schema: Schema.Codec<Value, unknown>) =>
  (description: string): Column => ({ type, schema, description })

/** A time with a year of four digits, which PostgreSQL and every client can read. */
const Timestamp = Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)))

export const text = column("text", Schema.NullOr(Schema.String))
export const integer = column("bigint", Schema.NullOr(Schema.Int))
export const boolean = column("boolean", Schema.NullOr(Schema.Boolean))
export const timestamp = column("timestamptz", Schema.NullOr(Timestamp))
export const texts = column("text[]", Schema.NullOr(Schema.Array(Schema.String)))

/**
 * A table of rows, and the view `mirror.<name>` on it. Two projections may declare the same table if their declarations
 * are equal.
 */
export interface Table {
  /** The table's name: lower case, digits and underscores. */
  readonly name: string
  readonly description: string
  /** The view's name for the external id of the row's content, and its description. Default `id`. */
  readonly id?: { readonly name: string; readonly description: string } | undefined
  readonly columns: Readonly<Record<string, Column>>
  /** The columns that distinguish the rows of one content. Absent if a content has one row. */
  readonly key?: ReadonlyArray<string> | undefined
  /** Columns that have an index each, within a connection. */
  readonly indexes?: ReadonlyArray<string> | undefined
  /** Adds a column `text`: the content's text. */
  readonly text?: boolean | undefined
  /** True if rows stay when the content is deleted, until it is purged. Adds a column `deleted_at`. */
  readonly keepsDeleted?: boolean | undefined
  /** Adds a column `snippet`: the beginning of the text, on one line. */
  readonly snippet?: boolean | undefined
  /** Adds a column `has_attachments`: true if the content has attachments that are not part of its text. */
  readonly hasAttachments?: boolean | undefined
  /**
   * The fields that a search finds the content by, besides its title, its text and its file names: columns or lookups,
   * each with its name (`from:ann`).
   */
  readonly search?: Readonly<Record<string, SearchField>> | undefined
  /** Columns that the view reads from a table of other contents, so that a change there shows everywhere at once. */
  readonly lookups?: Readonly<Record<string, Lookup>> | undefined
}

type SearchName = "from" | "to" | "in" | "label"

/** The field of a column: always the same one, or by the value of another column. */
export type SearchField = SearchName | { readonly by: string; readonly fields: Readonly<Record<string, SearchName>> }

/**
 * The column `value` of the row of `table` whose external id is `prefix` and the value of `on`, within the connection.
 */
export interface Lookup {
  readonly on: string
  readonly table: string
  readonly prefix: string
  readonly value: string
  readonly description: string
}

/** Returns a text for a column; null if the value is no text, or is empty. */
export const textOf = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null)

/** Returns a time for a column, in ISO 8601. */
export const isoOf = (at: DateTime.Utc | null): string | null => (at === null ? null : DateTime.formatIso(at))

/** Content as a projection sees it. */
export interface ProjectedContent {
  readonly externalId: string
  readonly kind: string
  readonly title: string | null
  readonly occurredAt: DateTime.Utc | null
  readonly mediaType: string | null
  readonly metadata: Metadata
  /** Bytes of the body, and their SHA-256 in hex. */
  readonly size: number
  readonly sha256: string
  /** The body as JSON, if `readsJson` is true for the content. Undefined if the body is not JSON, or is too large. */
  readonly json: Schema.Json | undefined
}

/** The text of a content: given by the projection, or extracted from the body by its media type and file name. */
export type Text =
  | { readonly _tag: "given"; readonly text: string }
  | { readonly _tag: "extracted"; readonly fileName: string | null }

export interface Projected {
  readonly rows: ReadonlyArray<{ readonly table: string; readonly row: Row }>
  /** The content's text. Absent if it has none. */
  readonly text?: Text | undefined
}

export interface Projection {
  /**
   * The version of the projection, from 1 on. Increase it when the function or a table changes: then all content is
   * derived again.
   */
  readonly version: number
  readonly tables: ReadonlyArray<Table>
  /** True for content whose body the function reads as JSON. */
  readonly readsJson?: ((content: Pick<ProjectedContent, "kind" | "mediaType">) => boolean) | undefined
  readonly project: (content: ProjectedContent) => Projected
}

/**
 * Content of an integration without a projection: no rows, and the text of its body. The version is below that of any
 * projection that the integration gets later.
 */
export const none: Projection = {
  version: 0,
  tables: [],
  project: ({ title }) => ({ rows: [], text: { _tag: "extracted", fileName: title } })
}

const strict = { onExcessProperty: "error" } as const

/**
 * Returns a function that checks rows against the tables of a projection. The function returns what is wrong with the
 * first bad row, or undefined.
 */
export const rowCheck = (tables: ReadonlyArray<Table>): ((projected: Projected) => string | undefined) => {
  const decoders = new Map(
    tables.map((table) => [
      table.name,
      {
        decode: Schema.decodeUnknownResult(
          Schema.Struct(Object.fromEntries(Object.entries(table.columns).map(([name, { schema }]) => [name, schema]))),
          strict
        ),
        key: table.key ?? []
      }
    ])
  )
  return ({ rows }) => {
    const keys = new Set<string>()
    for (const { row, table } of rows) {
      const found = decoders.get(table)
      if (found === undefined) return `there is no table "${table}"`
      const decoded = found.decode(row)
      if (decoded._tag === "Failure") return `a row of "${table}" does not fit: ${decoded.failure.message}`
      const values = found.key.map((name) => row[name])
      if (values.some((value) => value === null)) return `a row of "${table}" has a null in its key`
      const key = JSON.stringify([table, ...values])
      if (keys.has(key)) return `two rows of "${table}" have the same key`
      keys.add(key)
    }
    return undefined
  }
}
