/** Locks that statements of several processes take for the rest of their transactions. */
import type * as SqlClient from "effect/sql/SqlClient"

/** The first key of each lock, so that no other program in the same database takes it: "idem" in ASCII. */
const idem = 0x69_64_65_6d

/** The second key. Released migrations contain these numbers too, so they do not change. */
const keys = {
  /** Retired keys. What stores a secret shares it (`migrations/Keys.ts`). */
  retiredKeys: 1,
  /** Rows that are derived from contents. What writes them shares it, and purges take it (`migrations/Mirror.ts`). */
  derivedRows: 2,
  /** The tables and views of the schema `mirror`, and the role that reads it. */
  mirror: 3,
  /** The functions and tables of search. */
  search: 4,
  /** The number of webhooks. */
  webhooks: 5
} as const

const keysOf = (sql: SqlClient.SqlClient, name: keyof typeof keys) => sql.literal(`${idem}, ${keys[name]}`)

/** Takes a lock, once nobody else holds it. */
export const take = (sql: SqlClient.SqlClient, name: keyof typeof keys) =>
  sql`SELECT pg_advisory_xact_lock(${keysOf(sql, name)})`

/** Takes a lock together with others that share it, once nobody holds it alone. */
export const share = (sql: SqlClient.SqlClient, name: keyof typeof keys) =>
  sql`SELECT pg_advisory_xact_lock_shared(${keysOf(sql, name)})`
