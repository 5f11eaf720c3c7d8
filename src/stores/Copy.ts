/**
 * Copies connections, with all that belongs to them, from one database of Idem's into another of the same schema.
 *
 * The source is read in one snapshot, and nothing in it is changed; a run that goes on there meanwhile is not in the
 * copy. Bodies come first, in short transactions, since others may be storing the same ones; they can be copied twice
 * without harm. Then all rows of a connection are written in one transaction, which ends by comparing what is there
 * with the source: a connection is copied whole or not at all, and a copy that was cut short is simply begun again.
 *
 * Rows travel as the JSON that PostgreSQL makes of them, so that each column arrives, whatever a migration adds.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import * as Crypto from "node:crypto"
import { ConnectionId } from "../engine/model/Connection.ts"
import { WebhookId } from "../engine/model/Webhook.ts"
import { NameTaken, StoreError } from "../engine/store/StoreError.ts"
import type { BlobStore } from "./Blobs.ts"
import { byteas, int8s, texts } from "./postgres/Parameters.ts"
import { toStoreError, lostConnection } from "./postgres/SqlErrors.ts"

/** A database, and where its large bodies are. */
export interface Side {
  readonly sql: SqlClient.SqlClient
  readonly blobs: BlobStore["Service"]
}

/**
 * One connection as it was copied. `bytes` is the size of its bodies, of which there are `bodies`, each counted once.
 */
export interface Copied {
  readonly name: string
  readonly contents: number
  readonly bodies: number
  readonly bytes: number
}

export interface CopiedWebhook {
  readonly id: WebhookId
  readonly name: string
}

export interface Options {
  readonly source: Side
  readonly target: Side
  /** Credentials as the target's key seals them. */
  readonly reseal: (
    connection: { readonly name: string; readonly domain: string; readonly account: string },
    sealed: Uint8Array
  ) => Effect.Effect<Uint8Array>
  /** The secret of a webhook, as the target's key seals it. */
  readonly resealWebhook: (webhook: CopiedWebhook, sealed: Uint8Array) => Effect.Effect<Uint8Array>
  /** Told of each connection before it is copied. */
  readonly onConnection: (name: string) => Effect.Effect<void>
}

/** Rows read at once, and bytes of bodies written at once: both bound the memory. */
const rowsAtOnce = 200
const bytesAtOnce = 8 * 1024 * 1024

/** What belongs to a connection besides its row, and what says which rows those are. */
const belongings = ["content", "staged_deletion", "listing", "seen", "part", "task", "task_key", "task_done", "run"]

const ofConnection = (table: string, id: ConnectionId): string =>
  table === "task_done"
    ? `task_id IN (SELECT id FROM task WHERE connection_id = '${id}')`
    : `${table === "connection" ? "id" : "connection_id"} = '${id}'`

const decodeConnections = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({
      id: ConnectionId,
      name: Schema.String,
      domain: Schema.String,
      account: Schema.String,
      credentials: Schema.NullOr(Schema.Uint8Array)
    })
  )
)
type Row = Effect.Success<ReturnType<typeof decodeConnections>>[number]

const decodeWebhooks = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ id: WebhookId, name: Schema.String, secret: Schema.Uint8Array }))
)
const decodeIds = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ id: Schema.String })))
const decodeJson = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ json: Schema.String })))
const decodeColumns = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ name: Schema.String })))
const decodeBodies = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ hash: Schema.Uint8Array, size: Schema.Int, large: Schema.Boolean }))
)
const decodeBytes = Schema.decodeUnknownEffect(
  Schema.Array(Schema.Struct({ hash: Schema.Uint8Array, bytes: Schema.Uint8Array }))
)
const decodeHashes = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ hash: Schema.Uint8Array })))
const decodeCount = Schema.decodeUnknownEffect(Schema.Tuple([Schema.Struct({ count: Schema.Int })]))
const decodeTally = Schema.decodeUnknownEffect(
  Schema.Tuple([
    Schema.Struct({ contents: Schema.Int, bodies: Schema.Int, bytes: Schema.Int, digest: Schema.NullOr(Schema.String) })
  ])
)

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const wrong = (what: string) => new StoreError({ message: `copying: ${what}`, cause: what })

