/**
 * docs/sql.md: its tables are those of the database, in the words of their comments, and its queries run. After a
 * change `npm run docs:sql` writes the page.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { expect } from "vitest"
import type { Metadata } from "../../src/contract/Content.ts"
import * as PostgresDeriver from "../../src/derive/PostgresDeriver.ts"
import { ProjectionRegistry } from "../../src/derive/Deriver.ts"
import { projection as ftp } from "../../src/integrations/ftp/Projection.ts"
import { projection as gmail } from "../../src/integrations/gmail/Projection.ts"
import { projection as rss } from "../../src/integrations/rss/Projection.ts"
import { projection as slack } from "../../src/integrations/slack/Projection.ts"
import { ConnectionStore } from "../../src/engine/store/ConnectionStore.ts"
import { ContentStore } from "../../src/engine/store/ContentStore.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { batch, beginRun, bytesOf, item, page, settle, take } from "../stores/scenario.ts"
import { awaitVisible } from "../stores/awaitVisible.ts"
import * as Database from "../support/Postgres.ts"
import { queries } from "./sqlQueries.ts"

const projections = new Map([
  ["ftp", ftp],
  ["gmail", gmail],
  ["rss", rss],
  ["slack", slack]
])

const layer = Layer.mergeAll(
  Postgres.layer.pipe(Layer.provide(Blobs.layer)),
  Layer.succeed(ProjectionRegistry, { all: Effect.succeed(projections) })
).pipe(Layer.provideMerge(Database.layer))

/** A connection of this kind with this content. */
const fill = Effect.fnUntraced(function* (domain: string, items: ReadonlyArray<ReturnType<typeof item>>) {
  const { createConnection } = yield* ConnectionStore
  const { commit } = yield* ContentStore
  const every = Duration.minutes(5)
  const connection = yield* createConnection({
    name: domain,
    domain,
    account: "me",
    config: {},
    credentials: new Uint8Array(),
    every
  })
  const fence = yield* take(connection.id)
  const runId = yield* beginRun(fence)
  yield* commit(fence, batch(runId, { items }))
  return { fence, delete: (id: string) => commit(fence, batch(runId, { page: page({ deleted: [id] }) })) }
})

const example = Effect.gen(function* () {
  const now = yield* Clock.currentTimeMillis
  const ago = (hours: number) => DateTime.makeUnsafe(now - hours * 3_600_000)
  const box = (address: string) => ({ name: "", address })
  const mail = (id: string, hours: number, metadata: Metadata) =>
    item(id, {
      title: "Offer",
      occurredAt: ago(hours),
      metadata: {
        threadId: "t1",
        from: box("ann@example.com"),
        to: [box("bob@example.com"), box("cid@example.com")],
        labels: { UNREAD: true },
        ...metadata
      }
    })
  const message = (ts: number, text: string, metadata: Metadata) =>
    item(`C1/${ts}.0`, {
      bytes: bytesOf(JSON.stringify({ text })),
      occurredAt: ago(ts),
      metadata: { channel: "C1", user: "U1", ts: `${ts}.0`, ...metadata }
    })
  // Now, and some days ago: whatever day of the month it is, one is of this month.
  yield* fill("gmail", [mail("m1", 0, {}), mail("m2", 100, { threadId: "t2" }), mail("m3", 200, {})])
  const file = (id: string, text: string) => item(id, { kind: "file", title: id, text })
  const files = yield* fill("ftp", [file("a/x.pdf", "same"), file("a/y.pdf", "same"), file("z.txt", "other")])
  yield* fill("rss", [
    item("e1", { kind: "entry", title: "A release", occurredAt: ago(1), metadata: { authors: ["Ann"], link: "x" } })
  ])
  yield* fill("slack", [
    item("channels/C1", { kind: "channel", metadata: { name: "general" }, bytes: bytesOf("{}") }),
    item("users/U1", { kind: "user", metadata: { name: "ann" }, bytes: bytesOf("{}") }),
    message(1, "why?", {}),
    message(2, "a thread", { replyCount: 2, editedTs: "5.0" })
  ])
  yield* files.delete("z.txt")
  yield* settle(files.fence, { atMost: 100, share: 1 })
  yield* awaitVisible
  const deriver = yield* PostgresDeriver.make
  yield* deriver.catchUp
  const sql = yield* SqlClient.SqlClient
  // The texts that the extractor would have found.
  yield* sql`UPDATE derived.text SET text = 'an invoice', version = 1 WHERE version IS NULL OR text IS NULL`
  yield* sql`INSERT INTO derived.text (connection_id, external_id, part, sha256, size, file_name, inline, text, version)
    SELECT connection_id, external_id, 0, '\\x01', 4, 'a.pdf', false, 'an invoice', 1 FROM derived.mail`
  return deriver
})

/** The interface: a line is added for a new column, and none is ever changed or removed. */
const released = Fs.readFileSync(Path.join(import.meta.dirname, "mirrorColumns.txt"), "utf8")
  .trim()
  .split("\n")

