/** Retired keys, pending sign-ins, and named locks. */
import { statements } from "./Statements.ts"

/**
 * Refuses secrets that are sealed with a retired key, also from a process that read its key before the key was
 * replaced. `retireKey` takes this lock exclusively, so it sees secrets that are being stored.
 */
const refuse = `CREATE FUNCTION idem_refuse_retired_key() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  sealed bytea;
BEGIN
  EXECUTE format('SELECT ($1).%I', TG_ARGV[0]) INTO sealed USING NEW;
  IF sealed IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock_shared(1768187245, 1);
    IF EXISTS (SELECT FROM retired_key WHERE key_id = substring(sealed FROM 2 FOR 8)) THEN
      RAISE EXCEPTION 'it is sealed with a key that "idem rekey" has replaced; give this process the new IDEM_SECRET_KEY'
        USING ERRCODE = 'IDKEY';
    END IF;
  END IF;
  RETURN NEW;
END $$`

const guard = (table: string, column: string) =>
  `CREATE TRIGGER ${table}_key BEFORE INSERT OR UPDATE OF ${column} ON ${table}
    FOR EACH ROW EXECUTE FUNCTION idem_refuse_retired_key('${column}')`

export const keys = statements([
  `CREATE TABLE sign_in (state_hash bytea PRIMARY KEY, sealed bytea NOT NULL, expires_at timestamptz NOT NULL)`,
  `CREATE TABLE named_lock (name text COLLATE "C" PRIMARY KEY, holder text NOT NULL, held_until timestamptz NOT NULL)`,
  `CREATE TABLE retired_key (key_id bytea PRIMARY KEY, retired_at timestamptz NOT NULL DEFAULT clock_timestamp())`,
  refuse,
  guard("connection", "credentials"),
  guard("sign_in", "sealed"),
  guard("webhook", "secret")
])

/**
 * Turns the claim on polling into a named lock. All exclusive claims are in one table, except the leases of
 * connections.
 */
export const locks = statements([
  `INSERT INTO named_lock (name, holder, held_until) SELECT 'polling', holder, held_until FROM polling`,
  `DROP TABLE polling`
])
