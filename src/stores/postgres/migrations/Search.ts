/** Full-text search over derived data: its vectors, the words of names, and the parsing of queries. */
import { statements } from "./Statements.ts"

// A vector has the words of title (weight A), names (B) and text (D), and also lexemes of fields: `from:ann`,
// `subject:roof`, `label:inbox`, `has:attachment`. So one GIN index, which does not store weights, answers every
// filter.
//
// The vectors are in a separate table: in a wide row they would slow down other queries.
export const search = statements([
  "CREATE INDEX text_due ON derived.text (connection_id, external_id) WHERE version IS NULL",
  `CREATE TABLE derived.search (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    deleted boolean NOT NULL,
    sender text,
    vector tsvector NOT NULL,
    PRIMARY KEY (connection_id, external_id)
  ) WITH (toast_tuple_target = 2048)`,
  "ALTER TABLE derived.search ALTER COLUMN vector SET STATISTICS 1000",
  // A name is removed together with the last content that has it, also if a purge deletes the rows.
  String.raw`CREATE FUNCTION derived.search_unlearn() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  names text[];
BEGIN
  IF NOT EXISTS (SELECT 1 FROM gone) THEN RETURN NULL; END IF;
  IF TG_OP = 'UPDATE' THEN
    names := ARRAY(SELECT derived.search_names(vector) FROM gone EXCEPT SELECT derived.search_names(vector) FROM kept);
  ELSE
    names := ARRAY(SELECT DISTINCT derived.search_names(vector) FROM gone);
  END IF;
  DELETE FROM derived.search_name WHERE name = ANY(names) AND NOT EXISTS (
    SELECT 1 FROM derived.search WHERE vector @@ (derived.search_term('from:' || name, false)
      || derived.search_term('to:' || name, false) || derived.search_term('in:' || name, false)
      || derived.search_term('filename:' || name, false)));
  RETURN NULL;
END $$`,
  `CREATE TRIGGER search_updated AFTER UPDATE ON derived.search REFERENCING OLD TABLE AS gone NEW TABLE AS kept
    FOR EACH STATEMENT EXECUTE FUNCTION derived.search_unlearn()`,
  `CREATE TRIGGER search_deleted AFTER DELETE ON derived.search REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION derived.search_unlearn()`,
  "CREATE INDEX search_vector ON derived.search USING gin (vector) WITH (gin_pending_list_limit = 1024)",
  "CREATE INDEX search_time ON derived.search (occurred_at, connection_id, external_id)",
  "CREATE INDEX search_connection_time ON derived.search (connection_id, occurred_at, external_id)",
  "INSERT INTO derived.relation (name) VALUES ('search')",
  // A position among contents, newest first.
  `CREATE TYPE derived.search_key AS (occurred_at timestamptz, connection_id uuid, external_id text)`,
  // The words of senders, recipients, channels and files, with which a misspelt word is compared.
  `CREATE TABLE derived.search_name (name text COLLATE "C" PRIMARY KEY)`,
  // The text search configuration of a connection. Connections without a row have the base configuration.
  `CREATE TABLE derived.search_language (connection_id uuid PRIMARY KEY, language text NOT NULL)`,
  // The profile of the functions: the extensions of the database, and the version of the vectors.
  `CREATE TABLE derived.search_profile (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    profile text NOT NULL
  )`
])

/**
 * The queue of texts to extract: `next_attempt` is null if nothing is to be done, and in the future after a failed
 * attempt. `attempts` counts failed attempts.
 */
export const textQueue = statements([
  "ALTER TABLE derived.text ADD COLUMN next_attempt timestamptz, ADD COLUMN attempts integer",
  "UPDATE derived.text SET next_attempt = '-infinity' WHERE version IS NULL AND part = -1",
  `CREATE INDEX text_queue ON derived.text (next_attempt, connection_id, external_id)
    WHERE next_attempt IS NOT NULL`
])

/** Indexes the deleted contents by time: a search for a few of them would otherwise scan all stored contents. */
export const searchDeleted = statements([
  "CREATE INDEX search_deleted ON derived.search (occurred_at, connection_id, external_id) WHERE deleted"
])
