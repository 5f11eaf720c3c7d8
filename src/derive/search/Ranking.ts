/** The functions in the database that rank and show results. `Candidates.ts` has the functions that find them. */
import * as Characters from "./Characters.ts"

/** Private-use characters around the marked words of a snippet. Texts do not contain them. */
export const marks = { start: "\ue000", stop: "\ue001" }

/** Returns the functions in the order of their dependencies. `schema` is the schema of Idem's own tables. */
export const functions = (schema: string): ReadonlyArray<string> => {
  const { unspaced } = Characters
  const separators = Characters.separators()
  return [
    // Returns a part of the text around the first matching word, with matching words between two private-use
    // characters.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_snippet(
    configuration regconfig, of_connection uuid, of_id text, marked tsquery, words text[]
  ) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  body text;
  place integer;
  piece text;
  lead text;
  written text[];
BEGIN
  SELECT found.text, found.place INTO body, place FROM (
    SELECT t.text, t.part,
      (SELECT min(nullif(strpos(lower(left(t.text, 100000)), word), 0)) FROM unnest(words) AS word) AS place
    FROM derived.text AS t WHERE t.connection_id = of_connection AND t.external_id = of_id AND t.text IS NOT NULL
  ) AS found ORDER BY found.place IS NULL, found.part LIMIT 1;
  piece := translate(substr(body, greatest(coalesce(place, 1) - 80, 1), 400), chr(57344) || chr(57345) || chr(57346), '');
  -- Leaves out the word that the cut divided.
  IF coalesce(place, 1) > 81 THEN piece := '… ' || regexp_replace(piece, '^\S{0,40}\s+', ''); END IF;
  piece := regexp_replace(piece, '\s+', ' ', 'g');
  piece := left(piece, 300);
  IF marked IS NULL THEN RETURN btrim(piece); END IF;
  -- Separates words in scripts without spaces by a private-use character, which is removed below.
  IF piece ~ '[${unspaced}]' THEN
    piece := regexp_replace(piece, '([${unspaced}])', chr(57346) || '\1' || chr(57346), 'g');
  END IF;
  lead := substring(piece FROM '^[ ${separators}]*');
  piece := substr(piece, length(lead) + 1);
  written := regexp_split_to_array(piece, '[ ${separators}]+');
  -- Marks the words alone, then puts back the gap before each word.
  SELECT lead || string_agg(gap || CASE WHEN starts_with(shown, chr(57344)) THEN chr(57344) || word || chr(57345)
      ELSE word END, '' ORDER BY nth) INTO piece
    FROM ROWS FROM (
      unnest(written, regexp_split_to_array(piece, '[^ ${separators}]+')),
      string_to_table(ts_headline(configuration, derived.search_clean(array_to_string(written, ' ')), marked,
        format('StartSel=%s, StopSel=%s, HighlightAll=true', chr(57344), chr(57345))), ' ')
    ) WITH ORDINALITY AS words(word, gap, shown, nth);
  piece := translate(piece, chr(57346), '');
  -- Merges the marks of adjacent words, as in example.org.
  piece := regexp_replace(piece, '\uE001([${separators}]*)\uE000', '\1', 'g');
  RETURN btrim(piece);
END $$`,

    // Ranks by how often and where the words occur, relative to the length. A content of today counts 2.5 times as much
    // as one that is years old, and 1.6 times as much as one of half a year ago.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_score(
    vector tsvector, marked tsquery, occurred_at timestamptz, now_at timestamptz
  ) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN marked IS NULL THEN 1 ELSE 0.02 + ts_rank('{0.1, 0.2, 0.5, 1.0}', vector, marked, 1) END
      * (0.4 + 0.6 * exp(-least(greatest(
        extract(epoch FROM now_at - greatest(occurred_at, '1970-01-01'::timestamptz)) / 15552000, 0), 100))
      )::float8 $$`,

    // Returns true if the first key comes before the second one, newest first, or equals it.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_reached(
    one derived.search_key, other derived.search_key
  ) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (one.occurred_at, one.connection_id, one.external_id COLLATE "C")
      >= (other.occurred_at, other.connection_id, other.external_id COLLATE "C") $$`,

    // Encodes the cursor of a page: the first and the last of the contents that are ranked together, the last of the
    // title matches among them, and the page's last result.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_cursor(
    now_at timestamptz, is_fuzzy boolean, is_first boolean, from_key derived.search_key, to_key derived.search_key,
    title_end derived.search_key, last_score float8, last_key derived.search_key
  ) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT translate(encode(convert_to(jsonb_build_object('now', now_at, 'fuzzy', is_fuzzy, 'first', is_first,
      'from', to_jsonb(from_key), 'to', to_jsonb(to_key), 'titles', to_jsonb(title_end),
      'score', last_score, 'last', to_jsonb(last_key))::text, 'UTF8'), 'base64'), E'\n', '') $$`,

    // Returns a page of results. The newest 100 matches are ranked together, at first also with the newest 50 that have
    // the words in the title. After these, the next 100 are ranked.
    //
    // A later page ranks the same contents again, and begins after the last result, even if that was deleted. Contents
    // that are older than the 100 are left for the next ones, however many of the 100 were deleted. If so many contents
    // were added that the newest 200 do not include the 100, the next ones begin after the 200: a result may come
    // twice, but none is left out.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_page(
    query text, of_connections uuid[], of_kind text, of_sender text, of_since timestamptz, of_until timestamptz,
    most integer, cursor text
  ) RETURNS TABLE (
    connection_id uuid, external_id text, occurred_at timestamptz, sender text, snippet text, score float8, next text
  ) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  pool CONSTANT integer := 100;
  title_pool CONSTANT integer := 50;
  state jsonb;
  now_at timestamptz;
  is_fuzzy boolean;
  is_first boolean;
  from_key derived.search_key;
  to_key derived.search_key;
  title_end derived.search_key;
  last_score float8;
  last_key derived.search_key;
  languages CONSTANT regconfig[] := ARRAY(
    SELECT 'derived.idem_simple'::regconfig
    UNION SELECT format('derived.%I', 'idem_' || language)::regconfig FROM derived.search_language AS used
      WHERE of_connections IS NULL OR used.connection_id = ANY (of_connections));
  -- A sender without letters and digits finds nothing, like such a query.
  filter CONSTANT tsquery := derived.search_both(
    derived.search_term(derived.search_flag('kind:', of_kind), false),
    CASE WHEN of_sender IS NOT NULL
      THEN coalesce(derived.search_value('from:', of_sender, true), derived.search_term('nothing:', false)) END);
  q record;
  words text[];
  newest derived.search_key[];
  titles derived.search_key[];
  growth integer;
  oldest derived.search_key;