/** Reads a query's rows through a cursor, some at a time. Needs a transaction. */
const through = <A, E, R>(
  sql: SqlClient.SqlClient,
  cursor: string,
  query: string,
  use: (rows: ReadonlyArray<unknown>) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    yield* sql.unsafe(`DECLARE ${cursor} NO SCROLL CURSOR FOR ${query}`).unprepared
    for (;;) {
      const rows = yield* sql.unsafe(`FETCH ${rowsAtOnce} FROM ${cursor}`).unprepared
      if (rows.length > 0) yield* use(rows)
      if (rows.length < rowsAtOnce) break
    }
    yield* sql.unsafe(`CLOSE ${cursor}`).unprepared
  })

/** Writes bodies that the target lacks, and touches those that it has, so that nobody collects them meanwhile. */
const copyBodies = Effect.fnUntraced(function* ({ source, target }: Options, id: ConnectionId) {
  const touch = Effect.fnUntraced(function* (hashes: ReadonlyArray<Uint8Array>) {
    const rows = yield* target.sql`WITH found AS (
        SELECT hash FROM body WHERE hash = ANY(${byteas(hashes)}) ORDER BY hash FOR NO KEY UPDATE)
      UPDATE body SET touched_at = now() FROM found WHERE body.hash = found.hash RETURNING body.hash`
    return new Set((yield* Effect.orDie(decodeHashes(rows))).map(({ hash }) => hex(hash)))
  })
  const write = (bodies: ReadonlyArray<{ hash: Uint8Array; size: number; bytes: Uint8Array | null }>) =>
    target.sql`INSERT INTO body (hash, size, bytes)
      SELECT * FROM unnest(${byteas(bodies.map(({ hash }) => hash))},
        ${int8s(bodies.map(({ size }) => BigInt(size)))}, ${byteas(bodies.map(({ bytes }) => bytes))})
        AS given(hash, size, bytes) ORDER BY hash
      ON CONFLICT (hash) DO UPDATE SET touched_at = now()`

  const small = Effect.fnUntraced(function* (hashes: ReadonlyArray<Uint8Array>) {
    const rows = yield* source.sql`SELECT hash, bytes FROM body WHERE hash = ANY(${byteas(hashes)})`
    const bodies = yield* Effect.orDie(decodeBytes(rows))
    for (const { bytes, hash } of bodies) {
      if (Buffer.compare(Crypto.createHash("sha256").update(bytes).digest(), hash) !== 0) {
        return yield* wrong(`the body ${hex(hash)} is not what was stored: the source's data is damaged`)
      }
    }
    yield* write(bodies.map((body) => ({ ...body, size: body.bytes.byteLength })))
  })
  const large = Effect.fnUntraced(function* ({ hash, size }: { readonly hash: Uint8Array; readonly size: number }) {
    if (!(yield* target.blobs.has(hex(hash)))) {
      const written = yield* target.blobs.write(source.blobs.read(hex(hash)))
      if (Buffer.compare(written.hash, hash) !== 0) {
        return yield* wrong(`the body ${hex(hash)} is not what was stored: the source's data is damaged`)
      }
    }
    yield* write([{ hash, size, bytes: null }])
  })

  yield* through(
    source.sql,
    "bodies",
    `SELECT hash, size::float8 AS size, bytes IS NULL AS large FROM body
     WHERE hash IN (SELECT body_hash FROM content WHERE connection_id = '${id}')`,
    Effect.fnUntraced(function* (rows) {
      const bodies = yield* Effect.orDie(decodeBodies(rows))
      const there = yield* touch(bodies.map(({ hash }) => hash))
      const missing = bodies.filter(({ hash }) => !there.has(hex(hash)))
      let batch: Array<Uint8Array> = []
      let size = 0
      for (const body of missing.filter((one) => !one.large)) {
        if (batch.length > 0 && size + body.size > bytesAtOnce) {
          yield* small(batch)
          batch = []
          size = 0
        }
        batch.push(body.hash)
        size += body.size
      }
      if (batch.length > 0) yield* small(batch)
      yield* Effect.forEach(
        bodies.filter((one) => one.large),
        large,
        { discard: true }
      )
    })
  )
})

