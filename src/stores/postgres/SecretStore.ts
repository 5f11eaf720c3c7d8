/** Sealed secrets in all tables, retired keys, and pending sign-ins. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { type Sealed, SecretStore } from "../../engine/store/SecretStore.ts"
import { fromHex, interval, isUuid } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { allRows } from "./RowDecoders.ts"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"

type Methods = SecretStore["Service"]

const Row = Schema.Struct({
  kind: Schema.Literals(["connection", "sign-in", "webhook"]),
  id: Schema.String,
  name: Schema.NullOr(Schema.String),
  domain: Schema.NullOr(Schema.String),
  account: Schema.NullOr(Schema.String),
  sealed: Schema.Uint8Array
})
const decodeRows = allRows(Row)
const decodeSealed = allRows(Schema.Struct({ sealed: Schema.Uint8Array }))

const make: Effect.Effect<Methods, never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const inTransaction = transaction(sql)

  /** All sealed values: every table with a sealed column is included here. */
  const all = sql.literal(`(
    SELECT 'connection' AS kind, id::text COLLATE "C" AS id, name, domain, account, credentials AS sealed
      FROM connection WHERE credentials IS NOT NULL
    UNION ALL SELECT 'sign-in', encode(state_hash, 'hex') COLLATE "C", NULL, NULL, NULL, sealed
      FROM sign_in WHERE expires_at > clock_timestamp()
    UNION ALL SELECT 'webhook', id::text COLLATE "C", NULL, NULL, NULL, secret FROM webhook
  ) AS every`)

  return {
    sealedByOtherKeys: (keyId, { after, limit }) =>
      sql`SELECT kind, id, name, domain, account, sealed FROM ${all}
        WHERE substring(sealed FROM 2 FOR 8) <> ${fromHex(keyId)}
          AND (kind COLLATE "C", id) > (${after?.kind ?? ""}, ${after?.id ?? ""})
        ORDER BY kind COLLATE "C", id LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeRows),
        Effect.map((rows) =>
          rows.map(({ account, domain, id, kind, name, sealed }): Sealed => {
            const subject = name === null || domain === null || account === null ? null : { name, domain, account }
            return { kind, id, subject, sealed }
          })
        ),
        toStoreError("looking for what is sealed with another key")
      ),

    replaceSealed: ({ id, kind }, before, next) => {
      const statement = () => {
        switch (kind) {
          case "connection":
            return sql`UPDATE connection SET credentials = ${next} WHERE id = ${id} AND credentials = ${before} RETURNING 1`
          case "sign-in":
            return sql`UPDATE sign_in SET sealed = ${next} WHERE state_hash = ${fromHex(id)} AND sealed = ${before} RETURNING 1`
          case "webhook":
            return sql`UPDATE webhook SET secret = ${next} WHERE id = ${id} AND secret = ${before} RETURNING 1`
        }
      }
      return kind !== "sign-in" && !isUuid(id)
        ? Effect.succeed(false)
        : Effect.suspend(statement).pipe(
            Effect.map((rows) => rows.length > 0),
            inTransaction,
            toStoreError("storing what was sealed afresh")
          )
    },

    retireKey: (keyId) =>
      Effect.gen(function* () {
        yield* AdvisoryLocks.take(sql, "retiredKeys")
        const rows = yield* sql`INSERT INTO retired_key (key_id) SELECT ${fromHex(keyId)}
          WHERE NOT EXISTS (SELECT FROM ${all} WHERE substring(sealed FROM 2 FOR 8) = ${fromHex(keyId)})
          ON CONFLICT (key_id) DO UPDATE SET key_id = excluded.key_id RETURNING 1`
        return rows.length > 0
      }).pipe(inTransaction, toStoreError("retiring a key")),

    admitKey: (keyId) =>
      sql`DELETE FROM retired_key WHERE key_id = ${fromHex(keyId)}`.pipe(
        Effect.asVoid,
        toStoreError("admitting a key")
      ),

    putSignIn: ({ atMost, sealed, stateHash, ttl }) =>
      Effect.gen(function* () {
        yield* sql`DELETE FROM sign_in WHERE expires_at <= clock_timestamp() OR state_hash IN (
          SELECT state_hash FROM sign_in ORDER BY expires_at DESC OFFSET ${Math.max(0, atMost - 1)})`
        yield* sql`INSERT INTO sign_in (state_hash, sealed, expires_at)
          VALUES (${fromHex(stateHash)}, ${sealed}, clock_timestamp() + ${interval(sql, ttl)})`
      }).pipe(inTransaction, toStoreError("keeping a sign-in that is under way")),

    takeSignIn: (stateHash) =>
      sql`DELETE FROM sign_in WHERE state_hash = ${fromHex(stateHash)}
        RETURNING CASE WHEN expires_at > clock_timestamp() THEN sealed END AS sealed`.pipe(
        Effect.map((rows) => rows.filter((row) => row["sealed"] !== null)),
        Effect.flatMap(decodeSealed),
        Effect.map(([row]) => Option.fromUndefinedOr(row?.sealed)),
        inTransaction,
        toStoreError("taking a sign-in that is under way")
      )
  } satisfies Methods
})

export const layer: Layer.Layer<SecretStore, never, SqlClient.SqlClient> = Layer.effect(SecretStore, make)
