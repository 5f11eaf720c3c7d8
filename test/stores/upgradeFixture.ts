/** A database of an older schema, with a row of each kind. */
import * as Effect from "effect/Effect"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { TaskId } from "../../src/engine/model/Task.ts"
import { MessageId, WebhookId } from "../../src/engine/model/Webhook.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import { bytesOf, sha256 } from "./scenario.ts"

export const id = ConnectionId.make("11111111-1111-4111-8111-111111111111")
export const pausedId = ConnectionId.make("22222222-2222-4222-8222-222222222222")
export const taskId = TaskId.make("33333333-3333-4333-8333-333333333333")
export const webhookId = WebhookId.make("44444444-4444-4444-8444-444444444444")
const upload = "55555555-5555-4555-8555-555555555555"
export const message = (state: string) => MessageId.make(`66666666-6666-4666-8666-66666666666${state.length}`)

export const small = bytesOf("a small body")
export const large = bytesOf("a body that stands for a large one")
export const credentials = new Uint8Array([1, ...Buffer.alloc(8, 7), 2, 3])
export const secret = new Uint8Array([1, ...Buffer.alloc(8, 9), 4, 5])
export const at = "2025-06-01T12:00:00.000Z"
const [when, later] = [new Date(at), new Date("2025-06-02T12:00:00.000Z")]

/** Migrates an empty database to an older schema, in the same way as the version of that time. */
export const migrateTo = (schema: number) =>
  Migrator.make({})({
    loader: Migrator.fromRecord(Object.fromEntries(Object.entries(Migrations.migrations).slice(0, schema))),
    table: "idem_migration"
  })

