/** Named locks: exclusive claims of one holder, with an expiry. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { LockStore } from "../../engine/store/LockStore.ts"
import { interval } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { onOwnSession } from "./Transactions.ts"
import { allRows } from "./RowDecoders.ts"

const decodeHolder = allRows(Schema.Struct({ holder: Schema.String }))

const make: Effect.Effect<LockStore["Service"], never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient

  const takeLock: LockStore["Service"]["takeLock"] = Effect.fnUntraced(function* (name, options) {
    const { deadHolder, holder, ttl } = options
    const taken = yield* sql`INSERT INTO named_lock (name, holder, held_until)
      VALUES (${name}, ${holder}, clock_timestamp() + ${interval(sql, ttl)})
      ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
        WHERE named_lock.holder IN (excluded.holder, ${deadHolder ?? null})
          OR named_lock.held_until <= clock_timestamp()
      RETURNING 1`.pipe(onOwnSession(sql), toStoreError("taking a lock"))
    if (taken.length > 0) return Option.none()
    const [held] = yield* sql`SELECT holder FROM named_lock WHERE name = ${name}`.pipe(
      Effect.flatMap(decodeHolder),
      toStoreError("taking a lock")
    )
    // No row: the lock was released between the two statements.
    return held === undefined ? yield* takeLock(name, options) : Option.some(held.holder)
  })

  return {
    takeLock,
    releaseLock: (name, holder) =>
      sql`DELETE FROM named_lock WHERE name = ${name} AND holder = ${holder}`.pipe(
        Effect.asVoid,
        toStoreError("releasing a lock")
      )
  }
})

export const layer: Layer.Layer<LockStore, never, SqlClient.SqlClient> = Layer.effect(LockStore, make)
