/** Inspects the database for `idem doctor`. It changes nothing, not even the schema. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { statfs } from "node:fs/promises"
import type { FeedHolder } from "../../engine/model/Change.ts"
import { Database } from "../Database.ts"
import * as FeedStore from "./FeedStore.ts"
import * as Migrations from "./Migrations.ts"
import { toStoreError } from "./SqlErrors.ts"
import { oneRow } from "./RowDecoders.ts"

export interface Inspection {
  /** The name of the database, without a password. */
  readonly database: string
  readonly schema: { readonly found: number; readonly supported: number }
  /** How far the database's clock is ahead of this process's, in milliseconds. */
  readonly clockSkewMs: number
  /** The transaction that the feed waits for; null if no transaction writes. */
  readonly feedHolder: FeedHolder | null
  /** The free bytes on the disk of the embedded database; null for an external database. */
  readonly freeBytes: number | null
}

const decode = oneRow(Schema.Struct({ now: Schema.Finite }))

const freeBytesOf = (folder: string) =>
  Effect.tryPromise(() => statfs(folder)).pipe(
    Effect.map(({ bavail, bsize }) => bavail * bsize),
    Effect.orElseSucceed(() => null)
  )

export const inspect = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { name, origin } = yield* Database
  const before = yield* Clock.currentTimeMillis
  const rows = yield* sql`SELECT extract(epoch FROM clock_timestamp())::float8 * 1000 AS now`
  const after = yield* Clock.currentTimeMillis
  const row = yield* decode(rows)
  return {
    database: name,
    schema: { found: yield* Migrations.version, supported: Migrations.supported },
    clockSkewMs: Math.round(row.now - (before + after) / 2),
    feedHolder: yield* FeedStore.holder(sql),
    freeBytes: origin._tag === "embedded" ? yield* freeBytesOf(origin.folder) : null
  } satisfies Inspection
}).pipe(toStoreError("looking at the database"))
