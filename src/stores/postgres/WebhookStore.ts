/** Webhooks and their messages. */
import * as PgTypes from "@effect/sql-pg/PgTypes"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import { failedTooLong, resetsFailures, WebhookId } from "../../engine/model/Webhook.ts"
import type { StoreError } from "../../engine/store/StoreError.ts"
import { WebhookStore } from "../../engine/store/WebhookStore.ts"
import * as Storable from "../Storable.ts"
import * as FeedEpoch from "./FeedEpoch.ts"
import { interval, isUuid, texts } from "./Parameters.ts"
import { type After, atOnce, inSteps, stepOf } from "./RemovalSteps.ts"
import { toStoreError } from "./SqlErrors.ts"
import { transaction } from "./Transactions.ts"
import * as WebhookRows from "./WebhookRows.ts"
import * as AdvisoryLocks from "./AdvisoryLocks.ts"

const int4 = PgTypes.int4
const kinds = (changes: ReadonlyArray<string> | null | undefined) =>
  changes === null || changes === undefined ? null : texts(changes)
const storable = (value: string | null) => (value === null ? null : Storable.text(value))

/** Removes messages in this state that were last sent before that time. */
const pruneMessages = (
  sql: SqlClient.SqlClient,
  state: "dead" | "delivered",
  olderThan: Duration.Duration,
  after: After
) => sql`
  WITH old AS MATERIALIZED (
      SELECT id, attempted_at AS at FROM webhook_message
      WHERE state = ${state} AND attempted_at < clock_timestamp() - ${interval(sql, olderThan)}
        AND (attempted_at, id) > (${after.at}::timestamptz, ${after.id}::uuid)
      ORDER BY attempted_at, id LIMIT ${atOnce}),
    removed AS (DELETE FROM webhook_message WHERE id = ANY(ARRAY(SELECT id FROM old)) AND state = ${state} RETURNING 1)
  SELECT ${stepOf(sql)}`

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { isCurrent } = yield* FeedEpoch.CurrentEpoch
  const columns = sql.literal(WebhookRows.webhookColumns)
  const columnsOfMessage = sql.literal(WebhookRows.messageColumns)
  const inTransaction = transaction(sql)
  const firstWebhook = (rows: ReadonlyArray<unknown>) =>
    Effect.map(WebhookRows.decodeWebhooks(rows), (decoded) => Option.fromUndefinedOr(decoded[0]))

  const webhook = (webhookId: WebhookId) =>
    Effect.flatMap(sql`SELECT ${columns} FROM webhook w WHERE w.id = ${webhookId}`, firstWebhook)

  /** Selects the next messages of the active webhooks, or of one of them. */
  const deliveryStates = (webhookId: WebhookId | undefined) =>
    sql`SELECT ${columns}, next.id AS "messageId", next.due_in AS "dueIn",
        EXISTS (SELECT 1 FROM webhook_message m WHERE m.webhook_id = w.id AND m.state = 'pending' AND NOT m.redelivered)
          AS "isWaiting"
      FROM webhook w LEFT JOIN LATERAL (
        SELECT m.id, greatest(0, extract(epoch FROM m.next_attempt_at - clock_timestamp()) * 1000)::float8 AS due_in
        FROM webhook_message m WHERE m.webhook_id = w.id AND m.state = 'pending'
        ORDER BY greatest(m.next_attempt_at, clock_timestamp()), m.redelivered, m.sequence LIMIT 1
      ) AS next ON true
      WHERE w.state = 'active' AND ${webhookId === undefined ? sql`true` : sql`w.id = ${webhookId}`}
      ORDER BY w.created_at, w.id`.pipe(
      Effect.flatMap(WebhookRows.decodeDeliveryStates),
      Effect.map((rows) =>
        rows.map(({ dueIn, isWaiting, messageId, ...row }) => ({
          webhook: row,
          next: messageId === null || dueIn === null ? null : { messageId, in: Duration.millis(Math.ceil(dueIn)) },
          isWaiting
        }))
      ),
      toStoreError("looking for messages to deliver")
    )

  return WebhookStore.of({
    create: (given, most) =>
      // A statement of its own takes the lock, so that the insert counts the webhooks that others created meanwhile.
      AdvisoryLocks.take(sql, "webhooks").pipe(
        Effect.andThen(sql`INSERT INTO webhook AS w (id, name, url, connection_id, changes, secret, cursor)
          SELECT ${given.id}::uuid, ${Storable.text(given.name)}, ${Storable.text(given.url)},
            ${given.connectionId}::uuid, ${kinds(given.changes)}::text[], ${given.secret}::bytea, ${given.cursor}
          WHERE (SELECT count(*) FROM webhook) < ${most} RETURNING ${columns}`),
        Effect.flatMap(firstWebhook),
        inTransaction,
        toStoreError("creating a webhook")
      ),

    webhook: (webhookId) =>
      isUuid(webhookId) ? webhook(webhookId).pipe(toStoreError("reading a webhook")) : Effect.succeedNone,

    webhooks: sql`SELECT ${columns}, count(m.id) FILTER (WHERE m.state = 'pending')::int4 AS pending,
        count(m.id) FILTER (WHERE m.state = 'dead')::int4 AS dead
      FROM webhook w LEFT JOIN webhook_message m ON m.webhook_id = w.id AND m.state IN ('pending', 'dead')
      GROUP BY w.id ORDER BY w.created_at, w.id`.pipe(
      Effect.flatMap(WebhookRows.decodeCounted),
      Effect.map((rows) => rows.map(({ dead, pending, ...row }) => ({ webhook: row, pending, dead }))),
      toStoreError("reading the webhooks")
    ),

    update: Effect.fnUntraced(function* (webhookId, change) {
      if (!isUuid(webhookId)) return Option.none()
      return yield* Effect.gen(function* () {
        const before = yield* Effect.flatMap(
          sql`SELECT ${columns} FROM webhook w WHERE w.id = ${webhookId} FOR NO KEY UPDATE`,
          firstWebhook
        )
        if (Option.isNone(before)) return before
        const isReset = resetsFailures(before.value, change)
        const rows = yield* sql`UPDATE webhook AS w SET
            name = coalesce(${change.name === undefined ? null : Storable.text(change.name)}, name),
            url = coalesce(${change.url === undefined ? null : Storable.text(change.url)}, url),
            changes = ${change.changes === undefined ? sql`changes` : sql`${kinds(change.changes)}::text[]`},
            state = coalesce(${change.state ?? null}, state),
            reason = ${change.state === undefined ? sql`reason` : sql`NULL`},
            failing_since = ${isReset ? sql`NULL` : sql`failing_since`}
          WHERE id = ${webhookId} RETURNING ${columns}`
        if (isReset) {
          yield* sql`UPDATE webhook_message SET attempts = 0, next_attempt_at = least(next_attempt_at, clock_timestamp())
            WHERE webhook_id = ${webhookId} AND state = 'pending'`
        }
        return yield* firstWebhook(rows)
      }).pipe(inTransaction, toStoreError("changing a webhook"))
    }),

    remove: (webhookId) =>
      isUuid(webhookId)
        ? sql`DELETE FROM webhook WHERE id = ${webhookId} RETURNING 1`.pipe(
            Effect.map((rows) => rows.length > 0),
            inTransaction,
            toStoreError("removing a webhook")
          )
        : Effect.succeed(false),

    replaceSecret: (webhookId, before, after) =>
      sql`UPDATE webhook SET secret = ${after} WHERE id = ${webhookId} AND secret = ${before} RETURNING 1`.pipe(
        Effect.map((rows) => rows.length > 0),
        toStoreError("replacing a webhook's secret")
      ),

    deliveryStates: deliveryStates(undefined),
    deliveryState: (webhookId) => Effect.map(deliveryStates(webhookId), (rows) => Option.fromUndefinedOr(rows[0])),

    enqueue: Effect.fnUntraced(
      function* (seen, { message, to }) {
        const changes = message?.changes ?? []
        // The page may have been read before a disconnection or a purge, and still hold the removed content. Both lock
        // the row of the connection, which excludes this lock, and then look for messages: either they see this
        // message, or this query sees their removal.
        const connections = new Set(changes.map(({ connection }) => connection))
        const left = yield* sql`SELECT 1 FROM connection WHERE id = ANY(${texts([...connections])}::uuid[])
        ORDER BY id FOR KEY SHARE`
        if (left.length < connections.size) return false
        const bodies = changes.filter(({ content }) => content.hash !== null)
        const told = sql`unnest(${texts(bodies.map(({ connection }) => connection))}::uuid[],
        ${texts(bodies.map(({ content }) => content.externalId))}::text[]) AS told(connection_id, external_id)`
        // After a failover, the database may have lost the place `to`: the epoch in which it was read must still be the
        // present one.
        const rows = yield* sql`WITH moved AS (
          UPDATE webhook SET cursor = ${to}
          WHERE id = ${seen.id} AND state = 'active' AND cursor IS NOT DISTINCT FROM ${seen.cursor}
            AND EXISTS (SELECT 1 FROM meta WHERE ${isCurrent})
            AND changes IS NOT DISTINCT FROM ${kinds(seen.changes)}::text[] AND NOT EXISTS (
              SELECT 1 FROM webhook_message m
              WHERE m.webhook_id = webhook.id AND m.state = 'pending' AND NOT m.redelivered)
            AND NOT EXISTS (
              SELECT 1 FROM ${told} JOIN content USING (connection_id, external_id) WHERE body_hash IS NULL)
          RETURNING id
        ), written AS (
          INSERT INTO webhook_message (id, webhook_id, body, changes)
          SELECT ${message?.id ?? null}::uuid, moved.id, ${message?.body ?? null}, ${int4(changes.length)}
          FROM moved WHERE ${message !== null}
        )
        SELECT 1 FROM moved`
        return rows.length > 0
      },
      inTransaction,
      toStoreError("writing a message")
    ),

    claim: Effect.fnUntraced(function* (messageId, lasting) {
      const rows = yield* sql`UPDATE webhook_message AS m
          SET claim = claim + 1, next_attempt_at = clock_timestamp() + ${interval(sql, lasting)}
        WHERE m.id = ${messageId} AND m.state = 'pending' AND m.next_attempt_at <= clock_timestamp()
          AND EXISTS (SELECT 1 FROM webhook w WHERE w.id = m.webhook_id AND w.state = 'active')
        RETURNING ${columnsOfMessage}, m.claim, m.body`.pipe(toStoreError("taking a message to deliver"))
      const [row] = yield* WebhookRows.decodeClaims(rows)
      if (row === undefined) return Option.none()
      const { body, claim, ...message } = row
      const of = yield* webhook(message.webhookId).pipe(toStoreError("reading a webhook"))
      return Option.map(of, (webhook) => ({ webhook, message, claim: Number(claim), body }))
    }),

    recordAttempt: Effect.fnUntraced(function* ({ claim, message, webhook: of }, result) {
      const ours = sql`id = ${message.id} AND claim = ${PgTypes.int8(BigInt(claim))} AND state = 'pending'`
      const recorded =
        result._tag === "Delivered"
          ? sql`UPDATE webhook_message SET state = 'delivered', body = NULL, attempts = attempts + 1, next_attempt_at = NULL,
              attempted_at = clock_timestamp(), status = ${int4(result.status)}, error = NULL, answer = NULL
            WHERE ${ours} RETURNING webhook_id`
          : sql`UPDATE webhook_message SET attempts = attempts + 1, attempted_at = clock_timestamp(),
              state = ${result.retryIn === undefined ? "dead" : "pending"},
              next_attempt_at = ${result.retryIn === undefined ? sql`NULL` : sql`clock_timestamp() + ${interval(sql, result.retryIn)}`},
              status = ${int4(result.status)}, error = ${Storable.text(result.error)}, answer = ${storable(result.answer)}
            WHERE ${ours} RETURNING webhook_id`
      const failed = result._tag === "Failed" ? result : undefined
      const disableAfter = failed === undefined ? sql`interval '0'` : interval(sql, failed.disableAfter)
      const reason = failed?.disable ?? failedTooLong
      const isOver =
        failed === undefined
          ? sql`false`
          : sql`w.state = 'active' AND (${failed.disable !== undefined}
              OR w.failing_since < clock_timestamp() - ${disableAfter})`
      const rows = yield* sql`WITH recorded AS (${recorded})
        UPDATE webhook AS w SET
          failing_since = ${failed === undefined ? sql`NULL` : sql`coalesce(w.failing_since, clock_timestamp())`},
          state = CASE WHEN ${isOver} THEN 'disabled' ELSE w.state END,
          reason = CASE WHEN ${isOver} THEN ${Storable.text(reason)} ELSE w.reason END
        FROM recorded WHERE w.id = recorded.webhook_id RETURNING w.state`.pipe(
        inTransaction,
        toStoreError("writing how a delivery went")
      )
      const [row] = yield* WebhookRows.decodeStates(rows)
      return row?.state ?? of.state
    }),

    releaseClaim: ({ claim, message }) =>
      sql`UPDATE webhook_message SET next_attempt_at = clock_timestamp()
        WHERE id = ${message.id} AND claim = ${PgTypes.int8(BigInt(claim))} AND state = 'pending'`.pipe(
        Effect.asVoid,
        toStoreError("giving a message back")
      ),

    messages: (webhookId, { after, limit, state }) =>
      isUuid(webhookId) && (after === undefined || isUuid(after))
        ? sql`SELECT ${columnsOfMessage} FROM webhook_message m WHERE m.webhook_id = ${webhookId}
            AND ${state === undefined ? sql`true` : sql`m.state = ${state}`}
            AND ${after === undefined ? sql`true` : sql`m.sequence < (SELECT sequence FROM webhook_message WHERE id = ${after})`}
            ORDER BY m.sequence DESC LIMIT ${limit}`.pipe(
            Effect.flatMap(WebhookRows.decodeMessages),
            toStoreError("reading a webhook's messages")
          )
        : Effect.succeed([]),

    message: (messageId) =>
      isUuid(messageId)
        ? sql`SELECT ${columnsOfMessage} FROM webhook_message m WHERE m.id = ${messageId}`.pipe(
            Effect.flatMap(WebhookRows.decodeMessages),
            Effect.map((rows) => Option.fromUndefinedOr(rows[0])),
            toStoreError("reading a message")
          )
        : Effect.succeedNone,

    redeliver: (webhookId, messageId) =>
      isUuid(webhookId) && (messageId === undefined || isUuid(messageId))
        ? sql`UPDATE webhook_message SET state = 'pending', redelivered = true, attempts = 0, next_attempt_at = clock_timestamp()
            WHERE webhook_id = ${webhookId} AND state = 'dead'
              AND ${messageId === undefined ? sql`true` : sql`id = ${messageId}`} RETURNING 1`.pipe(
            Effect.map((rows) => rows.length),
            inTransaction,
            toStoreError("sending dead messages again")
          )
        : Effect.succeed(0),

    prune: ({ dead, delivered }) =>
      Effect.gen(function* () {
        const deadOnes = yield* inSteps(sql, (after) => pruneMessages(sql, "dead", dead, after))
        return deadOnes + (yield* inSteps(sql, (after) => pruneMessages(sql, "delivered", delivered, after)))
      }).pipe(toStoreError("removing old messages"))
  })
})

export const layer: Layer.Layer<WebhookStore, StoreError, SqlClient.SqlClient> = Layer.effect(WebhookStore, make).pipe(
  Layer.provide(FeedEpoch.layer)
)
