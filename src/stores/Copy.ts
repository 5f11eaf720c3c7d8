/**
 * Copies connections, with all of their rows and bodies, from one Idem database into another of the same schema.
 *
 * The source is read in one snapshot and not changed; later changes by runs in the source are not in the copy. Bodies
 * are copied first, in short transactions, because other processes may be storing the same bodies; copying a body twice
 * does no harm. Then all rows of a connection are written in one transaction, which ends by comparing them with the
 * source: a connection is copied completely or not at all. An interrupted copy can be started again.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { isSqlError } from "effect/sql/SqlError"
import { ConnectionId } from "../engine/model/Connection.ts"
import { maxWebhooks, WebhookId } from "../engine/model/Webhook.ts"
import { NameTaken, StoreError } from "../engine/store/StoreError.ts"
import { copyBodies } from "./copy/Bodies.ts"
import { belongings, copyRows, copyTable, type Sides, wrong } from "./copy/Rows.ts"
import { measure, verify } from "./copy/Verification.ts"
import { literal, texts } from "./postgres/Parameters.ts"
import { toStoreError } from "./postgres/SqlErrors.ts"
import { transactionOnce } from "./postgres/Transactions.ts"
import { allRows, ids as decodeIds } from "./postgres/RowDecoders.ts"
import * as AdvisoryLocks from "./postgres/AdvisoryLocks.ts"

/** A copied connection. `bytes` is the size of its `bodies`, each counted once. */
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

/** The source has no connection of this name. */
export class UnknownConnection extends Schema.TaggedError<UnknownConnection>()("UnknownConnection", {
  name: Schema.String
}) {
  readonly what = "connection"
  override get message(): string {
    return `there is no connection "${this.name}" to copy`
  }
}

export interface Options extends Sides {
  /** The name of the connection to copy; undefined for all. */
  readonly connection: string | undefined
  /** Seals credentials with the target's key. */
  readonly reseal: (
    connection: { readonly name: string; readonly domain: string; readonly account: string },
    sealed: Uint8Array
  ) => Effect.Effect<Uint8Array>
  /** Seals the secret of a webhook with the target's key. */
  readonly resealWebhook: (webhook: CopiedWebhook, sealed: Uint8Array) => Effect.Effect<Uint8Array>
  /** Called with the name of each connection before it is copied. */
  readonly onConnection: (name: string) => Effect.Effect<void>
}

const decodeConnections = allRows(
  Schema.Struct({
    id: ConnectionId,
    name: Schema.String,
    domain: Schema.String,
    account: Schema.String,
    credentials: Schema.NullOr(Schema.Uint8Array),
    memberOf: Schema.NullOr(ConnectionId)
  })
)
type Row = Effect.Success<ReturnType<typeof decodeConnections>>[number]
const columns = `id, name, domain, account, credentials, member_of AS "memberOf"`

const decodeWebhooks = allRows(
  Schema.Struct({
    id: WebhookId,
    name: Schema.String,
    secret: Schema.Uint8Array,
    connectionId: Schema.NullOr(ConnectionId)
  })
)

const decodeLanguages = allRows(Schema.Struct({ language: Schema.String }))
const decodeTokens = allRows(Schema.Struct({ name: Schema.String }))

/**
 * Copies the language setting of a connection's search. If the target already has search, configures the language
 * there.
 */
const copyLanguage = Effect.fnUntraced(function* ({ source, target }: Options, { id, name }: Row) {
  const rows = yield* source.sql`SELECT language FROM derived.search_language WHERE connection_id = ${id}`
  const [found] = yield* decodeLanguages(rows)
  if (found === undefined) return
  const ready = yield* target.sql`SELECT 1 WHERE to_regproc('derived.search_use') IS NOT NULL`
  yield* ready.length > 0
    ? target.sql`SELECT derived.search_use(${name}, ${found.language})`
    : target.sql`INSERT INTO derived.search_language VALUES (${id}, ${found.language})`
})

/** Copies the read tokens that the target lacks, and returns their names. Only hashes of tokens are stored. */
const copyTokens = Effect.fnUntraced(function* (options: Options) {
  const { source, target } = options
  const names = (sql: SqlClient.SqlClient) =>
    Effect.flatMap(sql`SELECT name FROM read_token ORDER BY name`, decodeTokens)
  const there = new Set((yield* names(target.sql)).map(({ name }) => name))
  const missing = (yield* names(source.sql)).map(({ name }) => name).filter((name) => !there.has(name))
  yield* copyRows(options, "read_token", `name = ANY(ARRAY[${missing.map(literal).join()}]::text[])`)
  return missing
})

const copyConnection = Effect.fnUntraced(function* (options: Options, row: Row) {
  const { sql } = options.target
  const { id, name } = row
  yield* options.onConnection(name)
  const credentials = row.credentials === null ? null : yield* options.reseal(row, row.credentials)
  yield* copyBodies(options, row)
  const expected = yield* measure(options.source, id)
  return yield* Effect.gen(function* () {
    // The source reads its rows between two statements, which may take longer than the default idle limit of a session.
    yield* sql`SET LOCAL idle_in_transaction_session_timeout = '10min'`.unprepared
    yield* copyTable(options, id, "connection").pipe(
      Effect.catchIf(
        (error) => isSqlError(error) && error.reason._tag === "UniqueViolation",
        () => Effect.fail(new NameTaken({ name }))
      )
    )
    // No process runs the connection in the target. A run that continues in the source counts as interrupted.
    yield* sql`UPDATE connection SET credentials = ${credentials}, fence = fence + 1, lease_holder = NULL,
      lease_until = NULL WHERE id = ${id}`
    yield* Effect.forEach(belongings, (table) => copyTable(options, id, table), { discard: true })
    yield* sql`UPDATE run SET status = 'interrupted', finished_at = clock_timestamp()
      WHERE connection_id = ${id} AND status = 'running'`
    yield* copyLanguage(options, row)
    return yield* verify(options.target, row, expected)
  }).pipe(transactionOnce(sql))
})

