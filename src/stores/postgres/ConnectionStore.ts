/** Connections, their leases, and when they are due. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId, disconnected } from "../../engine/model/Connection.ts"
import { type Fence, NameTaken, type Store, Superseded } from "../../engine/Store.ts"
import type { BlobStore } from "../Blobs.ts"
import * as Storable from "../Storable.ts"
import * as Purge from "./Purge.ts"
import { connectionColumns, connections as decodeConnections } from "./RowDecoders.ts"
import { lockConnection } from "./Fence.ts"
import { interval, isUuid, millis } from "./Parameters.ts"
import { toStoreError } from "./SqlErrors.ts"
import { onOwnSession, transaction } from "./Transactions.ts"

type Methods = Pick<
  Store["Service"],
  | "createConnection"
  | "updateConnection"
  | "saveCredentials"
  | "connection"
  | "connectionByName"
  | "connections"
  | "setPaused"
  | "disconnect"
  | "acquire"
  | "renew"
  | "release"
  | "due"
  | "claimPolling"
  | "releasePolling"
>

const decodeDue = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.Struct({ connectionId: ConnectionId, dueAt: Schema.DateTimeUtcFromDate, requested: Schema.Boolean })
  )
)

const decodeWasHeld = Schema.decodeUnknownEffect(
  Schema.TupleWithRest(Schema.Tuple([Schema.Struct({ wasHeld: Schema.Boolean })]), [Schema.Unknown])
)

const decodeHolder = Schema.decodeUnknownEffect(Schema.Array(Schema.Struct({ holder: Schema.String })))

const storedText = (text: string | null): string | null => (text === null ? null : Storable.text(text))

/**
 * Tables that hold what belongs to a connection, by `connection_id`, but its contents: those go last (see Purge.ts).
 */
const belongings = ["staged_deletion", "seen", "listing", "part", "task", "task_key", "run"]

