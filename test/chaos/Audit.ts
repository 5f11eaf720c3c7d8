/**
 * Triggers that watch the database while a seed runs. Each process puts its pid into the names of its sessions, and
 * each lease names the pid of its holder: a write for a run by any process other than the holder is a hole in the
 * fence, even if the mirror is right at the end. The triggers also log each content that becomes stored, which must
 * equal the runs' counts, and each deletion with the session that made it: `chaos` is the harness, which approves as a
 * person does.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

const statements = [
  `CREATE TABLE chaos_violation (said text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp())`,
  `CREATE TABLE chaos_stored (connection_id uuid NOT NULL, external_id text NOT NULL)`,
  `CREATE TABLE chaos_deleted (connection_id uuid NOT NULL, external_id text NOT NULL, session text NOT NULL)`,
  `CREATE FUNCTION chaos_holds(holder text) RETURNS boolean LANGUAGE sql AS $$
    SELECT coalesce(substring(current_setting('application_name') FROM '^idem-([0-9]+)$'), '') = ''
      OR holder LIKE 'process ' || substring(current_setting('application_name') FROM '^idem-([0-9]+)$') || ' %' $$`,
  `CREATE FUNCTION chaos_content() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE holder text;
    BEGIN
      SELECT lease_holder INTO holder FROM connection WHERE id = NEW.connection_id;
      IF NOT coalesce(chaos_holds(holder), false) THEN
        INSERT INTO chaos_violation (said) VALUES (current_setting('application_name') || ' wrote ' || NEW.external_id
          || ' while the connection was held by ' || coalesce(holder, 'nobody'));
      END IF;
      IF NEW.state = 'stored' AND (TG_OP = 'INSERT' OR OLD.state <> 'stored') THEN
        INSERT INTO chaos_stored VALUES (NEW.connection_id, NEW.external_id);
      END IF;
      IF TG_OP = 'UPDATE' AND NEW.state = 'deleted' AND OLD.state <> 'deleted' THEN
        INSERT INTO chaos_deleted VALUES (NEW.connection_id, NEW.external_id, current_setting('application_name'));
      END IF;
      RETURN NULL;
    END $$`,
  // The beginning of an epoch changes the transaction ids alone, and without a lease.
  `CREATE TRIGGER chaos_content AFTER INSERT OR UPDATE OF state, pending, attempts, next_attempt_at, revision, metadata,
    volatile, body_hash, scope_epoch ON content FOR EACH ROW EXECUTE FUNCTION chaos_content()`,
  `CREATE FUNCTION chaos_checkpoint() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.checkpoint::text IS DISTINCT FROM OLD.checkpoint::text AND NOT coalesce(chaos_holds(OLD.lease_holder), false)
      THEN
        INSERT INTO chaos_violation (said) VALUES (current_setting('application_name')
          || ' moved the checkpoint while the connection was held by ' || coalesce(OLD.lease_holder, 'nobody'));
      END IF;
      RETURN NULL;
    END $$`,
  `CREATE TRIGGER chaos_checkpoint AFTER UPDATE ON connection FOR EACH ROW EXECUTE FUNCTION chaos_checkpoint()`,
  `CREATE FUNCTION chaos_run() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE holder text;
    BEGIN
      SELECT lease_holder INTO holder FROM connection WHERE id = NEW.connection_id;
      IF NEW.status <> 'interrupted' AND NOT coalesce(chaos_holds(holder), false) THEN
        INSERT INTO chaos_violation (said) VALUES (current_setting('application_name')
          || ' wrote a run while the connection was held by ' || coalesce(holder, 'nobody'));
      END IF;
      IF OLD.status <> 'running' THEN
        INSERT INTO chaos_violation (said) VALUES (current_setting('application_name')
          || ' wrote a run that was ' || OLD.status || ' already');
      END IF;
      RETURN NULL;
    END $$`,
  `CREATE TRIGGER chaos_run AFTER UPDATE ON run FOR EACH ROW EXECUTE FUNCTION chaos_run()`
]

/** Runs once, in the template of the seeds' databases. */
export const install = SqlClient.SqlClient.use((sql) =>
  Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
)
