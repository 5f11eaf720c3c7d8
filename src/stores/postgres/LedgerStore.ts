/** The ledger: items that failed, are dead or were deferred, and their retries. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { LedgerStore } from "../../engine/store/LedgerStore.ts"
import * as Storable from "../Storable.ts"
import { allRows, ledger as decodeLedger, ledgerColumns, oneRow } from "./RowDecoders.ts"
import { failIfSuperseded, lockConnection } from "./Fence.ts"
import { texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import * as Totals from "./Totals.ts"
import { transaction } from "./Transactions.ts"

type Methods = LedgerStore["Service"]

const decodeMoved = allRows(Schema.Struct({ hasMoved: Schema.Boolean }))
const decodeCount = oneRow(Schema.Struct({ count: Schema.Finite }))

const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const ofLedger = sql.literal(ledgerColumns)

  return {
    retriesDue: (connectionId, limit) => {
      // An index can be searched for the statement's time, but not for the clock's, which advances during the
      // statement.
      const due = (state: "failed" | "deferred") => sql`(SELECT * FROM content
        WHERE connection_id = ${connectionId} AND pending = ${state} AND next_attempt_at <= statement_timestamp()
        ORDER BY next_attempt_at LIMIT ${limit})`
      return sql`SELECT ${ofLedger} FROM (${due("failed")} UNION ALL ${due("deferred")}) AS due
        ORDER BY next_attempt_at, external_id LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeLedger),
        toStoreError("looking for retries")
      )
    },

    makeFailedDue: (fence) =>
      sql`WITH ours AS (SELECT id FROM connection
            WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} FOR NO KEY UPDATE),
          moved AS (UPDATE content SET next_attempt_at = statement_timestamp() FROM ours
            WHERE connection_id = ours.id AND pending = 'failed' AND next_attempt_at > statement_timestamp()
            RETURNING 1)
        SELECT EXISTS (SELECT FROM moved) AS "hasMoved" FROM ours`.pipe(
        Effect.tap(failIfSuperseded(fence)),
        Effect.flatMap(decodeMoved),
        Effect.map((rows) => rows.some(({ hasMoved }) => hasMoved)),
        toStoreError("making failed items due")
      ),

    ledger: (connectionId, { externalIds, limit, redrivenAfter }) => {
      const redriven =
        redrivenAfter === undefined
          ? sql``
          : sql`AND pending = 'failed' AND attempts = 0 AND external_id > ${Storable.text(redrivenAfter)}`
      const rows = sql`SELECT * FROM content
        WHERE connection_id = ${connectionId} AND pending IS NOT NULL ${redriven}`
      // `OFFSET 0` keeps the look-up by id: other plans read the whole ledger.
      const which =
        externalIds === undefined
          ? rows
          : sql`SELECT each.* FROM unnest(${texts([...new Set(externalIds.filter(Storable.isId))])}) AS given(id),
              LATERAL (${rows} AND external_id = given.id OFFSET 0) AS each`
      return sql`SELECT ${ofLedger} FROM (${which}) AS found ORDER BY external_id LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeLedger),
        toStoreError("reading the ledger")
      )
    },

    redrive: (connectionId, externalIds) =>
      Effect.gen(function* () {
        yield* lockConnection(sql, connectionId)
        const rows = yield* sql`WITH ${Totals.wasPending(sql, connectionId, externalIds?.filter(Storable.isId))},
          moved AS (
            UPDATE content SET attempts = 0, next_attempt_at = clock_timestamp(), pending = 'failed',
              state = CASE WHEN state = 'stored' THEN state ELSE 'failed' END
            FROM was WHERE connection_id = ${connectionId} AND external_id = was_id
            RETURNING ${sql.literal(Totals.movedColumns)}
          ), counted AS (${Totals.add(sql, connectionId, { moved: "moved" })})
          SELECT count(*)::float8 AS count FROM moved`
        const { count } = yield* decodeCount(rows)
        if (count > 0) {
          yield* sql`UPDATE connection SET due_at = least(due_at, clock_timestamp()) WHERE id = ${connectionId}`
        }
        return count
      }).pipe(transaction(sql), toStoreError("resetting the ledger"))
  } satisfies Methods
})

export const layer: Layer.Layer<LedgerStore, never, SqlClient.SqlClient> = Layer.effect(LedgerStore, make)