export const make: Effect.Effect<Methods, never, SqlClient.SqlClient | BlobStore> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { removeContents } = yield* Purge.make
  const columns = sql.literal(connectionColumns)
  // Whatever may wait for a connection's lock has a session to itself: on one that is shared, others' statements would
  // queue up behind it.
  const inTransaction = transaction(sql)
  const onSession = onOwnSession(sql)

  const first = (rows: ReadonlyArray<unknown>) =>
    Effect.map(decodeConnections(rows), (decoded) => Option.fromUndefinedOr(decoded[0]))

  const superseded = (fence: Fence) => (rows: ReadonlyArray<unknown>) =>
    rows.length === 0 ? Effect.fail(new Superseded({ connectionId: fence.connectionId })) : Effect.void

  /** Runs that are still `running` once their lease is gone were cut off. */
  const interruptRuns = (connectionId: ConnectionId) => sql`
    UPDATE run SET status = 'interrupted', finished_at = clock_timestamp()
    WHERE connection_id = ${connectionId} AND status = 'running'`

  /** What waits for a run can have none without credentials. */
  const endTasks = (connectionId: ConnectionId) => sql`
    UPDATE task SET finished_at = clock_timestamp(), error_reason = ${disconnected.reason},
      error_message = ${disconnected.message}
    WHERE connection_id = ${connectionId} AND requested AND finished_at IS NULL`

  const remove = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    yield* sql`DELETE FROM task_done WHERE task_id IN (SELECT id FROM task WHERE connection_id = ${connectionId})`
    yield* Effect.forEach(belongings, (table) => sql`DELETE FROM ${sql(table)} WHERE connection_id = ${connectionId}`, {
      discard: true
    })
    yield* sql`DELETE FROM connection WHERE id = ${connectionId}`
  })

  return {
    createConnection: (given) =>
      sql`INSERT INTO connection (name, domain, account, config, credentials, every_ms, guarded)
        VALUES (${given.name}, ${given.domain}, ${given.account}, ${JSON.stringify(given.config)}::json,
          ${given.credentials}, ${PgTypes.float8(millis(given.every))}, ${given.guarded ?? false})
        RETURNING ${columns}`.pipe(
        Effect.catchIf(
          (error) => error.reason._tag === "UniqueViolation" && error.reason.constraint === "connection_name",
          () => Effect.fail(new NameTaken({ name: given.name }))
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
              fence = fence + 1, lease_holder = NULL, lease_until = NULL,
              next_poll_at = clock_timestamp(), due_at = clock_timestamp()
            WHERE id = ${connectionId} RETURNING ${columns}`
        )
        // The run loses its fence, and can't end its own row any more.
        yield* interruptRuns(connectionId)
        return changed
      }).pipe(inTransaction, toStoreError("changing a connection")),

    saveCredentials: (fence, credentials) =>
      sql`UPDATE connection SET credentials = ${credentials}
        WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} RETURNING 1`.pipe(
        Effect.flatMap(superseded(fence)),
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

    connectionByName: (name) =>
      Storable.isId(name)
        ? sql`SELECT ${columns} FROM connection WHERE name = ${name}`.pipe(
            Effect.flatMap(first),
            toStoreError(`reading the connection ${name}`)
          )
        : Effect.succeedNone,

    connections: sql`SELECT ${columns} FROM connection ORDER BY name`.pipe(
      Effect.flatMap(decodeConnections),
      toStoreError("reading the connections")
    ),

    setPaused: (connectionId, reason) =>
      (reason === null
        ? sql`UPDATE connection SET paused = NULL, failures = 0,
            next_poll_at = clock_timestamp(), due_at = clock_timestamp() WHERE id = ${connectionId}`
        : sql`UPDATE connection SET paused = ${Storable.text(reason)} WHERE id = ${connectionId}`
      ).pipe(Effect.asVoid, inTransaction, toStoreError("pausing or resuming a connection")),

    disconnect: (connectionId, deleteContents) =>
      Effect.gen(function* () {
        // The row's lock stops a run's writes; what they would have written is then removed, or refused by the fence.
        const rows = yield* sql`UPDATE connection SET credentials = NULL, fence = fence + 1, lease_holder = NULL,
            lease_until = NULL, paused = 'disconnected' WHERE id = ${connectionId} RETURNING 1`
        if (rows.length === 0) return
        if (deleteContents) return yield* remove(connectionId)
        yield* interruptRuns(connectionId)
        yield* endTasks(connectionId)
      }).pipe(
        inTransaction,
        toStoreError("disconnecting a connection"),
        // Nobody can write or read them any more, so that this needs no long transaction.
        Effect.andThen(deleteContents ? removeContents(connectionId) : Effect.void)
      ),

    acquire: (connectionId, options) =>
      Effect.gen(function* () {
        const rows =
          yield* sql`UPDATE connection SET fence = fence + 1, lease_holder = ${Storable.text(options.holder)},
            lease_until = clock_timestamp() + ${interval(sql, options.ttl)}, acquired_at = clock_timestamp()
          FROM (SELECT id AS locked, lease_holder IS NOT NULL AS was_held FROM connection
            WHERE id = ${connectionId} FOR NO KEY UPDATE) AS was
          WHERE id = locked AND (lease_until IS NULL OR lease_until <= clock_timestamp()
            OR lease_holder = ${options.deadHolder ?? null})
          RETURNING was_held AS "wasHeld", ${columns}`
        if (rows.length === 0) {
          // A lease that another took while we waited for its lock is held; only a row that is not there is gone.
          if (yield* lockConnection(sql, connectionId)) return Option.none()
          return yield* new Superseded({ connectionId })
        }
        // Only a lease that was not given back leaves a run behind: whoever gives one back ends its run too.
        const [{ wasHeld }] = yield* Effect.orDie(decodeWasHeld(rows))
        if (wasHeld) yield* interruptRuns(connectionId)
        return yield* first(rows)
      }).pipe(onSession, toStoreError("taking a connection for a run")),

    renew: (fence, ttl) =>
      sql`UPDATE connection SET lease_until = clock_timestamp() + ${interval(sql, ttl)}
        WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} AND lease_holder IS NOT NULL
        RETURNING 1`.pipe(Effect.flatMap(superseded(fence)), onSession, toStoreError("renewing a run's lease")),

    release: (fence, next) =>
      Effect.gen(function* () {
        const pollAt =
          next.pollIn === undefined ? sql`next_poll_at` : sql`clock_timestamp() + ${interval(sql, next.pollIn)}`
        const problems = next.problems === undefined ? null : JSON.stringify(Storable.problems(next.problems))
        const paused =
          next.paused === undefined
            ? sql`paused`
            : sql`CASE WHEN paused IS NOT DISTINCT FROM ${storedText(next.paused.from)}::text
                THEN ${storedText(next.paused.to)} ELSE paused END`
        const ours = yield* sql`UPDATE connection SET lease_holder = NULL, lease_until = NULL,
            failures = coalesce(${PgTypes.int4(next.failures ?? null)}, failures),
            reading_since = CASE WHEN ${next.changesRead === true} THEN NULL ELSE reading_since END,
            paused = ${paused},
            last_checked_at = ${next.checked === true ? sql`clock_timestamp()` : sql`last_checked_at`},
            problems = coalesce(${problems}::jsonb, problems),
            next_poll_at = ${pollAt},
            asked_wait_until = ${next.askedWait === undefined ? sql`asked_wait_until` : next.askedWait ? pollAt : sql`NULL`},
            due_at = least(${pollAt}, (SELECT min(next_attempt_at) FROM content
              WHERE connection_id = ${fence.connectionId} AND pending = 'failed'))
          WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} RETURNING 1`
        if (ours.length > 0 && next.interrupted === true) yield* interruptRuns(fence.connectionId)
      }).pipe(onSession, toStoreError("ending a run's lease")),

    due: (limit) =>
      // A connection may be due for both: it is given once. The statement's own time can be looked for in an index; the
      // clock's, which moves on while it runs, can't.
      sql`SELECT id AS "connectionId", min(due_at) AS "dueAt", bool_or(requested) AS requested FROM (
          (SELECT id, due_at, false AS requested FROM connection
            WHERE paused IS NULL AND due_at <= statement_timestamp()
              AND (lease_until IS NULL OR lease_until <= statement_timestamp())
            ORDER BY due_at LIMIT ${limit})
          UNION ALL
          (SELECT connection.id, task.due_at, true FROM task JOIN connection ON connection.id = connection_id
            WHERE requested AND finished_at IS NULL AND task.due_at <= statement_timestamp()
              AND (lease_until IS NULL OR lease_until <= statement_timestamp())
            ORDER BY task.due_at LIMIT ${limit})
        ) AS either GROUP BY id ORDER BY min(due_at) LIMIT ${limit}`.pipe(
        Effect.flatMap((rows) => Effect.orDie(decodeDue(rows))),
        toStoreError("looking for connections that are due")
      ),

    claimPolling: ({ deadHolder, holder, ttl }) =>
      Effect.gen(function* () {
        const taken = yield* sql`INSERT INTO polling (holder, held_until)
          VALUES (${holder}, clock_timestamp() + ${interval(sql, ttl)})
          ON CONFLICT (singleton) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
            WHERE polling.holder IN (excluded.holder, ${deadHolder ?? null}) OR polling.held_until <= clock_timestamp()
          RETURNING 1`
        if (taken.length > 0) return Option.none()
        const [row] = yield* Effect.flatMap(sql`SELECT holder FROM polling`, (rows) => Effect.orDie(decodeHolder(rows)))
        return Option.fromUndefinedOr(row?.holder)
      }).pipe(toStoreError("claiming the polling of this database")),

    releasePolling: (holder) =>
      sql`DELETE FROM polling WHERE holder = ${holder}`.pipe(
        Effect.asVoid,
        toStoreError("giving up the polling of this database")
      )
  } satisfies Methods
})
