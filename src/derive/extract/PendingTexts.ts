/**
 * Extracts the texts of contents and lists their attachments, for rows of `derived.text` whose `next_attempt` is due.
 * Each version of the extractor tries a content once; a text that can't be read gets a reason. Two failures are
 * retried: a body that could not be fetched, and a file that took too much time or memory.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import { BodyAbsent, BodyStore } from "../../engine/store/BodyStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { fromHex } from "../../stores/postgres/Parameters.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import { transaction } from "../../stores/postgres/Transactions.ts"
import * as Storable from "../../stores/Storable.ts"
import { bisected } from "../BisectedWrite.ts"
import * as FormatReader from "./FormatReader.ts"
import { type Extracted, TextExtractor } from "./TextExtractor.ts"
import { allRows } from "../../stores/postgres/RowDecoders.ts"
import * as AdvisoryLocks from "../../stores/postgres/AdvisoryLocks.ts"

/** The number of contents in one step. */
const batchSize = 50

/** The most characters of text that are held before they are written. */
const mostHeld = 4_000_000

/** How many bodies are read at the same time. */
const readsAtOnce = 2

const Due = Schema.Struct({
  connectionId: Schema.String,
  externalId: Schema.String,
  hash: Schema.String,
  size: Schema.Int,
  mediaType: Schema.NullOr(Schema.String),
  fileName: Schema.NullOr(Schema.String),
  attempts: Schema.Int
})
type Due = typeof Due.Type
const decodeDue = allRows(Due)

const reasonOf = ({ message, reason }: FormatReader.Text): string | null =>
  reason === null ? null : message === null ? reason : `${reason}: ${message}`

/** The result for a missing body: its blob is missing, or a purge has removed it. */
const gone: Extracted = { text: FormatReader.withoutText("", "damaged", "its body is not stored any more"), parts: [] }

/** The reason of such a text. A rebuild tries it again, because the body may have been restored. */
export const goneReason = reasonOf(gone.text)

/** The result for a file whose text the database refuses to store. */
const refused: Extracted = { text: FormatReader.withoutText("", "damaged", "its text can't be stored"), parts: [] }

/** How often a file that took too much time or memory is tried: a busy machine may be the cause. */
const mostAttempts = 3

const isCostly = ({ parts, text }: Extracted): boolean =>
  [text, ...parts].some(({ reason }) => reason === "time" || reason === "memory")

const lengthOf = ({ parts, text }: Extracted): number =>
  [text, ...parts].reduce((sum, one) => sum + (one.text?.length ?? 0), 0)

const storable = (row: Readonly<Record<string, string | number | boolean | null>>) =>
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, typeof value === "string" ? Storable.text(value) : value])
  )

