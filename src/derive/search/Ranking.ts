/** The functions in the database that find, rank and show results. `QueryParser.ts` has those that read a query. */
import * as Characters from "./Characters.ts"

/** Private characters around what a snippet marks. Texts do not have them. */
export const marks = { start: "\ue000", stop: "\ue001" }

/** In the order in which they depend on each other. `schema` is the one of Idem's own tables. */
export const functions = (schema: string): ReadonlyArray<string> => {
  const { unspaced } = Characters
  const separators = Characters.separators()
  return [
    // How many contents a query finds, as the planner estimates it. Only a volatile function may ask for that.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_estimate(wanted tsquery) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE format('EXPLAIN (FORMAT JSON) SELECT 1 FROM derived.search WHERE vector @@ %L::tsquery', wanted) INTO plan;
  RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
END $$`,

    // The newest contents that fit, from a place on. Costs are counted in contents that are fetched, about 8 µs each;
    // one that only the index of words gives costs 0.06 of that, and one of the index of times 0.08.
    //
    // A word that many contents have is found fastest by fetching the newest contents one by one. Any other is looked
    // for by the index of words, among as many of the newest contents as should have it twice as often as needed, then
    // among more. How many contents have it is the planner's estimate, or what the newest 300 tell, if that is more:
    // the planner knows little of the beginnings of rare words. A phrase is looked for in the newest 2,000 that have
    // its words.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_newest(
    wanted tsquery, of_connections uuid[], since timestamptz, until timestamptz, is_deleted boolean,
    from_key derived.search_key, inclusive boolean, most integer
  ) RETURNS derived.search_key[] LANGUAGE plpgsql SET work_mem = '32MB' AS $$
DECLARE
  has_index CONSTANT boolean := wanted IS NOT NULL AND querytree(wanted) <> 'T';
  is_one CONSTANT boolean := coalesce(cardinality(of_connections) = 1, false);
  backwards CONSTANT text := CASE WHEN is_one THEN 'occurred_at DESC, external_id DESC'
    ELSE 'occurred_at DESC, connection_id DESC, external_id DESC' END;
  -- What the index of times answers.
  timed CONSTANT text := CASE WHEN is_one THEN 'connection_id = $1[1]' ELSE 'true' END
    || CASE WHEN since IS NULL THEN '' ELSE ' AND occurred_at >= $2' END
    || CASE WHEN until IS NULL THEN '' ELSE ' AND occurred_at < $3' END
    || CASE WHEN from_key IS NULL THEN '' ELSE
      CASE WHEN is_one THEN ' AND (occurred_at, external_id)' ELSE ' AND (occurred_at, connection_id, external_id)' END
      || CASE WHEN inclusive THEN ' <= ' ELSE ' < ' END
      || CASE WHEN is_one THEN '($6, $8)' ELSE '($6, $7, $8)' END END;
  condition CONSTANT text := timed || ' AND deleted = $4'
    || CASE WHEN is_one OR of_connections IS NULL THEN '' ELSE ' AND connection_id = ANY ($1)' END;
  newest CONSTANT text := '(SELECT occurred_at, connection_id, external_id, vector FROM derived.search WHERE ' || condition
    || ' ORDER BY ' || backwards || ' LIMIT $10) AS newest';
  keys CONSTANT text := 'SELECT coalesce(array_agg((occurred_at, connection_id, external_id)::derived.search_key), ''{}'') FROM ';
  words tsquery := wanted;
  is_phrase boolean := false;
  total float8;
  expected float8;
  enough float8 := most;
  size float8;
  seen integer;
  oldest timestamptz;
  found derived.search_key[];
BEGIN
  IF has_index THEN
    is_phrase := strpos(wanted::text, '!') = 0 AND wanted::text ~ '<(-|\d+)>';
    IF is_phrase THEN words := regexp_replace(wanted::text, '<(-|\d+)>', '&', 'g')::tsquery; END IF;
    SELECT greatest(reltuples, 1) INTO total FROM pg_class WHERE oid = 'derived.search'::regclass;
    EXECUTE 'SELECT greatest(count(*) FILTER (WHERE vector @@ $9) - 5, 0) * $11 / greatest(count(*), 1) FROM ' || newest
      USING of_connections, since, until, is_deleted, wanted, from_key.occurred_at, from_key.connection_id,
        from_key.external_id, words, 300, total INTO expected;
    expected := greatest(expected, derived.search_estimate(words), 1);
    IF is_phrase THEN enough := 2000; END IF;
    size := CASE WHEN is_phrase THEN 1 ELSE 2 END * enough * total / expected;
  END IF;
  IF NOT has_index OR size / 2 < expected * 0.06 + least(expected, size * 0.08 + 2 * enough) THEN
    EXECUTE keys || '(SELECT occurred_at, connection_id, external_id FROM ' || newest
        || ' WHERE $5 IS NULL OR vector @@ $5 LIMIT $9) AS fitting'
      USING of_connections, since, until, is_deleted, wanted, from_key.occurred_at, from_key.connection_id,
        from_key.external_id, most, CASE WHEN has_index THEN size + 500 ELSE most END INTO found;
    IF NOT has_index OR is_phrase OR cardinality(found) = most THEN RETURN found; END IF;
  END IF;
  LOOP
    oldest := NULL;
    IF size * 0.08 + 2 * enough < expected AND size < total / 2 THEN
      EXECUTE 'SELECT occurred_at FROM derived.search WHERE ' || timed || ' ORDER BY ' || backwards || ' OFFSET $9 LIMIT 1'
        USING of_connections, since, until, is_deleted, wanted, from_key.occurred_at, from_key.connection_id,
          from_key.external_id, size INTO oldest;
    END IF;
    -- The sum keeps the planner from reading the index of times in its order.
    EXECUTE keys || '(SELECT occurred_at, connection_id, external_id FROM derived.search WHERE vector @@ $5 AND ' || condition
        || CASE WHEN oldest IS NULL THEN '' ELSE ' AND occurred_at >= $10' END
        || ' ORDER BY occurred_at + interval ''0'' DESC, connection_id DESC, external_id DESC LIMIT $9) AS fitting'
      USING of_connections, since, until, is_deleted, wanted, from_key.occurred_at, from_key.connection_id,
        from_key.external_id, most, oldest INTO found;
    IF is_phrase OR cardinality(found) = most OR oldest IS NULL THEN RETURN found; END IF;
    size := size * 8;
  END LOOP;
END $$`,

    // A piece of the text around the first word that is looked for, with such words between two private characters.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_snippet(
    configuration regconfig, of_connection uuid, of_id text, marked tsquery, words text[]
  ) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  pattern CONSTANT text := '(([${unspaced}]|[^ ${separators}${unspaced}]+)|[ ${separators}]+)';
  body text;
  place integer;
  piece text;
BEGIN
  SELECT found.text, found.place INTO body, place FROM (
    SELECT t.text, t.part, (SELECT min(nullif(strpos(lower(left(t.text, 100000)), word), 0)) FROM unnest(words) AS word) AS place
    FROM derived.text AS t WHERE t.connection_id = of_connection AND t.external_id = of_id AND t.text IS NOT NULL
  ) AS found ORDER BY found.place IS NULL, found.part LIMIT 1;
  piece := translate(substr(body, greatest(coalesce(place, 1) - 80, 1), 400), chr(57344) || chr(57345), '');
  -- The word that was cut in two is left out.
  IF coalesce(place, 1) > 81 THEN piece := '… ' || regexp_replace(piece, '^\S{0,40}\s+', ''); END IF;
  piece := regexp_replace(piece, '\s+', ' ', 'g');
  IF marked IS NULL THEN RETURN btrim(left(piece, 300)); END IF;
  -- The words alone are marked, and put back among what separates them.
  WITH
    token AS MATERIALIZED (SELECT match[1] AS written, match[2] IS NOT NULL AS is_word, number
      FROM regexp_matches(left(piece, 300), pattern, 'g') WITH ORDINALITY AS matches(match, number)),
    shown AS (SELECT written, number, is_word, row_number() OVER (PARTITION BY is_word ORDER BY number) AS nth FROM token),
    marks AS MATERIALIZED (SELECT starts_with(word, chr(57344)) AS is_marked, nth FROM string_to_table(ts_headline(configuration,
      (SELECT string_agg(derived.search_clean(written), ' ' ORDER BY number) FILTER (WHERE is_word) FROM token), marked,
      format('StartSel=%s, StopSel=%s, HighlightAll=true', chr(57344), chr(57345))), ' ')
      WITH ORDINALITY AS words(word, nth))
  SELECT string_agg(CASE WHEN is_word AND is_marked THEN chr(57344) || written || chr(57345) ELSE written END, '' ORDER BY number)
    INTO piece FROM shown LEFT JOIN marks USING (nth);
  -- Neighbours are marked together: example.org.
  piece := regexp_replace(piece, '\uE001([${separators}]*)\uE000', '\1', 'g');
  RETURN btrim(piece);
END $$`,

    // A page of results. Of what fits, the newest 100 are ranked, and with them the newest 50 that have the words in
    // the title. When these are used up, the next 100 are. The cursor is the "next" of the last result before.
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
  skipped integer;
  from_key derived.search_key;
  title_end derived.search_key;
  languages regconfig[];
  q record;
  words text[];
  newest derived.search_key[];
  titles derived.search_key[] := '{}';
  given integer;
BEGIN
  BEGIN
    state := CASE WHEN cursor IS NULL THEN '{}' ELSE convert_from(decode(cursor, 'base64'), 'UTF8')::jsonb END;
    now_at := coalesce((state ->> 'now')::timestamptz, now());
    is_fuzzy := coalesce((state ->> 'fuzzy')::boolean, false);
    is_first := coalesce((state ->> 'first')::boolean, true);
    skipped := coalesce((state ->> 'skipped')::integer, 0);
    from_key := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'from', 'null'));
    title_end := jsonb_populate_record(NULL::derived.search_key, nullif(state -> 'titles', 'null'));
    IF jsonb_typeof(state) <> 'object' OR skipped < 0 OR NOT isfinite(now_at) THEN RAISE invalid_parameter_value; END IF;
  EXCEPTION WHEN OTHERS THEN
    RAISE EXCEPTION 'the cursor is not one that a search gave' USING ERRCODE = 'IDM02';
  END;
  SELECT array_agg(DISTINCT configuration::regconfig) INTO languages FROM (
    SELECT 'derived.idem_simple' AS configuration
    UNION ALL SELECT format('derived.%I', 'idem_' || language) FROM derived.search_language
      WHERE of_connections IS NULL OR search_language.connection_id = ANY (of_connections)) AS used;
  -- More than once only where a window has nothing that was not given before.
  FOR attempt IN 1..50 LOOP
    LOOP
      q := derived.search_parse(query, languages, is_fuzzy);
      IF of_kind IS NOT NULL THEN
        q.wanted := coalesce(q.wanted && derived.search_term(derived.search_flag('kind:', of_kind), false), derived.search_term(derived.search_flag('kind:', of_kind), false));
        q.titled := q.titled && derived.search_term(derived.search_flag('kind:', of_kind), false);
      END IF;
      IF of_sender IS NOT NULL THEN
        q.wanted := coalesce(q.wanted && derived.search_value('from:', of_sender, true), derived.search_value('from:', of_sender, true), q.wanted);
        q.titled := coalesce(q.titled && derived.search_value('from:', of_sender, true), q.titled);
      END IF;
      newest := derived.search_newest(q.wanted, of_connections, greatest(q.since, of_since), least(q.until, of_until),
        q.deleted, from_key, is_first, pool);
      -- With a misspelt word, there is nothing that has it.
      EXIT WHEN cardinality(newest) > 0 OR is_fuzzy OR NOT is_first OR q.wanted IS NULL
        OR (derived.search_parse(query, languages, true)).wanted = (derived.search_parse(query, languages, false)).wanted;
      is_fuzzy := true;
    END LOOP;
    IF is_first AND cardinality(newest) = pool AND q.titled IS NOT NULL THEN
      titles := derived.search_newest(q.titled, of_connections, greatest(q.since, of_since), least(q.until, of_until),
        q.deleted, from_key, true, title_pool);
      -- All that are newer than the last of them are among them.
      title_end := titles[cardinality(titles)];
    END IF;
    -- Lexemes of fields are not in the text.
    words := ARRAY(SELECT DISTINCT replace(found[1], '''''', '''')
      FROM regexp_matches(q.marked::text, '''((?:[^'']|'''')+)''', 'g') AS found
      WHERE found[1] !~ '^(from|to|in|filename):');
    RETURN QUERY WITH
      pooled AS MATERIALIZED (
        SELECT DISTINCT key.occurred_at, key.connection_id, key.external_id FROM unnest(newest || titles) AS key),
      ranked AS MATERIALIZED (
        SELECT s.connection_id, s.external_id, s.occurred_at, s.sender,
          (CASE WHEN q.marked IS NULL THEN 1 ELSE 0.02 + ts_rank('{0.1, 0.2, 0.5, 1.0}', s.vector, q.marked, 1) END
            * (0.4 + 0.6 * exp(-least(greatest(extract(epoch FROM now_at - greatest(s.occurred_at, '1970-01-01'::timestamptz)), 0)
              / 15552000, 100))))::float8 AS score,
          count(*) OVER () AS size
        FROM pooled JOIN derived.search AS s USING (connection_id, external_id)
        -- These were given with the first results.
        WHERE is_first OR title_end IS NULL OR NOT (s.vector @@ q.titled AND (s.occurred_at, s.connection_id, s.external_id)
          >= (title_end.occurred_at, title_end.connection_id, title_end.external_id))),
      numbered AS (
        SELECT ranked.*, row_number() OVER (
          ORDER BY ranked.score DESC, ranked.occurred_at DESC, ranked.connection_id, ranked.external_id) AS number
        FROM ranked),
      page AS MATERIALIZED (SELECT * FROM numbered ORDER BY number OFFSET skipped LIMIT most)
      SELECT page.connection_id, page.external_id, page.occurred_at, page.sender,
        derived.search_snippet(coalesce((SELECT format('derived.%I', 'idem_' || language)::regconfig FROM derived.search_language
          WHERE search_language.connection_id = page.connection_id), 'derived.idem_simple'::regconfig),
          page.connection_id, page.external_id, q.marked, words),
        page.score,
        CASE WHEN page.number < page.size OR cardinality(newest) = pool THEN
          translate(encode(convert_to(jsonb_build_object('now', now_at, 'fuzzy', is_fuzzy,
            'first', is_first AND page.number < page.size,
            'skipped', CASE WHEN page.number < page.size THEN page.number ELSE 0 END,
            'from', to_jsonb(CASE WHEN page.number < page.size THEN coalesce(from_key, newest[1]) ELSE newest[pool] END),
            'titles', to_jsonb(title_end))::text, 'UTF8'), 'base64'), E'\n', '') END
      FROM page ORDER BY page.number;
    GET DIAGNOSTICS given = ROW_COUNT;
    EXIT WHEN given > 0 OR cardinality(newest) < pool;
    from_key := newest[pool];
    is_first := false;
    skipped := 0;
    titles := '{}';
  END LOOP;
END $$`,

    String.raw`CREATE OR REPLACE FUNCTION mirror.search(
    query text, connection_name text DEFAULT NULL, content_kind text DEFAULT NULL, sender text DEFAULT NULL,
    since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL, max_results integer DEFAULT 20, after text DEFAULT NULL
  ) RETURNS TABLE (
    connection text, id text, kind text, title text, "from" text, occurred_at timestamptz, snippet text, score float8, next text
  ) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.name, found.external_id, content.kind, content.title, found.sender, nullif(found.occurred_at, '-infinity'),
      replace(replace(found.snippet, chr(57344), '**'), chr(57345), '**'), found.score, found.next
    FROM derived.search_page($1, CASE WHEN $2 IS NOT NULL THEN
        ARRAY(SELECT named.id FROM ${schema}.connection AS named WHERE named.name = $2) END, $3, $4, $5, $6,
      least(greatest($7, 1), 100), $8)
      WITH ORDINALITY AS found(connection_id, external_id, occurred_at, sender, snippet, score, next, position)
    JOIN ${schema}.connection AS c ON c.id = found.connection_id
    JOIN derived.content AS content ON content.connection_id = found.connection_id AND content.external_id = found.external_id
    ORDER BY found.position $$`
  ]
}
