/**
 * Extracts the texts of contents and lists their attachments: rows of `derived.text` whose `version` is null. A content
 * is tried once by each version of the extractor; what cannot be read gets a reason.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { BodyAbsent, BodyStore } from "../../engine/store/BodyStore.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { fromHex } from "../../stores/postgres/Parameters.ts"
import { toStoreError } from "../../stores/postgres/SqlErrors.ts"
import { transaction } from "../../stores/postgres/Transactions.ts"
import * as FormatReader from "./FormatReader.ts"
import { type Extracted, TextExtractor } from "./TextExtractor.ts"

/** Contents in one transaction. */
const batchSize = 50

/** Contents whose bodies are read at the same time. */
const readsAtOnce = 2

const Due = Schema.Struct({
  connectionId: Schema.String,
  externalId: Schema.String,
  hash: Schema.String,
  size: Schema.Int,
  mediaType: Schema.NullOr(Schema.String),
  fileName: Schema.NullOr(Schema.String)
})
type Due = typeof Due.Type
const decodeDue = Schema.decodeUnknownEffect(Schema.Array(Due))

const reasonOf = ({ message, reason }: FormatReader.Text): string | null =>
  reason === null ? null : message === null ? reason : `${reason}: ${message}`

/** A body that is gone: its blob is missing, or a purge has removed it since. */
const gone: Extracted = { text: FormatReader.none("", "damaged", "its body is not stored any more"), parts: [] }

/** The reason of such a text. A rebuild tries it again: the body may have been restored. */
export const goneReason = reasonOf(gone.text)

export const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const bodies = yield* BodyStore
  const { extract } = yield* TextExtractor

  yield* sql`UPDATE derived.text SET version = NULL
    WHERE part = -1 AND version > 0 AND version < ${FormatReader.version}`.pipe(toStoreError("looking for old texts"))

  const due = sql`SELECT connection_id AS "connectionId", external_id AS "externalId", encode(sha256, 'hex') AS hash,
      size::float8 AS size, media_type AS "mediaType", file_name AS "fileName"
    FROM derived.text WHERE version IS NULL AND part = -1 ORDER BY connection_id, external_id LIMIT ${batchSize}`.pipe(
    Effect.flatMap((rows) => Effect.orDie(decodeDue(rows)))
  )

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
  const write = Effect.fnUntraced(function* (of: Due, { parts, text }: Extracted) {
    const written = yield* sql`UPDATE derived.text SET text = ${text.text}, reason = ${reasonOf(text)},
        version = ${FormatReader.version}
      WHERE connection_id = ${of.connectionId} AND external_id = ${of.externalId} AND part = -1
        AND version IS NULL AND sha256 = ${fromHex(of.hash)}
      RETURNING 1`
    if (written.length === 0) return
    yield* sql`DELETE FROM derived.text
      WHERE connection_id = ${of.connectionId} AND external_id = ${of.externalId} AND part >= 0`
    if (parts.length > 0) {
      const rows = parts.map((part) => ({
        connection_id: of.connectionId,
        external_id: of.externalId,
        part: part.part,
        sha256: `\\x${part.sha256}`,
        size: part.size,
        media_type: part.mediaType,
        file_name: part.fileName,
        inline: part.inline,
        version: FormatReader.version,
        text: part.text,
        reason: reasonOf(part)
      }))
      yield* sql`INSERT INTO derived.text
        SELECT * FROM json_populate_recordset(NULL::derived.text, ${JSON.stringify(rows)}::json)`
    }
    yield* sql`INSERT INTO derived.pending (connection_id, external_id) VALUES (${of.connectionId}, ${of.externalId})
      ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT`
  })

  /**
   * Extracts the texts of one batch. Returns the number of its contents. Fails, once the others are written, if a body
   * can't be read now: its text stays pending.
   */
  const step: Effect.Effect<number, StoreError> = Effect.gen(function* () {
    const batch = yield* due
    if (batch.length === 0) return 0
    const attempts = yield* Effect.forEach(
      batch,
      (of) => Effect.result(Effect.map(extractOne(of), (found) => [of, found] as const)),
      { concurrency: readsAtOnce }
    )
    const extracted = attempts.flatMap((one) => (Result.isSuccess(one) ? [one.success] : []))
    yield* Effect.gen(function* () {
      // A purge waits for this, or has removed the rows before.
      yield* sql`SELECT pg_advisory_xact_lock_shared(1768187245, 2)`
      yield* Effect.forEach(extracted, ([of, found]) => write(of, found), { discard: true })
    }).pipe(transaction(sql))
    const [failure] = attempts.flatMap((one) => (Result.isFailure(one) ? [one.failure] : []))
    if (failure !== undefined) return yield* failure
    return batch.length
  }).pipe(toStoreError("extracting texts"))

  return { step }
})