/** Puts unreadable texts back into the queue, except those that would fail again at every attempt. */
export const redrive = SqlClient.SqlClient.use(
  (sql) => sql`UPDATE derived.text SET next_attempt = '-infinity', attempts = NULL
    FROM (SELECT DISTINCT connection_id, external_id FROM derived.text
      WHERE reason ~ '^(damaged|time|memory)' OR next_attempt IS NOT NULL) AS unread
    WHERE text.connection_id = unread.connection_id AND text.external_id = unread.external_id AND part = -1`
)

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const bodies = yield* BodyStore
  const { extract } = yield* TextExtractor

  yield* sql`UPDATE derived.text SET version = NULL, next_attempt = '-infinity', attempts = NULL
    WHERE part = -1 AND version > 0 AND version < ${FormatReader.version}`.pipe(toStoreError("looking for old texts"))

  const due = sql`SELECT connection_id AS "connectionId", external_id AS "externalId", encode(sha256, 'hex') AS hash,
      size::float8 AS size, media_type AS "mediaType", file_name AS "fileName", coalesce(attempts, 0) AS attempts
    FROM derived.text WHERE next_attempt <= clock_timestamp()
    ORDER BY next_attempt, connection_id, external_id LIMIT ${batchSize}`.pipe(Effect.flatMap(decodeDue))

  const extractOne = ({ fileName, hash, mediaType, size }: Due) =>
    extract({
      size,
      mediaType: mediaType ?? undefined,
      fileName: fileName ?? undefined,
      bytes: (range) => bodies.body(hash, range)
    }).pipe(
      Effect.catchIf(
        (error) => error instanceof BodyAbsent,
        (error) => Effect.as(Effect.logWarning(error.message), gone)
      )
    )

  /** Writes the texts of a content, unless its body changed or it was purged while they were extracted. */
  const write = Effect.fnUntraced(function* (of: Due, extracted: Extracted) {
    const { parts, text } = extracted
    const own = storable({ text: text.text, reason: reasonOf(text) })
    const isAgain = isCostly(extracted) && of.attempts + 1 < mostAttempts
    const written = yield* sql`UPDATE derived.text SET text = ${own.text}, reason = ${own.reason},
        version = ${FormatReader.version}, attempts = ${isAgain ? of.attempts + 1 : null},
        next_attempt = CASE WHEN ${isAgain} THEN clock_timestamp() + interval '10 minutes' * power(6, ${of.attempts}) END
      WHERE connection_id = ${of.connectionId} AND external_id = ${of.externalId} AND part = -1
        AND next_attempt IS NOT NULL AND sha256 = ${fromHex(of.hash)}
      RETURNING 1`
    if (written.length === 0) return
    yield* sql`DELETE FROM derived.text
      WHERE connection_id = ${of.connectionId} AND external_id = ${of.externalId} AND part >= 0`
    if (parts.length > 0) {
      const rows = parts.map((part) =>
        storable({
          connection_id: of.connectionId,
          external_id: of.externalId,
          part: part.part,
          sha256: part.sha256 === null ? null : `\\x${part.sha256}`,
          size: part.size,
          media_type: part.mediaType,
          file_name: part.fileName,
          inline: part.inline,
          version: FormatReader.version,
          text: part.text,
          reason: reasonOf(part)
        })
      )
      yield* sql`INSERT INTO derived.text
        SELECT * FROM json_populate_recordset(NULL::derived.text, ${JSON.stringify(rows)}::json)`
    }
    yield* sql`INSERT INTO derived.pending (connection_id, external_id) VALUES (${of.connectionId}, ${of.externalId})
      ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT`
  })

  const writeAll = (all: ReadonlyArray<readonly [Due, Extracted]>) =>
    Effect.gen(function* () {
      // A purge waits for this lock, or has already removed the rows.
      yield* AdvisoryLocks.share(sql, "derivedRows")
      yield* Effect.forEach(all, ([of, found]) => write(of, found), { discard: true })
    }).pipe(transaction(sql))

  const store = (all: ReadonlyArray<readonly [Due, Extracted]>) =>
    bisected(all, writeAll, ([of], cause) =>
      Effect.andThen(
        Effect.logError(`the text of ${of.externalId} can't be stored`, cause).pipe(
          Effect.annotateLogs({ connection: of.connectionId })
        ),
        writeAll([[of, refused]])
      )
    )

  /**
   * Postpones a content whose body can't be read now: by a minute at first, and at most by an hour. Meanwhile, search
   * indexes it by its title and its names.
   */
  const postpone = (of: Due) => sql`WITH later AS (
      UPDATE derived.text SET attempts = ${of.attempts + 1},
        next_attempt = clock_timestamp() + least(interval '1 minute' * power(2, ${Math.min(of.attempts, 10)}), interval '1 hour')
      WHERE connection_id = ${of.connectionId} AND external_id = ${of.externalId} AND part = -1
        AND next_attempt IS NOT NULL AND sha256 = ${fromHex(of.hash)}
      RETURNING connection_id, external_id)
    INSERT INTO derived.pending (connection_id, external_id) SELECT connection_id, external_id FROM later
      WHERE ${of.attempts} = 0
    ON CONFLICT (connection_id, external_id) DO NOTHING`

  /** Extracts the texts of one batch. Returns the number of its contents. */
  const step: Effect.Effect<number, StoreError> = Effect.gen(function* () {
    const batch = yield* due
    let held: Array<readonly [Due, Extracted]> = []
    let length = 0
    const flush = Effect.suspend(() => {
      const all = held
      held = []
      length = 0
      return all.length === 0 ? Effect.void : store(all)
    })
    const failures: Array<StoreError> = []
    yield* Stream.fromIterable(batch).pipe(
      Stream.mapEffect(
        (of) =>
          extractOne(of).pipe(
            Effect.map((found) => [of, found] as const),
            Effect.catch((error) => {
              failures.push(error)
              return Effect.as(postpone(of), undefined)
            })
          ),
        { concurrency: readsAtOnce }
      ),
      Stream.runForEach(
        Effect.fnUntraced(function* (one) {
          if (one === undefined) return
          held.push(one)
          length += lengthOf(one[1])
          if (length > mostHeld) yield* flush
        })
      )
    )
    yield* flush
    const [failure] = failures
    if (failure !== undefined) {
      yield* Effect.logWarning(`${failures.length} texts wait for their bodies: ${failure.message}`)
    }
    return batch.length
  }).pipe(toStoreError("extracting texts"))

  return { step }
})
