/** Connections: their configuration, credentials and state. */
import { ConnectionStore } from "../../engine/store/ConnectionStore.ts"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId, disconnected } from "../../engine/model/Connection.ts"
import { NameTaken, StoreError } from "../../engine/store/StoreError.ts"
import type { BlobStore } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import * as Purge from "./Purge.ts"
import {
  allRows,
  connectionColumns,
  connectionIds as decodeConnectionIds,
  connections as decodeConnections
} from "./RowDecoders.ts"
import { isUuid, millis, texts } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import { interruptRuns } from "./RunStore.ts"
import { failIfSuperseded } from "./Fence.ts"

type Methods = ConnectionStore["Service"]

/** Tables with rows of a connection (`connection_id`), except its contents, which are removed first (see Purge.ts). */
const belongings = ["totals", "staged_deletion", "seen", "listing", "part", "task", "task_key", "run"]

const decodeNames = allRows(Schema.Struct({ id: ConnectionId, name: Schema.String }))

const accountTaken = (name: string) => `creating the connection ${name}: its account has a connection already`

const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { removeContents } = yield* Purge.make
  const columns = sql.literal(connectionColumns)
  const inTransaction = transaction(sql)

  const first = (rows: ReadonlyArray<unknown>) =>
    Effect.map(decodeConnections(rows), (decoded) => Option.fromUndefinedOr(decoded[0]))

  /** Ends requested tasks: no run can do them without credentials. */
  const endTasks = (connectionId: ConnectionId) => sql`
    UPDATE task SET finished_at = clock_timestamp(), error_reason = ${disconnected.reason},
      error_message = ${disconnected.message}
    WHERE connection_id = ${connectionId} AND requested AND finished_at IS NULL`

  const remove = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    yield* sql`DELETE FROM task_done WHERE task_id IN (SELECT id FROM task WHERE connection_id = ${connectionId})`
    yield* Effect.forEach(belongings, (table) => sql`DELETE FROM ${sql(table)} WHERE connection_id = ${connectionId}`, {
      discard: true
    })
    yield* sql`UPDATE connection SET member_of = NULL, member_id = NULL WHERE member_of = ${connectionId}`
    yield* sql`DELETE FROM connection WHERE id = ${connectionId}`
    // Last, because it has waited for messages that were being written. No later message contains changes of the
    // connection.
    yield* Purge.forgetInMessages(sql, connectionId)
  })

  return {
    createConnection: (given) =>
      sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms, guarded, member_of, member_id,
          estimate)
        VALUES (${given.name}, ${given.domain}, ${given.account}, ${JSON.stringify(given.config)}::json,
          ${given.credentials}, ${PgTypes.float8(millis(given.every))}, ${given.guarded ?? false},
          ${given.member?.of ?? null}::uuid, ${given.member?.externalId ?? null},
          ${given.estimate === undefined ? null : JSON.stringify(given.estimate)}::jsonb)
        RETURNING ${columns}`.pipe(
        Effect.catchIf(
          (error) => error.reason._tag === "UniqueViolation" && error.reason.constraint === "connection_name",
          () => Effect.fail(new NameTaken({ name: given.name }))
        ),
        Effect.catchIf(
          (error) =>
            error._tag === "SqlError" &&
            error.reason._tag === "UniqueViolation" &&
            error.reason.constraint === "connection_member",
          (cause) => Effect.fail(new StoreError({ message: accountTaken(given.name), cause }))
        ),
        Effect.flatMap(first),
        Effect.flatMap((created) => Effect.orDie(Effect.fromOption(created))),
        toStoreError(`creating the connection ${given.name}`)
      ),

    updateConnection: (connectionId, change) =>
      Effect.gen(function* () {
        if (change.was !== undefined) {
          const now = yield* first(
            yield* sql`SELECT ${columns} FROM connection WHERE id = ${connectionId} FOR NO KEY UPDATE`
          )
          const isSame = Option.exists(now, ({ config }) => JSON.stringify(config) === JSON.stringify(change.was))
          if (!isSame) return Option.none()
        }
        const changed = yield* first(
          yield* sql`UPDATE connection SET
              config = coalesce(${change.config === undefined ? null : JSON.stringify(change.config)}::json, config),
              credentials = coalesce(${PgTypes.bytea(change.credentials ?? null)}, credentials),
              every_ms = coalesce(${PgTypes.float8(change.every === undefined ? null : millis(change.every))}, every_ms),
              guarded = coalesce(${change.guarded ?? null}::boolean, guarded),
              estimate = coalesce(${change.estimate === undefined ? null : JSON.stringify(change.estimate)}::jsonb, estimate),
              fence = fence + 1, lease_holder = NULL, lease_until = NULL,
              next_poll_at = clock_timestamp(), due_at = clock_timestamp()
            WHERE id = ${connectionId} RETURNING ${columns}`
        )
        // The run loses its fence, so it can no longer end its own row.
        yield* interruptRuns(sql, connectionId)
        return changed
      }).pipe(inTransaction, toStoreError("changing a connection")),

    saveCredentials: (fence, credentials) =>
      sql`UPDATE connection SET credentials = ${credentials}
        WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} RETURNING 1`.pipe(
        Effect.flatMap(failIfSuperseded(fence)),
        inTransaction,
        toStoreError("saving refreshed credentials")
      ),

    connection: (connectionId) =>
      isUuid(connectionId)
        ? sql`SELECT ${columns} FROM connection WHERE id = ${connectionId}`.pipe(
            Effect.flatMap(first),
            toStoreError("reading a connection")
          )
        : Effect.succeedNone,

    connectionsById: (connectionIds) =>
      sql`SELECT ${columns} FROM connection WHERE id = ANY(${texts(connectionIds.filter(isUuid))}::uuid[])`.pipe(
        Effect.flatMap(decodeConnections),
        toStoreError("reading connections")
      ),

    connectionByName: (name) =>
      Storable.isId(name)
        ? sql`SELECT ${columns} FROM connection WHERE name = ${name}`.pipe(
            Effect.flatMap(first),
            toStoreError(`reading the connection ${name}`)
          )
        : Effect.succeedNone,

    connectionIdsOf: (domain, account) =>
      sql`SELECT id FROM connection WHERE domain = ${Storable.text(domain)} AND paused IS NULL
        AND (account = ${Storable.text(account)} OR starts_with(account, ${`${Storable.text(account)}/`}))`.pipe(
        Effect.flatMap(decodeConnectionIds),
        Effect.map((rows) => rows.map(({ id }) => id)),
        toStoreError("reading the connections of an account")
      ),

    connections: sql`SELECT ${columns} FROM connection ORDER BY name`.pipe(
      Effect.flatMap(decodeConnections),
      toStoreError("reading the connections")
    ),

    connectionNames: sql`SELECT id, name FROM connection ORDER BY name`.pipe(
      Effect.flatMap(decodeNames),
      toStoreError("reading the names of the connections")
    ),

    membersOf: (owner) =>
      sql`SELECT ${columns} FROM connection WHERE member_of = ${owner} ORDER BY name`.pipe(
        Effect.flatMap(decodeConnections),
        toStoreError("reading the members of a connection")
      ),

    setPaused: (connectionId, reason) =>
      (reason === null
        ? sql`UPDATE connection SET paused = NULL, failures = 0,
            next_poll_at = clock_timestamp(), due_at = clock_timestamp() WHERE id = ${connectionId}`
        : sql`UPDATE connection SET paused = ${Storable.text(reason)} WHERE id = ${connectionId}`
      ).pipe(Effect.asVoid, inTransaction, toStoreError("pausing or resuming a connection")),

    setHintsProblem: (connectionId, message) =>
      (message === null
        ? sql`UPDATE connection SET problems = problems - 'hints' WHERE id = ${connectionId}`
        : sql`UPDATE connection SET problems = jsonb_set(problems, '{hints}', to_jsonb(${Storable.text(message)}::text))
            WHERE id = ${connectionId}`
      ).pipe(Effect.asVoid, inTransaction, toStoreError("noting that hints are refused")),

    disconnect: Effect.fnUntraced(function* (connectionId, deleteContents) {
      yield* Effect.gen(function* () {
        // The lock of the row stops a run's writes; afterwards the fence refuses them.
        const rows = yield* sql`UPDATE connection SET credentials = NULL, fence = fence + 1, lease_holder = NULL,
            lease_until = NULL, paused = 'disconnected' WHERE id = ${connectionId} RETURNING 1`
        if (rows.length === 0) return
        yield* interruptRuns(sql, connectionId)
        yield* endTasks(connectionId)
      }).pipe(inTransaction, toStoreError("disconnecting a connection"))
      if (!deleteContents) return
      // No run can write contents any more, so this needs no long transaction. The connection is removed after its
      // contents: if this is interrupted, the connection still exists, and can be disconnected again.
      yield* removeContents(connectionId)
      yield* remove(connectionId).pipe(inTransaction, toStoreError("removing a connection"))
      // Removes contents that were stored meanwhile, if the connection got new credentials.
      yield* removeContents(connectionId)
    })
  } satisfies Methods
})

export const layer: Layer.Layer<ConnectionStore, never, SqlClient.SqlClient | BlobStore> = Layer.effect(
  ConnectionStore,
  make
)
