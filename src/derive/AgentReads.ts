/**
 * Reads of the schema `mirror` for agents: single contents and conversations, each of bounded size and time. A read is
 * a read-only transaction with the rights of a role that may read nothing else (`ReadOnlyRole.ts`).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Storable from "../stores/Storable.ts"
import { texts } from "../stores/postgres/Parameters.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { transaction } from "../stores/postgres/Transactions.ts"
import { readerRole } from "./ReadOnlyRole.ts"
import { allRows, ids as decodeIds } from "../stores/postgres/RowDecoders.ts"

/** The names of the connections to read. */
type Names = ReadonlyArray<string>

const Time = Schema.NullOr(Schema.DateTimeUtcFromDate)
const Text = Schema.NullOr(Schema.String)

/** The name of a content's connection, and its external id. */
export interface Ref {
  readonly connection: string
  readonly id: string
}

export const Item = Schema.Struct({
  connection: Schema.String,
  id: Schema.String,
  kind: Text,
  title: Text,
  from: Text,
  at: Time
})
export const Message = Schema.Struct({
  ...Item.fields,
  text: Text,
  /** The number of characters of the whole text. */
  length: Schema.Int
})
export type Message = typeof Message.Type

export const Attachment = Schema.Struct({
  part: Schema.Int,
  fileName: Text,
  mediaType: Text,
  size: Schema.NullOr(Schema.Finite),
  /** The number of characters of its text; 0 if it has none. */
  length: Schema.Int
})
export const ContentRow = Schema.Struct({
  ...Message.fields,
  state: Schema.String,
  mediaType: Text,
  size: Schema.Finite,
  to: Schema.Array(Schema.String)
})
export type Content = typeof ContentRow.Type & { readonly attachments: ReadonlyArray<typeof Attachment.Type> }

const decodeMessages = allRows(Message)
const decodeContents = allRows(ContentRow)
const decodeAttachments = allRows(Attachment)

/** The part of a list to read: `limit` items after the first `offset`. */
export interface Page {
  readonly offset: number
  readonly limit: number
}

/** A page of a list. `next` is the offset of the next page, or null. */
export interface Paged<A> {
  readonly items: ReadonlyArray<A>
  readonly next: number | null
}

/** Makes a page from rows that were read with one more than the limit. */
const paged = <A>(rows: ReadonlyArray<A>, { limit, offset }: Page): Paged<A> => ({
  items: rows.slice(0, limit),
  next: rows.length > limit ? offset + limit : null
})

/** The most characters of one text in a conversation. */
const longestMessage = 4000

/** Runs a read in a read-only transaction, with the rights of the reader role if that role exists. */
const reading =
  (hasReaderRole: boolean) =>
  <A, E, R>(read: Effect.Effect<A, E, R>) =>
    SqlClient.SqlClient.use((sql) =>
      Effect.gen(function* () {
        yield* sql`SET TRANSACTION READ ONLY`.unprepared
        if (hasReaderRole) yield* sql`SET LOCAL ROLE ${sql(readerRole)}`.unprepared
        yield* sql`SELECT set_config('statement_timeout', '10000', true), set_config('enable_seqscan', 'on', true)`
        return yield* read
      }).pipe(transaction(sql))
    ).pipe(toStoreError("reading the schema mirror"))

/** The SQL of a content's sender, for people. */
const senderOf = `coalesce(mail.from_name || ' <' || mail.from_address || '>', mail.from_address, mail.from_name,
  slack_message.user_name)`

const joined = `mirror.content AS content
  LEFT JOIN mirror.mail ON mail.connection = content.connection AND mail.id = content.id
  LEFT JOIN mirror.slack_message ON slack_message.connection = content.connection AND slack_message.id = content.id`

const fields = `content.connection, content.id, content.kind, content.title, ${senderOf} AS "from",
  content.occurred_at AS at`

export const make = (hasReaderRole: boolean) => {
  /** Reads a content with its attachments, and a page of its text or, with `part`, of the text of an attachment. */
  const get = Effect.fnUntraced(function* (
    names: Names,
    ref: Ref,
    page: { readonly offset: number; readonly length: number; readonly part?: number | undefined }
  ) {
    const sql = yield* SqlClient.SqlClient
    const id = Storable.text(ref.id)
    const connection = Storable.text(ref.connection)
    const text =
      page.part === undefined
        ? sql`content.text`
        : sql`(SELECT read.text FROM mirror.attachment AS read WHERE read.connection = content.connection
            AND read.content = content.id AND read.part = ${page.part}::int)`
    const rows = yield* sql`SELECT ${sql.literal(fields)}, content.state, content.media_type AS "mediaType",
        content.size::float8 AS size,
        substring(${text} FROM ${page.offset + 1}::int FOR ${page.length}::int) AS text,
        coalesce(length(${text}), 0) AS length,
        ARRAY(SELECT coalesce(a.name || ' <' || a.address || '>', a.address, a.name) FROM mirror.mail_address AS a
          WHERE a.connection = content.connection AND a.mail = content.id AND a.role IN ('to', 'cc')
            AND coalesce(a.address, a.name) IS NOT NULL ORDER BY a.role DESC, a.position LIMIT 50) AS "to"
      FROM ${sql.literal(joined)}
      WHERE content.connection = ${connection} AND content.connection = ANY(${texts(names)}) AND content.id = ${id}`
    const [found] = yield* decodeContents(rows)
    if (found === undefined) return Option.none<Content>()
    const parts = yield* sql`SELECT part, file_name AS "fileName", media_type AS "mediaType", size::float8 AS size,
        coalesce(length(text), 0) AS length
      FROM mirror.attachment WHERE connection = ${connection} AND content = ${id} ORDER BY part LIMIT 100`
    return Option.some<Content>({ ...found, attachments: yield* decodeAttachments(parts) })
  }, reading(hasReaderRole))

  /** Returns the conversation of a content, newest first; empty if it has none. */
  const thread = Effect.fnUntraced(function* (names: Names, ref: Ref, page: Page) {
    const sql = yield* SqlClient.SqlClient
    const id = Storable.text(ref.id)
    const connection = Storable.text(ref.connection)
    const text = sql.literal(
      `left(content.text, ${longestMessage}) AS text, coalesce(length(content.text), 0) AS length`
    )
    // Reads the ids first: in one query with the texts, the planner would scan all contents by time.
    const members = yield* sql`SELECT other.id FROM mirror.mail AS one JOIN mirror.mail AS other
          ON other.connection = one.connection AND other.thread = one.thread
        WHERE one.connection = ${connection} AND one.id = ${id}
        UNION ALL
        SELECT other.id FROM mirror.slack_message AS one JOIN mirror.slack_message AS other
          ON other.connection = one.connection AND other.channel_id = one.channel_id
          AND (other.thread_ts = coalesce(one.thread_ts, one.ts)
            OR other.id = one.channel_id || '/' || coalesce(one.thread_ts, one.ts))
        WHERE one.connection = ${connection} AND one.id = ${id} AND other.deleted_at IS NULL`
    const ids = (yield* decodeIds(members)).map((member) => member.id)
    const rows = yield* sql`SELECT ${sql.literal(fields)}, ${text} FROM ${sql.literal(joined)}
      WHERE content.connection = ${connection} AND content.connection = ANY(${texts(names)})
        AND content.id = ANY(${texts(ids)})
      ORDER BY content.occurred_at DESC, content.id LIMIT ${page.limit + 1} OFFSET ${page.offset}`
    return paged(yield* decodeMessages(rows), page)
  }, reading(hasReaderRole))

  return { get, thread }
}
