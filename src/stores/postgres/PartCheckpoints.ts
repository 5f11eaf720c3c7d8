/** Parts: small checkpoints by key, of a connection or of a task with a checkpoint of its own. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { PageEnd } from "../../engine/model/Batch.ts"
import type { ConnectionId } from "../../engine/model/Connection.ts"
import type { TaskId } from "../../engine/model/Task.ts"
import type { ContentStore } from "../../engine/store/ContentStore.ts"
import * as Storable from "../Storable.ts"
import { texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { allRows } from "./RowDecoders.ts"

// In an array, so that any JSON value, also null, arrives unchanged.
const decodeParts = allRows(Schema.Struct({ key: Schema.String, checkpoint: Schema.Tuple([Schema.Json]) }))

export const make: Effect.Effect<Pick<ContentStore["Service"], "parts">, never, SqlClient.SqlClient> = Effect.map(
  SqlClient.SqlClient,
  (sql) => ({
    parts: (connectionId, taskId, keys) =>
      sql`SELECT key, json_build_array(checkpoint) AS checkpoint FROM part
        WHERE connection_id = ${connectionId} AND owner_id = ${taskId ?? connectionId}
          AND key = ANY(${texts(keys.filter(Storable.isId))})`.pipe(
        Effect.flatMap(decodeParts),
        Effect.map((rows) => new Map(rows.map(({ checkpoint, key }) => [key, checkpoint[0]]))),
        toStoreError("reading parts")
      )
  })
)

/** Moves the parts of a page, in a transaction that holds the fence. */
export const move = Effect.fnUntraced(function* (
  sql: SqlClient.SqlClient,
  connectionId: ConnectionId,
  taskId: TaskId | undefined,
  page: PageEnd
) {
  const owner = taskId ?? connectionId
  // The last move of each part: one statement can't change a row twice.
  const moves = [...new Map(page.parts.map((move) => [move.key, move])).values()]
  const forgotten = moves.filter(({ checkpoint }) => checkpoint === null).map(({ key }) => key)
  const set = moves.filter(({ checkpoint }) => checkpoint !== null)
  if (page.forgetsParts) yield* sql`DELETE FROM part WHERE connection_id = ${connectionId} AND owner_id = ${owner}`
  else if (forgotten.length > 0) {
    yield* sql`DELETE FROM part WHERE connection_id = ${connectionId} AND owner_id = ${owner}
      AND key = ANY(${texts(forgotten)})`
  }
  if (set.length === 0) return
  const checkpoints = set.map(({ checkpoint }) => JSON.stringify(checkpoint))
  yield* sql`INSERT INTO part (connection_id, owner_id, key, checkpoint)
    SELECT ${connectionId}::uuid, ${owner}::uuid, key, checkpoint::json
    FROM unnest(${texts(set.map(({ key }) => key))}, ${texts(checkpoints)}) AS given(key, checkpoint)
    ON CONFLICT (connection_id, owner_id, key) DO UPDATE SET checkpoint = excluded.checkpoint`
})