/** Returns the webhooks that the target lacks: all of them, or those of the connections to copy. */
const missingWebhooks = Effect.fnUntraced(function* (options: Options, wanted: ReadonlyArray<Row>) {
  const { source, target } = options
  const rows = yield* decodeWebhooks(
    yield* source.sql`SELECT id::text AS id, name, secret, connection_id AS "connectionId" FROM webhook
      ORDER BY name, id`
  )
  const there = yield* decodeIds(yield* target.sql`SELECT id::text AS id FROM webhook`)
  return rows.filter(
    (row) =>
      !there.some(({ id }) => id === row.id) &&
      (options.connection === undefined || wanted.some(({ id }) => id === row.connectionId))
  )
})

/** Fails if this many more webhooks would exceed the limit of the target. */
const refuseTooMany = Effect.fnUntraced(function* ({ target }: Options, more: number) {
  const there = yield* decodeIds(yield* target.sql`SELECT id::text AS id FROM webhook`)
  if (there.length + more <= maxWebhooks) return
  return yield* wrong(
    `a database has at most ${maxWebhooks} webhooks; the target has ${there.length}, and the copy would add ${more}: ` +
      "remove some of them, then copy"
  )
})

/**
 * Copies these webhooks with their secrets. Messages are not copied: a cursor is valid only in its own database, so
 * each webhook begins again with all stored content, which includes the changes in the messages.
 */
const copyWebhooks = (options: Options, missing: Effect.Success<ReturnType<typeof missingWebhooks>>) =>
  Effect.forEach(missing, ({ id, name, secret }) =>
    Effect.gen(function* () {
      const { sql } = options.target
      const sealed = yield* options.resealWebhook({ id, name }, secret)
      yield* AdvisoryLocks.take(sql, "webhooks")
      yield* refuseTooMany(options, 1)
      yield* copyRows(options, "webhook", `id = '${id}'`)
      yield* sql`UPDATE webhook SET secret = ${sealed}, cursor = NULL WHERE id = ${id}`
      return { id, name } satisfies CopiedWebhook
    }).pipe(transactionOnce(options.target.sql))
  )

const namesIn = (sql: SqlClient.SqlClient, rows: ReadonlyArray<Row>) =>
  sql`SELECT ${sql.literal(columns)} FROM connection WHERE name = ANY(${texts(rows.map(({ name }) => name))})`

/**
 * Returns the connection of this name, and the connections that it made. A connection that another one made can't be
 * copied alone: its owner in the source would find the account without a connection, and create it again.
 */
const familyOf = Effect.fnUntraced(function* (rows: ReadonlyArray<Row>, name: string) {
  const chosen = rows.find((row) => row.name === name)
  if (chosen === undefined) return yield* new UnknownConnection({ name })
  const maker = rows.find(({ id }) => id === chosen.memberOf)
  if (maker !== undefined) {
    return yield* wrong(`"${name}" was created by "${maker.name}", and is copied with it: copy "${maker.name}"`)
  }
  return rows.filter(({ id, memberOf }) => id === chosen.id || memberOf === chosen.id)
})

/**
 * Copies connections, webhooks and read tokens, and returns their names: all of them, or with `connection` only this
 * one, the connections that it made, and their webhooks, but no tokens. Anything that was copied before stays unchanged
 * (`skipped`). If a name belongs to another connection in the target, or the target would have too many webhooks, the
 * copy fails before it writes anything.
 */
export const run = (
  options: Options
): Effect.Effect<
  {
    readonly copied: ReadonlyArray<Copied>
    readonly skipped: ReadonlyArray<string>
    readonly webhooks: ReadonlyArray<CopiedWebhook>
    /** The names of read tokens. */
    readonly tokens: ReadonlyArray<string>
  },
  StoreError | NameTaken | UnknownConnection
> =>
  Effect.gen(function* () {
    const { sql } = options.source
    yield* sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY`.unprepared
    yield* sql`SET LOCAL TimeZone = 'UTC'`.unprepared
    // The target writes between two statements, for as long as its disk or its blob store takes.
    yield* sql`SET LOCAL idle_in_transaction_session_timeout = 0`.unprepared
    // A connection is copied after the connections that it made. Otherwise a process that polls it in the target would
    // create them again.
    const all = yield* decodeConnections(
      yield* sql`SELECT ${sql.literal(columns)} FROM connection ORDER BY member_of IS NULL, name`
    )
    const rows = options.connection === undefined ? all : yield* familyOf(all, options.connection)
    const there = yield* decodeConnections(yield* namesIn(options.target.sql, rows))
    const isThere = (row: Row) => there.some(({ id }) => id === row.id)
    const taken = rows.find((row) => !isThere(row) && there.some(({ name }) => name === row.name))
    if (taken !== undefined) return yield* new NameTaken({ name: taken.name })
    const missing = yield* missingWebhooks(options, rows)
    if (missing.length > 0) yield* refuseTooMany(options, missing.length)
    const copied = yield* Effect.forEach(
      rows.filter((row) => !isThere(row)),
      (row) => copyConnection(options, row)
    )
    const webhooks = yield* copyWebhooks(options, missing)
    const tokens = options.connection === undefined ? yield* copyTokens(options) : []
    return { copied, skipped: rows.filter(isThere).map(({ name }) => name), webhooks, tokens }
  }).pipe(transactionOnce(options.source.sql), toStoreError("copying"))
