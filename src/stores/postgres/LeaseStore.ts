/** Leases: acquiring, renewing and releasing them, and the connections that are due. */
import * as Arr from "effect/Array"
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId } from "../../engine/model/Connection.ts"
import { type Fence, Superseded } from "../../engine/store/Fence.ts"
import { LeaseStore } from "../../engine/store/LeaseStore.ts"
import { StoreError } from "../../engine/store/StoreError.ts"
import * as Storable from "../Storable.ts"
import { CurrentEpoch } from "./FeedEpoch.ts"
import { failIfSuperseded, lockConnection } from "./Fence.ts"
import * as Migrations from "./Migrations.ts"
import { interval, millis } from "./Parameters.ts"
import {
  allRows,
  connectionColumns,
  connectionIds as decodeConnectionIds,
  connections as decodeConnections
} from "./RowDecoders.ts"
import { interruptRuns } from "./RunStore.ts"
import { toStoreError } from "./SqlErrors.ts"
import { onOwnSession } from "./Transactions.ts"

const decodeDue = allRows(
  Schema.Struct({ connectionId: ConnectionId, dueAt: Schema.DateTimeUtcFromDate, requested: Schema.Boolean })
)

const Waiting = Schema.Struct({ retries: Schema.Boolean, deletions: Schema.Boolean, deletionsHeld: Schema.Int })
const decodeAcquired = Schema.decodeUnknownEffect(
  Schema.Struct({
    wasHeld: Schema.Boolean,
    wasAcquired: Schema.Boolean,
    acquiredAt: Schema.DateTimeUtcFromDate,
    waiting: Waiting
  })
)
const decodeWaiting = allRows(Schema.Struct({ waiting: Waiting }))

const byId = (rows: ReadonlyArray<object>) =>
  Effect.map(decodeConnectionIds(rows), (ids) => new Map(Arr.zipWith(ids, rows, ({ id }, row) => [id, row])))

const isDue = (state: "failed" | "deferred") => `EXISTS (SELECT FROM content
  WHERE connection_id = connection.id AND pending = '${state}' AND next_attempt_at <= statement_timestamp())`

/** The work that waits for a run of the connection, read in the statement that acquires its lease. */
const waiting = `json_build_object(
  'retries', ${isDue("failed")} OR ${isDue("deferred")},
  'deletions', EXISTS (SELECT FROM staged_deletion WHERE connection_id = connection.id AND NOT held),
  'deletionsHeld', coalesce((SELECT deletions_held FROM totals WHERE connection_id = connection.id), 0)) AS waiting`

/** `WAITING` waits for rows that other transactions have locked, and `FREE` leaves them out. */
const lock = {
  WAITING: "FOR NO KEY UPDATE OF connection",
  FREE: "FOR NO KEY UPDATE OF connection SKIP LOCKED"
} as const

/** A lease to acquire. The statement reads it as a JSON record. */
interface Wanted {
  readonly id: ConnectionId
  readonly holder: string
  readonly ttl: number
  readonly dead: string | undefined
}

/** A lease to release, with the fields to store. Durations are in milliseconds. An absent field is null. */
const released = (fence: Fence, next: Parameters<LeaseStore["Service"]["release"]>[1]) => ({
  id: fence.connectionId,
  run_fence: String(fence.fence),
  poll_in: next.pollIn === undefined ? undefined : millis(next.pollIn),
  retries_wait: next.retriesWait === true,
  next_failures: next.failures,
  sets_asked: next.askedWait !== undefined,
  asked: next.askedWait === undefined || next.askedWait === null ? undefined : millis(next.askedWait),
  sets_paused: next.paused !== undefined,
  paused_from: Storable.textOrNull(next.paused?.from ?? null),
  paused_to: Storable.textOrNull(next.paused?.to ?? null),
  next_problems: next.problems === undefined ? undefined : Storable.problems(next.problems),
  is_checked: next.checked === true,
  changes_read: next.changesRead === true,
  is_interrupted: next.interrupted === true
})

type Released = ReturnType<typeof released>

/**
 * Groups the items that gather while a statement is in flight into the next statement, as PostgreSQL groups commits: a
 * thousand idle polls a second need a few statements, and an idle store delays nothing. Returns a function that returns
 * the row of one item. It returns `Option.none` if the statement left the item out or failed, or has another item of
 * the same connection. Then the item needs a statement of its own.
 */