/** Inserts rows of each kind, as versions with that schema wrote them. */
export const fill = (schema: number) =>
  SqlClient.SqlClient.use((sql) =>
    Effect.gen(function* () {
      yield* sql`INSERT INTO connection (id, name, domain, account, config, credentials, every_ms, fence, paused,
          checkpoint, scope, next_poll_at, due_at, failures, created_at)
        VALUES (${id}, 'mail', 'gmail', 'me@example.com', '{"query": "in:inbox"}', ${credentials}, 300000, 41, NULL,
            '{"historyId": "12"}', 'scope one', ${later}, ${later}, 2, ${when}),
          (${pausedId}, 'files', 'ftp', 'me@host', '{}', NULL, 3600000, 3, 'by a person', NULL, NULL, ${later},
            ${later}, 0, ${when})`
      // The process was killed in the middle of a run.
      yield* sql`UPDATE connection SET lease_holder = 'a process of that time', lease_until = ${when} WHERE id = ${id}`
      yield* schema < 12
        ? sql`INSERT INTO polling (holder, held_until)
            VALUES ('a process that polls', clock_timestamp() + interval '1 hour')`
        : sql`INSERT INTO named_lock (name, holder, held_until)
            VALUES ('polling', 'a process that polls', clock_timestamp() + interval '1 hour')`
      yield* sql`INSERT INTO body (hash, size, bytes) VALUES (${sha256(small)}, ${small.length}, ${small}),
        (${sha256(large)}, ${large.length}, NULL)`
      yield* sql`INSERT INTO blob (hash, upload, size) VALUES (${sha256(large)}, ${upload}, ${large.length})`
      yield* sql`INSERT INTO blob_chunk (upload, position, bytes) VALUES (${upload}, 0, ${large})`

      const contents: ReadonlyArray<Record<string, unknown>> = [
        { external_id: "stored", state: "stored", revision: "r1", body_hash: sha256(small), size: small.length },
        { external_id: "large", state: "stored", revision: "r1", body_hash: sha256(large), size: large.length },
        {
          external_id: "update failed",
          state: "stored",
          revision: "r1",
          body_hash: sha256(small),
          size: small.length,
          pending: "failed",
          tried_revision: "r2",
          reason: "Transient",
          message: "503",
          attempts: 2,
          next_attempt_at: later
        },
        { external_id: "failed", state: "failed", pending: "failed", reason: "Malformed", message: "cut", attempts: 1 },
        { external_id: "dead", state: "dead", pending: "dead", reason: "Forbidden", message: "no", attempts: 8 },
        { external_id: "deferred", state: "deferred", pending: "deferred", reason: "Unsettled", message: "grows" },
        { external_id: "gone", state: "gone" },
        { external_id: "deleted", state: "deleted", revision: "r1", body_hash: sha256(small), size: small.length }
      ]
      for (const content of contents) {
        const wasStored = content["body_hash"] !== undefined
        yield* sql`INSERT INTO content ${sql.insert({
          connection_id: id,
          kind: wasStored ? "message" : null,
          title: wasStored ? `title of ${String(content["external_id"])}` : null,
          occurred_at: wasStored ? when : null,
          media_type: wasStored ? "message/rfc822" : null,
          created_at: when,
          updated_at: when,
          ...content
        })}`
      }
      yield* sql`UPDATE content SET metadata = '{"from": "you"}' WHERE body_hash IS NOT NULL`
      yield* schema < 10
        ? sql`UPDATE content SET in_scope = false WHERE external_id = 'update failed'`
        : sql`UPDATE content SET scope_epoch = -1 WHERE external_id = 'update failed'`
      yield* schema < 2
        ? sql`UPDATE content SET changed_xid = pg_current_xact_id() WHERE state IN ('stored', 'deleted')`
        : sql`UPDATE content SET changed_xid = pg_current_xact_id(),
            change = CASE external_id WHEN 'large' THEN 'updated' WHEN 'deleted' THEN 'deleted' ELSE 'stored' END
          WHERE state IN ('stored', 'deleted')`
      yield* sql`INSERT INTO task (id, connection_id, task, spec, checkpoint, scope, moved_at)
        VALUES (${taskId}, ${id}, '{"force": true, "forceIds": [], "dryRun": false}', '--force', '{"after": 3}',
          'scope one', clock_timestamp())`
      yield* sql`INSERT INTO task_done (task_id, external_id) VALUES (${taskId}, 'stored')`
      yield* sql`INSERT INTO run (id, connection_id, task_id, status, listed, existing, stored, failed, api_calls,
          quota_units, problems, notes, error_reason, error_message, started_at, finished_at)
        VALUES ('a run', ${id}, NULL, 'partial', 5, 2, 2, 1, 9, 45.5, '[{"place": "C1", "message": "closed"}]',
            '["a note"]', NULL, NULL, ${when}, ${when}),
          ('a failed run', ${id}, ${taskId}, 'failed', 0, 0, 0, 0, 1, 5, '[]', '[]', 'Transient', '503', ${later},
            ${later}),
          ('a killed run', ${id}, NULL, 'running', 3, 0, 3, 0, 4, 20, '[]', '[]', NULL, NULL, ${later}, NULL)`
      yield* sql`INSERT INTO listing ${sql.insert({
        connection_id: id,
        listing: "a pass",
        started_at: when,
        marking: false,
        ...(schema < 10 ? { deletes: true } : {})
      })}`
      yield* sql`INSERT INTO seen (connection_id, external_id) VALUES (${id}, 'stored')`
      yield* sql`INSERT INTO staged_deletion ${sql.insert({
        connection_id: id,
        external_id: "large",
        cause: "event",
        held: true,
        staged_at: when,
        ...(schema < 10 ? {} : { of_pass: false, ready: true, since: when })
      })}`
      if (schema >= 3) {
        yield* sql`INSERT INTO task (id, connection_id, task, spec, kind, external_ids, requested, due_at)
          VALUES (gen_random_uuid(), ${pausedId}, '{"force": false, "forceIds": [], "dryRun": false}', 'retry', 'retry',
            ${["a", "b"]}, true, ${when})`
        yield* sql`INSERT INTO task_key (connection_id, key, digest, task_id)
          SELECT connection_id, 'a key', '\\x00', id FROM task WHERE requested`
      }
      if (schema >= 4) {
        yield* sql`INSERT INTO webhook (id, name, url, connection_id, changes, secret, cursor)
          VALUES (${webhookId}, 'hook', 'https://example.com/hook', ${id}, ${["stored", "deleted"]}, ${secret}, 'a cursor')`
        for (const state of ["pending", "delivered", "dead"]) {
          yield* sql`INSERT INTO webhook_message ${sql.insert({
            id: message(state),
            webhook_id: webhookId,
            state,
            changes: 2,
            body: state === "delivered" ? null : "{}",
            attempts: state === "pending" ? 0 : 3,
            next_attempt_at: state === "pending" ? later : null,
            attempted_at: state === "pending" ? null : when
          })}`
        }
      }
      if (schema >= 5) {
        yield* sql`INSERT INTO sign_in (state_hash, sealed, expires_at)
          VALUES ('\\xabcd', ${secret}, clock_timestamp() + interval '1 hour')`
        yield* sql`INSERT INTO named_lock (name, holder, held_until) VALUES ('rekey', 'a process of that time', ${when})`
        yield* sql`INSERT INTO retired_key (key_id) VALUES ('\\x0505050505050505')`
      }
      if (schema >= 21) {
        yield* sql`INSERT INTO totals (connection_id, stored, failed, dead, deferred, deleted, bytes, deletions_held)
          VALUES (${id}, 3, 2, 1, 1, 1, ${2 * small.length + large.length}, 1)`
      }
    }).pipe(sql.withTransaction)
  )
