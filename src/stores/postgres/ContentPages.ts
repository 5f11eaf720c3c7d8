/** Lists of stored contents: by id or newest first, filtered by kind, time, or a word in the title. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import * as SqlClient from "effect/sql/SqlClient"
import type { ContentPage, ContentSelection } from "../../engine/model/Content.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import * as Storable from "../Storable.ts"
import { allRows, contentColumns, contentFields } from "./RowDecoders.ts"
import { toStoreError } from "./SqlErrors.ts"

type Methods = Pick<ContentStore["Service"], "contents">

/**
 * How many rows a page examines for filters without an index: a kind, a word in a title, or a window of time in the
 * order of ids. Of 1,000,000 rows this took 80 ms by time, and 300 ms by id if ids are in no order on the disk. A page
 * that is not full then returns the place where it stopped.
 */
const lookAtMost = 20_000

const decodeFound = allRows(Schema.Struct({ ...contentFields, isEnd: Schema.Boolean }))

/** Escapes the wildcards of `LIKE`. */
const pattern = (text: string): string => `%${Storable.text(text).replaceAll(/[\\%_]/g, String.raw`\$&`)}%`

const dateOf = (at: DateTime.Utc | null) => (at === null ? null : DateTime.toDateUtc(at))

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const columns = sql.literal(contentColumns)
  // As in the index `content_time`: unknown times sort before all others.
  const time = sql.literal("coalesce(occurred_at, '-infinity')")

  const where = (connectionId: string, selection: ContentSelection) => {
    const { after, order, since, state, until } = selection
    // Content whose update failed is both stored and failed, so it is listed under either state.
    const inLedger = state === "failed" || state === "dead" || state === "deferred"
    return sql.and([
      sql`connection_id = ${connectionId}`,
      inLedger ? sql`pending = ${state}` : sql`state = ${sql.literal(`'${state}'`)}`,
      ...(since === undefined ? [] : [sql`${time} >= ${DateTime.toDateUtc(since)}`]),
      ...(until === undefined ? [] : [sql`${time} < ${DateTime.toDateUtc(until)} AND occurred_at IS NOT NULL`]),
      ...(since === undefined ? [] : [sql`occurred_at IS NOT NULL`]),
      ...(after === undefined
        ? []
        : order === "newest"
          ? [
              sql`(${time}, external_id) <
                (coalesce(${dateOf(after.occurredAt)}::timestamptz, '-infinity'), ${Storable.text(after.externalId)})`
            ]
          : [sql`external_id > ${Storable.text(after.externalId)}`])
    ])
  }

  return {
    contents: (connectionId, selection) => {
      const { kind, limit, order, since, state, text, until } = selection
      const newest = order === "newest"
      const wanted = where(connectionId, selection)
      const inOrder = newest ? sql`${time} DESC, external_id DESC` : sql`external_id`
      const plain = sql`SELECT ${columns}, false AS "isEnd" FROM content WHERE ${wanted}
        ORDER BY ${inOrder} LIMIT ${limit + 1}`
      const matches = sql.and([
        ...(kind === undefined ? [] : [sql`kind = ${Storable.text(kind)}`]),
        ...(text === undefined ? [] : [sql`title ILIKE ${pattern(text)}`]),
        sql`true`
      ])
      // One statement reads one snapshot. The end of the examined rows is computed only if they did not fill the page.
      const looking = sql`WITH found AS MATERIALIZED (
          SELECT * FROM (SELECT *, ${time} AS at FROM content WHERE ${wanted} ORDER BY ${inOrder} LIMIT ${lookAtMost}) AS looked
          WHERE ${matches} ORDER BY ${newest ? sql`at DESC, external_id DESC` : sql`external_id`} LIMIT ${limit + 1}
        )
        SELECT ${columns}, "isEnd" FROM (
          SELECT *, false AS "isEnd" FROM found
          UNION ALL
          SELECT * FROM (SELECT *, ${time}, true FROM content
            WHERE ${wanted} AND (SELECT count(*) FROM found) <= ${limit}
            ORDER BY ${inOrder} OFFSET ${lookAtMost - 1} LIMIT 1) AS last
        ) AS listed
        ORDER BY "isEnd", ${newest ? sql`at DESC, external_id DESC` : sql`external_id`}`
      const isUnbounded = kind !== undefined || text !== undefined || (!newest && (since ?? until) !== undefined)
      return (isUnbounded ? looking : plain).pipe(
        Effect.flatMap(decodeFound),
        Effect.map((rows): ContentPage => {
          const found = rows.filter((row) => !row.isEnd)
          const contents = found.slice(0, limit).map((row) => ({ ...Struct.omit(row, ["isEnd"]), state }))
          const last = found.length > limit ? contents.at(-1) : rows.find((row) => row.isEnd)
          const next = last === undefined ? null : { externalId: last.externalId, occurredAt: last.occurredAt }
          return { contents, next }
        }),
        toStoreError("reading contents")
      )
    }
  }
})
