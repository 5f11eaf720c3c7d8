/** Parameters of SQL statements: typed arrays, durations and ids. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type * as SqlClient from "effect/sql/SqlClient"
import type { Fragment } from "effect/sql/Statement"

const array = (oid: number) => (values: ReadonlyArray<unknown>) => Result.getOrThrow(PgTypes.array(values, oid))

/** Arrays with an explicit type: PostgreSQL can't infer the type of an empty array, or of an array of nulls. */
export const texts: (values: ReadonlyArray<string | null>) => PgTypes.Parameter = array(PgTypes.OID.text)
export const byteas: (values: ReadonlyArray<Uint8Array | null>) => PgTypes.Parameter = array(PgTypes.OID.bytea)
export const int8s: (values: ReadonlyArray<bigint | null>) => PgTypes.Parameter = array(PgTypes.OID.int8)
export const bools: (values: ReadonlyArray<boolean>) => PgTypes.Parameter = array(PgTypes.OID.bool)
export const float8s: (values: ReadonlyArray<number | null>) => PgTypes.Parameter = array(PgTypes.OID.float8)
export const timestamps: (values: ReadonlyArray<Date | null>) => PgTypes.Parameter = array(PgTypes.OID.timestamptz)

/** The longest duration that is added to a time, in milliseconds (100 years). A later date could overflow. */
const longest = 3_155_760_000_000

/** A duration in milliseconds, at most 100 years. */
export const millis = (duration: Duration.Duration): number => Math.min(Duration.toMillis(duration), longest)

/** A duration as an SQL interval. */
export const interval = (sql: SqlClient.SqlClient, duration: Duration.Duration): Fragment =>
  sql`${PgTypes.float8(millis(duration))}::float8 * interval '1 millisecond'`

/** A text as a literal, for statements that take no parameters. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** Returns true if the text can be the id of a row. PostgreSQL would refuse any other text. */
export const isUuid = (id: string): boolean => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(id)

/** Decodes a hash or key id from hex. */
export const fromHex = (text: string): Uint8Array => Buffer.from(text, "hex")
