/** Derived data: the position of the feed's follower, the tables that it fills, texts, and the rebuild state. */
import { statements } from "./Statements.ts"

// The views of `mirror` and the tables behind them come from the projections of integrations (src/derive).
//
// `cursor` null: everything is derived again. `generation` grows with each rebuild, so that a follower that read an
// older cursor does not store its own.
//
// In `text`, `part` -1 is the content's own text; parts from 0 on are attachments, which are created together with it.
// A text is extracted if `version` is null or older than the extractor; 0 means that a projection gave the text.
// `derived.pending` lists contents whose rows changed, for consumers such as search: a consumer deletes the rows that
// it read, if their `position` has not changed.
//
// `derived.forget` removes what was derived from contents that are purged or removed. The follower holds the same lock
// shared from its check of the contents to its commit, so that it writes no row of a content that was purged meanwhile.
export const mirror = statements([
  "CREATE SCHEMA mirror",
  "CREATE SCHEMA derived",
  `CREATE TABLE derived.follower (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    cursor text,
    generation bigint NOT NULL DEFAULT 1,
    rebuilding boolean NOT NULL DEFAULT true
  )`,
  "INSERT INTO derived.follower DEFAULT VALUES",
  "CREATE TABLE derived.projection (domain text PRIMARY KEY, version integer NOT NULL)",
  "CREATE TABLE derived.relation (name text PRIMARY KEY)",
  `CREATE TABLE derived.text (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    part integer NOT NULL,
    sha256 bytea,
    size bigint,
    media_type text,
    file_name text,
    inline boolean,
    version integer,
    text text,
    reason text,
    PRIMARY KEY (connection_id, external_id, part)
  )`,
  `CREATE TABLE derived.pending (
    connection_id uuid NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    position bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (connection_id, external_id)
  )`,
  "CREATE INDEX pending_position ON derived.pending (position)",
  "INSERT INTO derived.relation (name) VALUES ('text'), ('pending')",
  `CREATE FUNCTION derived.forget(of_connection uuid, ids text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  relation text;
BEGIN
  PERFORM pg_advisory_xact_lock(1768187245, 2);
  FOR relation IN SELECT name FROM derived.relation ORDER BY name LOOP
    EXECUTE format('DELETE FROM derived.%I WHERE connection_id = $1 AND external_id = ANY($2)', relation)
      USING of_connection, ids;
  END LOOP;
END $$`
])

/**
 * Forgets the versions of projections that are not Idem's own. An integration without a projection was recorded under
 * the version that its first projection has too. The next process that has a projection records it again.
 */
export const projections = statements([
  "DELETE FROM derived.projection WHERE domain NOT IN ('', 'ftp', 'gmail', 'imap', 'rss', 'slack')"
])
