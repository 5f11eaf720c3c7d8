/** Reading the schema `mirror`: the function that runs a person's query, and read tokens. */
import { statements } from "./Statements.ts"

/**
 * Runs one query. The function is owned by a role that may only read `mirror` (src/derive/ReadOnlyRole.ts): a query in
 * a function with its owner's rights can't change the role, whatever functions it calls. The first row has the names of
 * the columns. A query without rows is run again beside an empty row to get their names; that part of it is never
 * evaluated. Integers that a JSON number cannot represent in every client become text.
 */
export const reader = statements([
  `CREATE FUNCTION derived.query(query text, most_rows integer, most_bytes bigint) RETURNS SETOF json
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = mirror, pg_catalog, pg_temp AS $$
DECLARE
  found record;
  line json;
  counted integer := 0;
  bytes bigint := 0;
BEGIN
  FOR found IN EXECUTE query LOOP
    IF counted = 0 THEN
      RETURN NEXT (SELECT json_agg(key ORDER BY ordinality) FROM json_each(row_to_json(found)) WITH ORDINALITY);
    END IF;
    counted := counted + 1;
    line := (SELECT json_agg(CASE WHEN json_typeof(value) = 'number' AND value::text ~ '^-?[0-9]{16,}$'
        THEN to_json(value::text) ELSE value END ORDER BY ordinality)
      FROM json_each(row_to_json(found)) WITH ORDINALITY);
    bytes := bytes + length(line::text);
    RETURN NEXT coalesce(line, '[]');
    EXIT WHEN counted >= most_rows OR bytes > most_bytes;
  END LOOP;
  IF counted = 0 THEN
    FOR found IN EXECUTE 'SELECT q.* FROM (SELECT) AS one LEFT JOIN (' || query || E'\\n) AS q ON false' LOOP
      RETURN NEXT (SELECT json_agg(key ORDER BY ordinality) FROM json_each(row_to_json(found)) WITH ORDINALITY);
    END LOOP;
  END IF;
END $$`,
  "REVOKE EXECUTE ON FUNCTION derived.query FROM PUBLIC"
])

/** Tokens that may only read the schema `mirror`, of some connections or of all (`connections` is null). */
export const readTokens = statements([
  `CREATE TABLE read_token (
    name text COLLATE "C" PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    connections uuid[],
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at timestamptz
  )`
])
