/** Derived data: where the follower of the feed is, which tables it fills, texts, and what was derived anew. */
import { statements } from "./Statements.ts"

// The views of `mirror` and the tables behind them come from the projections of integrations (src/derive).
//
// `cursor` null: everything is derived anew. `generation` grows with each rebuild, so that a follower that read an
// older cursor does not store its own.
//
// Of a text, `part` -1 is the content's own; from 0 on they are attachments, which are made with the content's own. A
// text is extracted where `version` is null or older than the extractor; 0 stands for a text that a projection gave.
// `derived.pending` lists contents whose rows changed, for those who derive more from them: they delete what they read,
// if its `position` has not moved.
//
// `derived.forget` removes what was derived from contents that are purged or removed. The follower holds the same lock
// shared from its look at the contents to its commit, so that it writes no row of a content that was purged meanwhile.
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
