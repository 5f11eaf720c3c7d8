/** Tokens of agents. Until it is revoked, a token may only read mirrored content, of all connections or of some. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Crypto from "node:crypto"
import { UsageError } from "../engine/Engine.ts"
import { ConnectionId } from "../engine/model/Connection.ts"
import { texts } from "../stores/postgres/Parameters.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { allRows } from "../stores/postgres/RowDecoders.ts"

/** The prefix of every token, by which people and secret scanners recognize it. */
export const prefix = "idem_read_"

/** The connections that may be read; undefined means all. */
export type Scope = ReadonlyArray<ConnectionId> | undefined

export interface ReadToken {
  readonly name: string
  /** The names of the connections; null means all. A connection that was removed is left out. */
  readonly connections: ReadonlyArray<string> | null
  readonly createdAt: DateTime.Utc
  /** When the token was last used, to the minute; null if never. */
  readonly usedAt: DateTime.Utc | null
}

const Time = Schema.DateTimeUtcFromDate
const decodeTokens = allRows(
  Schema.Struct({
    name: Schema.String,
    connections: Schema.NullOr(Schema.Array(Schema.String)),
    createdAt: Time,
    usedAt: Schema.NullOr(Time)
  })
)
const decodeScopes = allRows(
  Schema.Struct({ connections: Schema.NullOr(Schema.Array(ConnectionId)), isNoted: Schema.Boolean })
)

/** The token has 256 random bits, so a plain hash of it is safe. */
const hashOf = (token: Redacted.Redacted): Uint8Array =>
  Crypto.createHash("sha256").update(Redacted.value(token)).digest()

/** Creates a token for these connections, or for all. The token is returned only here. */
export const create = (name: string, connections: Scope) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const token = Redacted.make(`${prefix}${Crypto.randomBytes(32).toString("base64url")}`)
    const made = yield* sql`INSERT INTO read_token (name, hash, connections)
      VALUES (${name}, ${PgTypes.bytea(hashOf(token))},
        ${connections === undefined ? null : texts(connections)}::uuid[])
      ON CONFLICT (name) DO NOTHING RETURNING 1`
    if (made.length > 0) return token
    return yield* new UsageError({
      message: `there is a token ${JSON.stringify(name)} already: revoke it, or take another name`
    })
  }).pipe(toStoreError("making a read token"))

/** Returns all tokens, without their secrets. */
export const list = SqlClient.SqlClient.use(
  (sql) =>
    sql`SELECT name, created_at AS "createdAt", used_at AS "usedAt",
      CASE WHEN connections IS NOT NULL THEN ARRAY(SELECT connection.name FROM connection
        WHERE connection.id = ANY(connections) ORDER BY 1) END AS connections
    FROM read_token ORDER BY name`
).pipe(Effect.flatMap(decodeTokens), toStoreError("reading the read tokens"))

/** Revokes a token at once. Returns false if no token has this name. */
export const revoke = (name: string) =>
  SqlClient.SqlClient.use((sql) => sql`DELETE FROM read_token WHERE name = ${name} RETURNING 1`).pipe(
    Effect.map((rows) => rows.length > 0),
    toStoreError("revoking a read token")
  )

/** Returns the scope of the token, or `Option.none` if the token does not exist. */
export const scopeOf = (token: Redacted.Redacted) =>
  Effect.gen(function* () {
    if (!Redacted.value(token).startsWith(prefix)) return Option.none<Scope>()
    const sql = yield* SqlClient.SqlClient
    const hash = PgTypes.bytea(hashOf(token))
    const [found] = yield* decodeScopes(
      yield* sql`SELECT connections, coalesce(used_at > clock_timestamp() - interval '1 minute', false) AS "isNoted"
        FROM read_token WHERE hash = ${hash}`
    )
    if (found === undefined) return Option.none<Scope>()
    if (!found.isNoted) yield* sql`UPDATE read_token SET used_at = clock_timestamp() WHERE hash = ${hash}`
    return Option.some<Scope>(found.connections ?? undefined)
  }).pipe(toStoreError("checking a read token"))