/** These rows of a table. Changes are announced anew: transaction ids are a database's own. */
const copyRows = Effect.fnUntraced(function* ({ source, target }: Options, table: string, where: string) {
  const columns = yield* Effect.orDie(
    decodeColumns(
      yield* target.sql`SELECT column_name AS name FROM information_schema.columns
      WHERE table_schema = current_schema() AND table_name = ${table} ORDER BY ordinal_position`
    )
  )
  const names = columns.map(({ name }) => name)
  const values = names.map((name) =>
    name === "changed_xid" ? "CASE WHEN changed_xid IS NOT NULL THEN pg_current_xact_id() END" : name
  )
  const insert = `INSERT INTO ${table} (${names.join(", ")})
    SELECT ${values.join(", ")} FROM json_populate_recordset(NULL::${table}, $1::json)`
  yield* through(
    source.sql,
    `rows_of_${table}`,
    `SELECT row_to_json(whole)::text AS json FROM ${table} AS whole WHERE ${where}`,
    Effect.fnUntraced(function* (rows) {
      const json = (yield* Effect.orDie(decodeJson(rows))).map((row) => row.json)
      yield* target.sql.unsafe(insert, [`[${json.join(",")}]`])
    })
  )
})

const copyTable = (options: Options, id: ConnectionId, table: string) =>
  copyRows(options, table, ofConnection(table, id))

const countOf = (sql: SqlClient.SqlClient, table: string, id: ConnectionId) =>
  sql
    .unsafe(`SELECT count(*)::float8 AS count FROM ${table} WHERE ${ofConnection(table, id)}`)
    .pipe(Effect.flatMap((rows) => Effect.map(Effect.orDie(decodeCount(rows)), ([row]) => row.count)))

/** What a connection's contents come to: equal for equal contents, in whatever order they are. */
const tally = (sql: SqlClient.SqlClient, id: ConnectionId) =>
  sql`SELECT count(*)::float8 AS contents, count(DISTINCT body_hash)::float8 AS bodies,
      (SELECT coalesce(sum(size), 0)::float8 FROM (
        SELECT DISTINCT body_hash, size FROM content WHERE connection_id = ${id} AND body_hash IS NOT NULL) AS each) AS bytes,
      sum(('x' || left(md5(concat_ws('|', external_id, state, pending, revision, encode(body_hash, 'hex'), metadata,
        volatile)), 15))::bit(60)::bigint)::text AS digest
    FROM content WHERE connection_id = ${id}`.pipe(
    Effect.flatMap((rows) => Effect.map(Effect.orDie(decodeTally(rows)), ([row]) => row))
  )

/** Fails unless the target holds just what the source does. Nobody can remove a body from here to the end. */
const verify = Effect.fnUntraced(function* ({ source, target }: Options, { id, name }: Row) {
  yield* target.sql`SELECT count(*) FROM (SELECT 1 FROM body
    WHERE hash IN (SELECT body_hash FROM content WHERE connection_id = ${id}) ORDER BY hash FOR KEY SHARE) AS locked`
  const there = yield* tally(source.sql, id)
  const here = yield* tally(target.sql, id)
  if (JSON.stringify(there) !== JSON.stringify(here)) {
    return yield* wrong(`the contents of ${name} did not arrive as they are in the source`)
  }
  for (const table of belongings) {
    const expected = yield* countOf(source.sql, table, id)
    const found = yield* countOf(target.sql, table, id)
    if (expected !== found) return yield* wrong(`of ${expected} rows in ${table}, ${found} arrived`)
  }
  const damaged = yield* target.sql`SELECT count(*)::float8 AS count
    FROM (SELECT DISTINCT body_hash AS hash FROM content WHERE connection_id = ${id} AND body_hash IS NOT NULL) AS named
    LEFT JOIN body USING (hash)
    WHERE body.hash IS NULL OR body.bytes IS NOT NULL AND sha256(body.bytes) <> named.hash`
  const [{ count }] = yield* Effect.orDie(decodeCount(damaged))
  if (count > 0) return yield* wrong(`${count} bodies of ${name} did not arrive; begin again`)
  yield* through(
    target.sql,
    "large_bodies",
    `SELECT hash FROM body WHERE bytes IS NULL AND hash IN (SELECT body_hash FROM content WHERE connection_id = '${id}')`,
    Effect.fnUntraced(function* (rows) {
      for (const { hash } of yield* Effect.orDie(decodeHashes(rows))) {
        if (!(yield* target.blobs.has(hex(hash)))) return yield* wrong(`a large body of ${name} is gone; begin again`)
      }
    })
  )
  const { bodies, bytes, contents } = here
  return { name, contents, bodies, bytes } satisfies Copied
})

