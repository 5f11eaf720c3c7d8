/** Migrations of connections, with the parts of their sources and the purposes of their runs. */
import { statements } from "./Statements.ts"

/** Adds when a connection's lease was last acquired: a listing that is opened under it began then. */
export const listings = statements([`ALTER TABLE connection ADD COLUMN acquired_at timestamptz NOT NULL DEFAULT now()`])

/**
 * Adds whether a connection was created over HTTP, so that its addresses are checked, and sessions that were signed
 * out.
 */
export const access = statements([
  "ALTER TABLE connection ADD COLUMN guarded boolean NOT NULL DEFAULT false",
  "CREATE TABLE ended_session (hash bytea PRIMARY KEY, expires_at timestamptz NOT NULL)"
])

/**
 * Adds parts of a source: small checkpoints by key. `owner_id` is the connection, or a task with a checkpoint of its
 * own. A moved part is updated within its disk page.
 */
export const parts = statements([
  `CREATE TABLE part (
    connection_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    checkpoint json NOT NULL,
    PRIMARY KEY (connection_id, owner_id, key)
  ) WITH (fillfactor = 70)`
])

/** Adds the time until which a connection's source asked to wait. */
export const waits = statements(["ALTER TABLE connection ADD COLUMN asked_wait_until timestamptz"])

/** Adds when the source of a connection last answered a poll, and what could not be listed. */
export const checks = statements([
  `ALTER TABLE connection ADD COLUMN last_checked_at timestamptz,
    ADD COLUMN problems jsonb NOT NULL DEFAULT '{"current": [], "found": []}'`
])

/**
 * Adds connections that another connection made, one for each account that it lists. `member_id` is the external id of
 * the account in the connection that made this one.
 */
export const members = statements([
  'ALTER TABLE connection ADD COLUMN member_of uuid, ADD COLUMN member_id text COLLATE "C"',
  "CREATE UNIQUE INDEX connection_member ON connection (member_of, member_id) WHERE member_of IS NOT NULL"
])

/** Adds the purpose of a run, and the source's estimate for the progress of a first sync. */
export const progress = statements([
  "ALTER TABLE run ADD COLUMN kind text",
  "ALTER TABLE connection ADD COLUMN estimate jsonb"
])