interface Row {
  readonly table: string
  readonly table_comment: string
  readonly column: string
  readonly type: string
  readonly comment: string
}

const columns = SqlClient.SqlClient.use(
  (sql) => sql<Row>`SELECT c.relname AS "table", obj_description(c.oid) AS table_comment, a.attname AS "column",
      format_type(a.atttypid, a.atttypmod) AS type, col_description(c.oid, a.attnum) AS comment
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'mirror'::regnamespace AND c.relkind IN ('r', 'v')
    ORDER BY c.relname, a.attnum`
)

const rendered = (rows: ReadonlyArray<Row>): string => {
  const tables = [...new Set(rows.map(({ table }) => table))]
  return `# Query with SQL

Query all mirrored content as tables of the schema \`mirror\`:

\`\`\`sh no-run
idem sql "SELECT from_address, count(*) FROM mail GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
\`\`\`

- \`idem sql "SELECT …"\` prints a table, with \`--json\` \`{columns, rows}\`, with \`--csv\` CSV. \`--limit\`
  bounds the rows (default 1,000). Without a query, \`idem sql\` opens a prompt on a terminal, and otherwise reads
  standard input.
- A query may only read, only the schema \`mirror\`, and for at most 30 seconds. Two queries run at a time. A query
  runs with the rights of the role \`idem_reader\`, which Idem creates. If Idem's own role may not create roles, Idem
  refuses queries until an administrator of the database has run
  \`CREATE ROLE idem_reader NOLOGIN; GRANT idem_reader TO …\`, with the name of Idem's role.
- If \`IDEM_URL\` is set, the server runs the query: \`POST /sql\` of the [HTTP API](http-api.md).
- The tables are an interface. New versions may add columns, and never change or remove one.
- The tables are derived from the stored content. \`idem serve\` keeps them up to date, \`idem sync\` updates them
  after its run, and \`idem derive\` updates them on demand. \`idem status\` shows how far they are behind. \`idem
  derive --rebuild\` makes the tables again; the old rows stay readable meanwhile.
- For IMAP servers without threads, \`thread\` of \`mail\` comes from the header field References, which Idem reads
  since version 23 of the schema. For an email that was stored before, \`thread\` is the email that it answers;
  \`idem sync --force\` downloads such emails again.
- The column \`connection\` has the name of the connection. Join tables on \`connection\` and the id.

## Connect psql, Metabase, Grafana or DBeaver

\`idem grant\` lets a database role read \`mirror\` and nothing else of Idem. With \`--login\` it creates the role,
sets a new password, and prints the URL for your tool:

\`\`\`sh no-run
idem grant reports --login
psql "postgresql://reports:PASSWORD@db.example.com/idem" -c "SELECT count(*) FROM mirror.mail"
\`\`\`

- Metabase, Grafana, DBeaver and other tools: choose PostgreSQL, and enter the host, database, role and password of
  the URL, and the schema \`mirror\`.
- The embedded database listens only on a socket in \`IDEM_DATA_DIR\`, and only while an Idem command runs, such as
  \`idem serve\`. \`idem grant reports --login\` prints its URL too, with the socket's folder as \`host\`: psql and
  libpq accept this URL. For tools that support TCP only, such as Java tools, forward a local port to the socket:

\`\`\`sh no-run
socat TCP-LISTEN:5433,bind=127.0.0.1,fork UNIX-CONNECT:data/postgres/.s.PGSQL.5432
\`\`\`

## Twenty queries

${queries.map(({ sql, title }) => `### ${title}\n\n\`\`\`sql\n${sql}\n\`\`\``).join("\n\n")}

## Tables

${tables
  .map((table) => {
    const own = rows.filter((row) => row.table === table)
    const lines = own.map(({ column, comment, type }) => `- \`${column}\` ${type}: ${comment}`)
    return `### \`mirror.${table}\`\n\n${own[0]?.table_comment}\n\n${lines.join("\n")}`
  })
  .join("\n\n")}
`
}

it.layer(layer, { excludeTestServices: true })("the page on SQL", (it) => {
  it.effect("has tables and columns in the words of their comments, and queries that find something", () =>
    Effect.gen(function* () {
      const deriver = yield* example
      const rows = yield* columns
      assert.deepStrictEqual(
        rows.filter(({ comment, table_comment }) => !comment || !table_comment),
        []
      )
      yield* Effect.promise(() => expect(rendered(rows)).toMatchFileSnapshot("../../docs/sql.md"))
      assert.isAtLeast(queries.length, 20)
      for (const { sql, title } of queries) {
        assert.notMatch(sql, /->|#>|jsonb?_/, title)
        const found = yield* deriver.query({ query: sql, most: 100, timeout: Duration.seconds(30) })
        assert.isAtLeast(found.rows.length, 1, title)
      }
    })
  )

  it.effect("has every column that a released version had, with its type", () =>
    Effect.gen(function* () {
      const now = new Set((yield* columns).map(({ column, table, type }) => `${table}.${column} ${type}`))
      assert.deepStrictEqual(
        released.filter((line) => !now.has(line)),
        []
      )
    })
  )
})