BEGIN
  BEGIN
    state := CASE WHEN cursor IS NULL THEN '{}' ELSE convert_from(decode(cursor, 'base64'), 'UTF8')::jsonb END;
    now_at := coalesce((state ->> 'now')::timestamptz, now());
    is_fuzzy := coalesce((state ->> 'fuzzy')::boolean, false);
    is_first := coalesce((state ->> 'first')::boolean, true);
    last_score := (state ->> 'score')::float8;
    last_key := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'last', 'null'));
    to_key := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'to', 'null'));
    from_key := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'from', 'null'));
    title_end := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'titles', 'null'));
    IF jsonb_typeof(state) <> 'object' OR NOT isfinite(now_at) THEN
      RAISE invalid_parameter_value;
    END IF;
  EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'the cursor is not one that a search gave' USING ERRCODE = 'IDM02';
  END;

  -- Repeats only if nothing matches without similarly spelt names, or if all contents that are ranked together were
  -- returned before.
  FOR attempt IN 1..50 LOOP
    q := derived.search_parse(query, languages, is_fuzzy);
    growth := CASE WHEN last_key IS NULL THEN 1 ELSE 2 END;
    newest := derived.search_newest(derived.search_both(q.wanted, filter), of_connections, greatest(q.since, of_since),
      least(q.until, of_until), q.deleted, from_key, is_first, pool * growth);
    IF cardinality(newest) = 0 AND is_first AND last_key IS NULL AND NOT is_fuzzy AND q.wanted IS NOT NULL THEN
      is_fuzzy := true;
      CONTINUE;
    END IF;
    oldest := newest[pool * growth];
    IF to_key IS NULL OR derived.search_reached(oldest, to_key) THEN to_key := oldest; END IF;
    titles := '{}';
    IF is_first AND to_key IS NOT NULL AND q.titled IS NOT NULL THEN
      titles := derived.search_newest(derived.search_both(q.titled, filter), of_connections,
        greatest(q.since, of_since), least(q.until, of_until), q.deleted, from_key, true, title_pool * growth);
      oldest := titles[cardinality(titles)];
      -- Every title match that is at least as new as this one is returned with the first results.
      IF title_end IS NULL OR derived.search_reached(oldest, title_end) THEN title_end := oldest; END IF;
    END IF;
    -- Leaves out the lexemes of fields, which are not in the text.
    words := ARRAY(SELECT DISTINCT replace(found[1], '''''', '''')
      FROM regexp_matches(q.marked::text, '''((?:[^'']|'''')+)''', 'g') AS found
      WHERE found[1] !~ '^(from|to|in|filename):');
    RETURN QUERY WITH
      pooled AS MATERIALIZED (
        SELECT DISTINCT key, key.connection_id, key.external_id FROM unnest(newest || titles) AS key),
      ranked AS MATERIALIZED (
        SELECT s.connection_id, s.external_id, s.occurred_at, s.sender,
          derived.search_score(s.vector, q.marked, s.occurred_at, now_at) AS score
        FROM pooled JOIN derived.search AS s USING (connection_id, external_id),
          LATERAL (SELECT to_key IS NULL OR derived.search_reached(pooled.key, to_key) AS is_new,
            title_end IS NOT NULL AND s.vector @@ q.titled AND derived.search_reached(pooled.key, title_end) AS is_title
          ) AS match
        WHERE CASE WHEN is_first THEN is_new OR is_title ELSE is_new AND NOT is_title END),
      numbered AS (
        SELECT ranked.*, count(*) OVER () AS size, row_number() OVER (
          ORDER BY ranked.score DESC, ranked.occurred_at DESC, ranked.connection_id DESC, ranked.external_id DESC
        ) AS number
        FROM ranked
        WHERE last_key IS NULL OR (ranked.score, ranked.occurred_at, ranked.connection_id, ranked.external_id)
          < (last_score, last_key.occurred_at, last_key.connection_id, last_key.external_id)),
      page AS MATERIALIZED (SELECT * FROM numbered ORDER BY number LIMIT most)
      SELECT page.connection_id, page.external_id, page.occurred_at, page.sender,
        derived.search_snippet(coalesce((
          SELECT format('derived.%I', 'idem_' || language)::regconfig FROM derived.search_language
          WHERE search_language.connection_id = page.connection_id), 'derived.idem_simple'::regconfig),
          page.connection_id, page.external_id, q.marked, words),
        page.score,
        CASE WHEN page.number < page.size THEN
            derived.search_cursor(now_at, is_fuzzy, is_first, coalesce(from_key, newest[1]), to_key, title_end,
              page.score, (page.occurred_at, page.connection_id, page.external_id)::derived.search_key)
          WHEN to_key IS NOT NULL THEN
            derived.search_cursor(now_at, is_fuzzy, false, to_key, NULL, title_end, NULL, NULL) END
      FROM page ORDER BY page.number;
    EXIT WHEN FOUND OR to_key IS NULL;
    from_key := to_key;
    to_key := NULL;
    last_key := NULL;
    is_first := false;
  END LOOP;
END $$`,

    String.raw`CREATE OR REPLACE FUNCTION mirror.search(
    query text, connection_name text DEFAULT NULL, content_kind text DEFAULT NULL, sender text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, max_results integer DEFAULT 20,
    after text DEFAULT NULL
  ) RETURNS TABLE (
    connection text, id text, kind text, title text, "from" text, occurred_at timestamptz, snippet text,
    score float8, next text
  ) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.name, found.external_id, content.kind, content.title, found.sender, nullif(found.occurred_at, '-infinity'),
      replace(replace(found.snippet, chr(57344), '**'), chr(57345), '**'), found.score, found.next
    FROM derived.search_page($1, CASE WHEN $2 IS NOT NULL THEN
        ARRAY(SELECT named.id FROM ${schema}.connection AS named WHERE named.name = $2) END, $3, $4, $5, $6,
      least(greatest($7, 1), 100), $8)
      WITH ORDINALITY AS found(connection_id, external_id, occurred_at, sender, snippet, score, next, position)
    JOIN ${schema}.connection AS c ON c.id = found.connection_id
    JOIN derived.content AS content
      ON content.connection_id = found.connection_id AND content.external_id = found.external_id
    ORDER BY found.position $$`
  ]
}
