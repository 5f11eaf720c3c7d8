/** The views of the schema `mirror`: one for each table, with the names of connections, and one for attachments. */
import type { Table } from "../contract/Projection.ts"
import { literal } from "../stores/postgres/Parameters.ts"

interface ViewColumn {
  readonly name: string
  readonly sql: string
  readonly description: string
}

/** The columns of a view, in the order for a new view. */
const viewColumns = (table: Table): ReadonlyArray<ViewColumn> => {
  const id = table.id ?? {
    name: "id",
    description: "The content's `id` in `mirror.content`, unique within its connection."
  }
  return [
    { name: "connection", sql: "connection.name", description: "The name of the connection." },
    { name: id.name, sql: "t.external_id", description: id.description },
    ...Object.entries(table.columns).map(([name, { description }]) => ({ name, sql: `t."${name}"`, description })),
    ...Object.entries(table.lookups ?? {}).map(([name, { description, value }]) => ({
      name,
      sql: `"${name}_of"."${value}"`,
      description
    })),
    ...(table.hasAttachments === true
      ? [
          {
            name: "has_attachments",
            sql: `EXISTS (SELECT 1 FROM derived.text AS part WHERE part.connection_id = t.connection_id
              AND part.external_id = t.external_id AND part.part >= 0 AND NOT part.inline)`,
            description: "True if it has an attachment that is not `inline` in `mirror.attachment`."
          }
        ]
      : []),
    ...(table.snippet === true
      ? [
          {
            name: "snippet",
            sql: `btrim(left(regexp_replace(left(text.text, 1000), '\\s+', ' ', 'g'), 200))`,
            description: "The beginning of the text on one line, at most 200 characters."
          }
        ]
      : []),
    ...(table.text === true
      ? [
          {
            name: "text",
            sql: "text.text",
            description: "The text; null if there is none, or if it is not extracted yet."
          }
        ]
      : []),
    ...(table.keepsDeleted === true
      ? [
          {
            name: "deleted_at",
            sql: "t.deleted_at",
            description: "When Idem found it deleted; null if it is stored."
          }
        ]
      : [])
  ]
}

/** An existing view keeps the order of its columns, so new columns are added at the end. */
export const createView = (
  { columns, description, from, name }: View,
  present: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const place = (name: string) => (present.includes(name) ? present.indexOf(name) : present.length)
  const ordered = columns.toSorted((a, b) => place(a.name) - place(b.name))
  const view = `mirror."${name}"`
  return [
    `CREATE OR REPLACE VIEW ${view} AS SELECT ${ordered.map(({ name, sql }) => `${sql} AS "${name}"`).join(", ")} ${from}`,
    `COMMENT ON VIEW ${view} IS ${literal(description)}`,
    ...ordered.map(({ description, name }) => `COMMENT ON COLUMN ${view}."${name}" IS ${literal(description)}`)
  ]
}

/** Returns the SQL source of a table's view. */
const sourceOf = (table: Table): string =>
  [
    `FROM derived."${table.name}" AS t JOIN connection ON connection.id = t.connection_id`,
    ...(table.text === true
      ? [
          `LEFT JOIN derived.text ON text.connection_id = t.connection_id AND text.external_id = t.external_id
            AND text.part = -1`
        ]
      : []),
    ...Object.entries(table.lookups ?? {}).map(
      ([name, { on, prefix, table: other }]) =>
        `LEFT JOIN derived."${other}" AS "${name}_of" ON "${name}_of".connection_id = t.connection_id
          AND "${name}_of".external_id = ${literal(prefix)} || t."${on}"`
    )
  ].join(" ")

interface View {
  readonly name: string
  readonly description: string
  readonly columns: ReadonlyArray<ViewColumn>
  readonly from: string
}

/** The view of attachments, which are extracted together with the text of their email. */
const attachment: View = {
  name: "attachment",
  description: "The attachments of emails, one row each.",
  columns: [
    { name: "connection", sql: "connection.name", description: "The name of the connection." },
    {
      name: "content",
      sql: "t.external_id",
      description: "The email's `id` in `mirror.mail` and `mirror.content`, unique within its connection."
    },
    { name: "part", sql: "t.part", description: "The number of the attachment in its email, from 0." },
    { name: "file_name", sql: "t.file_name", description: "The file name; null if it has none." },
    { name: "media_type", sql: "t.media_type", description: "The media type in lower case, as the email declares it." },
    {
      name: "size",
      sql: "t.size",
      description: "The decoded size in bytes; null if the email is so large that Idem does not read this part of it."
    },
    {
      name: "sha256",
      sql: "encode(t.sha256, 'hex')",
      description: "SHA-256 of the decoded bytes, in hex; null if `size` is null."
    },
    {
      name: "inline",
      sql: "t.inline",
      description: "True if it is part of the email's text, like an image in its HTML."
    },
    { name: "text", sql: "t.text", description: "The text of the attachment; null if there is none." }
  ],
  from: "FROM derived.text AS t JOIN connection ON connection.id = t.connection_id WHERE t.part >= 0"
}

/** All views of the schema. */
export const viewsOf = (tables: ReadonlyArray<Table>): ReadonlyArray<View> => [
  ...tables.map((table) => ({
    name: table.name,
    description: table.description,
    columns: viewColumns(table),
    from: sourceOf(table)
  })),
  attachment
]