const grouped = <A extends { readonly id: ConnectionId }>(
  statement: (items: ReadonlyArray<A>) => Effect.Effect<ReadonlyMap<ConnectionId, object>, unknown>
): ((item: A) => Effect.Effect<Option.Option<object>>) => {
  interface Item extends Request.Request<Option.Option<object>> {
    readonly item: A
  }
  const Item = Request.of<Item>()
  const idle = Latch.makeUnsafe(true)
  const run = (entries: ReadonlyArray<Request.Entry<Item>>) => {
    const last = new Map(entries.map((entry) => [entry.request.item.id, entry]))
    const items = Array.from(last.values(), ({ request }) => request.item)
    return Effect.map(
      Effect.orElseSucceed(statement(items), () => new Map<ConnectionId, object>()),
      (found) => {
        for (const entry of entries) {
          const { id } = entry.request.item
          const row = last.get(id) === entry ? found.get(id) : undefined
          entry.completeUnsafe(Exit.succeed(Option.fromUndefinedOr(row)))
        }
      }
    )
  }
  const resolver = RequestResolver.make<Item>((entries) =>
    Effect.andThen(idle.close, Effect.ensuring(run(entries), idle.open))
  ).pipe(RequestResolver.setDelayEffect(Effect.andThen(Effect.yieldNow, idle.await)))
  return (item) => Effect.request(Item({ item }), resolver)
}