const copyConnection = Effect.fnUntraced(function* (options: Options, row: Row) {
  const { sql } = options.target
  const { id, name } = row
  yield* options.onConnection(name)
  const credentials = row.credentials === null ? null : yield* options.reseal(row, row.credentials)
  yield* copyBodies(options, id)
  return yield* Effect.gen(function* () {
    yield* copyTable(options, id, "connection").pipe(
      Effect.catchIf(
        (error) => isSqlError(error) && error.reason._tag === "UniqueViolation",
        () => Effect.fail(new NameTaken({ name }))
      )
    )
    // Nobody runs it here: a run that goes on in the source is one that was cut off.
    yield* sql`UPDATE connection SET credentials = ${credentials}, fence = fence + 1, lease_holder = NULL,
      lease_until = NULL WHERE id = ${id}`
    yield* Effect.forEach(belongings, (table) => copyTable(options, id, table), { discard: true })
    yield* sql`UPDATE run SET status = 'interrupted', finished_at = clock_timestamp()
      WHERE connection_id = ${id} AND status = 'running'`
    return yield* verify(options, row)
  }).pipe(sql.withTransaction, Effect.catchDefect(lostConnection))
})

/**
 * Copies webhooks that the target lacks, with their secrets, and says which. Messages stay behind: a cursor is its own
 * database's, so each webhook begins again with all that is stored, which tells all that the messages did.
 */
const copyWebhooks = Effect.fnUntraced(function* (options: Options) {
  const { source, target } = options
  const rows = yield* Effect.orDie(
    decodeWebhooks(yield* source.sql`SELECT id::text AS id, name, secret FROM webhook ORDER BY name, id`)
  )
  const there = yield* Effect.orDie(decodeIds(yield* target.sql`SELECT id::text AS id FROM webhook`))
  const missing = rows.filter(({ id }) => !there.some((one) => one.id === id))
  return yield* Effect.forEach(missing, ({ id, name, secret }) =>
    Effect.gen(function* () {
      const sealed = yield* options.resealWebhook({ id, name }, secret)
      yield* copyRows(options, "webhook", `id = '${id}'`)
      yield* target.sql`UPDATE webhook SET secret = ${sealed}, cursor = NULL WHERE id = ${id}`
      return { id, name } satisfies CopiedWebhook
    }).pipe(target.sql.withTransaction, Effect.catchDefect(lostConnection))
  )
})

const namesIn = (sql: SqlClient.SqlClient, rows: ReadonlyArray<Row>) =>
  sql`SELECT id, name, domain, account, credentials FROM connection WHERE name = ANY(${texts(rows.map(({ name }) => name))})`

/**
 * Copies all connections and webhooks, and says which. What was copied before is left as it is (`skipped`); a name that
 * another connection has in the target fails the copy before anything is written.
 */
export const run = (
  options: Options
): Effect.Effect<
  {
    readonly copied: ReadonlyArray<Copied>
    readonly skipped: ReadonlyArray<string>
    readonly webhooks: ReadonlyArray<CopiedWebhook>
  },
  StoreError | NameTaken
> =>
  Effect.gen(function* () {
    const { sql } = options.source
    yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`.unprepared
    yield* sql`SET LOCAL TimeZone = 'UTC'`.unprepared
    const rows = yield* Effect.orDie(
      decodeConnections(yield* sql`SELECT id, name, domain, account, credentials FROM connection ORDER BY name`)
    )
    const there = yield* Effect.orDie(decodeConnections(yield* namesIn(options.target.sql, rows)))
    const isThere = (row: Row) => there.some(({ id }) => id === row.id)
    const taken = rows.find((row) => !isThere(row) && there.some(({ name }) => name === row.name))
    if (taken !== undefined) return yield* new NameTaken({ name: taken.name })
    const copied = yield* Effect.forEach(
      rows.filter((row) => !isThere(row)),
      (row) => copyConnection(options, row)
    )
    const webhooks = yield* copyWebhooks(options)
    return { copied, skipped: rows.filter(isThere).map(({ name }) => name), webhooks }
  }).pipe(options.source.sql.withTransaction, Effect.catchDefect(lostConnection), toStoreError("copying"))