const make: Effect.Effect<LeaseStore["Service"], never, SqlClient.SqlClient | CurrentEpoch> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { epoch, isCurrent } = yield* CurrentEpoch
  const columns = sql.literal(connectionColumns)
  const waitingColumn = sql.literal(waiting)
  const onSession = onOwnSession(sql)
  const checkSchema = Effect.provideService(Migrations.checkNotNewer, SqlClient.SqlClient, sql)

  /**
   * Acquires those of these leases that can be acquired, and returns the rows of their connections. Rows are locked in
   * the order of their ids. `wasAcquired` is true if another run acquired and released the lease after the statement's
   * snapshot, which has the fence from before.
   */
  const acquireAll = Effect.fnUntraced(function* (wanted: ReadonlyArray<Wanted>, locking: string) {
    const rows = yield* sql`
      UPDATE connection SET fence = fence + 1, lease_holder = holder,
        lease_until = clock_timestamp() + ttl * interval '1 millisecond',
        acquired_at = greatest(clock_timestamp(), acquired_at + interval '1 microsecond')
      FROM (SELECT connection.id AS locked, lease_holder IS NOT NULL AS was_held, holder, ttl, dead
        FROM jsonb_to_recordset(${JSON.stringify(wanted)}::jsonb)
          AS wanted (id uuid, holder text, ttl float8, dead text)
        JOIN connection ON connection.id = wanted.id ORDER BY connection.id ${sql.literal(locking)}) AS was
      WHERE id = locked AND (lease_until IS NULL OR lease_until <= clock_timestamp() OR lease_holder = dead)
        AND EXISTS (SELECT FROM meta WHERE ${isCurrent})
        AND NOT EXISTS (SELECT FROM idem_migration WHERE migration_id > ${Migrations.supported})
      RETURNING was_held AS "wasHeld",
        fence - 1 <> (SELECT seen.fence FROM connection AS seen WHERE seen.id = connection.id) AS "wasAcquired",
        clock_timestamp() AS "acquiredAt", ${columns}, ${waitingColumn}`
    return yield* byId(rows)
  })

  /** Releases those of these leases whose fence is current, and returns a row for each. */
  const releaseAll = Effect.fnUntraced(function* (leases: ReadonlyArray<Released>, locking: string) {
    // In one statement, so that a run that begins once the lease is free is not marked as interrupted.
    const rows = yield* sql`
      WITH released AS (
        UPDATE connection SET lease_holder = NULL, lease_until = NULL,
          failures = coalesce(next_failures, failures),
          reading_since = CASE WHEN changes_read THEN NULL ELSE reading_since END,
          paused = CASE WHEN sets_paused AND paused IS NOT DISTINCT FROM paused_from THEN paused_to ELSE paused END,
          last_checked_at = CASE WHEN is_checked THEN clock_timestamp() ELSE last_checked_at END,
          problems = problems || coalesce(next_problems, '{}'),
          next_poll_at = poll_at,
          asked_wait_until = CASE WHEN sets_asked THEN clock_timestamp() + asked * interval '1 millisecond'
            ELSE asked_wait_until END,
          due_at = CASE WHEN retries_wait THEN poll_at ELSE least(poll_at, (SELECT min(next_attempt_at) FROM content
            WHERE connection_id = connection.id AND pending = 'failed')) END
        FROM (SELECT lease.*, coalesce(clock_timestamp() + poll_in * interval '1 millisecond', next_poll_at) AS poll_at
          FROM jsonb_to_recordset(${JSON.stringify(leases)}::jsonb) AS lease (id uuid, run_fence int8, poll_in float8,
            retries_wait bool, next_failures int, sets_asked bool, asked float8, sets_paused bool, paused_from text,
            paused_to text, next_problems jsonb, is_checked bool, changes_read bool, is_interrupted bool)
          JOIN connection ON connection.id = lease.id ORDER BY connection.id ${sql.literal(locking)}) AS was
        WHERE connection.id = was.id AND fence = run_fence RETURNING connection.id, is_interrupted
      ), interrupted AS (
        UPDATE run SET status = 'interrupted', finished_at = clock_timestamp()
        FROM released WHERE connection_id = released.id AND is_interrupted AND status = 'running'
      )
      SELECT id FROM released`
    return yield* byId(rows)
  })

  const acquireGrouped = grouped((wanted: ReadonlyArray<Wanted>) => acquireAll(wanted, lock.FREE))
  const releaseGrouped = grouped((leases: ReadonlyArray<Released>) => releaseAll(leases, lock.FREE))

  /** Waits for the row's lock, and returns the reason if the lease can't be acquired. */
  const acquireOne = Effect.fnUntraced(function* (wanted: Wanted) {
    const row = (yield* acquireAll([wanted], lock.WAITING)).get(wanted.id)
    if (row !== undefined) return Option.some(row)
    yield* Effect.catchTag(checkSchema, "SchemaTooNew", (cause) =>
      Effect.fail(new StoreError({ message: cause.message, cause }))
    )
    // If the row exists, another process took the lease while this one waited for the lock. Without the row, the
    // connection does not exist.
    if (yield* lockConnection(sql, wanted.id)) return Option.none()
    return yield* new Superseded({ connectionId: wanted.id })
  }, onSession)

  /**
   * Reads the work that waits for a run, after a lease that was not released, or that another run acquired and released
   * in the same moment. The last commit of the other run may have ended after the snapshot of the statement that
   * acquired the lease: only a later statement sees all of it.
   */
  const waitingNow = Effect.fnUntraced(function* (connectionId: ConnectionId) {
    const rows = yield* sql`SELECT ${waitingColumn} FROM connection WHERE id = ${connectionId}`
    const [read] = yield* decodeWaiting(rows)
    return read?.waiting ?? (yield* new Superseded({ connectionId }))
  })

  return {
    checkSchema,

    acquire: Effect.fnUntraced(function* (id, { deadHolder, holder, ttl }) {
      const wanted = { id, holder: Storable.text(holder), ttl: millis(ttl), dead: deadHolder }
      const acquired = yield* acquireGrouped(wanted)
      // After a failover, leases are free only in the new epoch.
      const again = Effect.andThen(epoch, acquireOne(wanted))
      const row = Option.getOrUndefined(Option.isSome(acquired) ? acquired : yield* again)
      if (row === undefined) return Option.none()
      const { acquiredAt, waiting: found, wasAcquired, wasHeld } = yield* Effect.orDie(decodeAcquired(row))
      // Only a lease that was not released can leave a running run: the release ends the run too.
      if (wasHeld) yield* onSession(interruptRuns(sql, id))
      const waiting = wasHeld || wasAcquired ? yield* waitingNow(id) : found
      return Option.map(Arr.head(yield* decodeConnections([row])), (connection) => ({
        ...connection,
        acquiredAt,
        waiting
      }))
    }, toStoreError("taking a connection for a run")),

    renew: (fence, ttl) =>
      sql`UPDATE connection SET lease_until = clock_timestamp() + ${interval(sql, ttl)}
        WHERE id = ${fence.connectionId} AND fence = ${PgTypes.int8(fence.fence)} AND lease_holder IS NOT NULL
        RETURNING 1`.pipe(Effect.flatMap(failIfSuperseded(fence)), onSession, toStoreError("renewing a run's lease")),

    release: Effect.fnUntraced(function* (fence, next) {
      const lease = released(fence, next)
      // The row of an interrupted run may be locked, and the other leases of a group would wait for it.
      const row = lease.is_interrupted ? Option.none() : yield* releaseGrouped(lease)
      if (Option.isNone(row)) yield* onSession(releaseAll([lease], lock.WAITING))
    }, toStoreError("ending a run's lease")),

    due: (limit) =>
      // A connection that is due for both is returned once, so that its many tasks do not hide other connections. An
      // index can be searched for the statement's time, but not for the clock's, which advances during the statement.
      sql`SELECT id AS "connectionId", min(due_at) AS "dueAt", bool_or(requested) AS requested FROM (
          (SELECT id, due_at, false AS requested FROM connection
            WHERE paused IS NULL AND due_at <= statement_timestamp()
              AND (lease_until IS NULL OR lease_until <= statement_timestamp())
            ORDER BY due_at LIMIT ${limit})
          UNION ALL
          (SELECT connection.id, task.due_at, true FROM (
              SELECT connection_id, min(due_at) AS due_at FROM task
              WHERE requested AND finished_at IS NULL AND due_at <= statement_timestamp() GROUP BY connection_id
            ) AS task JOIN connection ON connection.id = connection_id
            WHERE lease_until IS NULL OR lease_until <= statement_timestamp()
            ORDER BY task.due_at LIMIT ${limit})
        ) AS either GROUP BY id ORDER BY min(due_at) LIMIT ${limit}`.pipe(
        Effect.flatMap(decodeDue),
        toStoreError("looking for connections that are due")
      )
  }
})

export const layer: Layer.Layer<LeaseStore, never, SqlClient.SqlClient | CurrentEpoch> = Layer.effect(LeaseStore, make)
