/**
 * The functions in the database that find the newest contents that match a query, the candidates of `Ranking.ts`. They
 * decide which index to use: that of words, that of times, or both.
 */

/**
 * The functions in the order of their dependencies. They call functions of `IndexFunctions.ts` and `QueryParser.ts`.
 */
export const functions: ReadonlyArray<string> = [
  // Returns how many contents meet a condition, as the planner estimates it. Only a volatile function may run EXPLAIN.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_estimate(condition text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  plan json;
BEGIN
  EXECUTE 'EXPLAIN (FORMAT JSON) SELECT 1 FROM derived.search WHERE ' || condition INTO plan;
  RETURN (plan -> 0 -> 'Plan' ->> 'Plan Rows')::float8;
END $$`,

  // Returns the condition on connections and times as SQL, which one index of times can answer.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_scope(
    of_connections uuid[], since timestamptz, until timestamptz, from_key derived.search_key, inclusive boolean
  ) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT concat_ws(' AND ', 'true',
      CASE WHEN cardinality(of_connections) = 1 THEN format('connection_id = %L', of_connections[1])
        WHEN of_connections IS NOT NULL THEN format('connection_id = ANY (%L)', of_connections) END,
      CASE WHEN since IS NOT NULL THEN format('occurred_at >= %L', since) END,
      CASE WHEN until IS NOT NULL THEN format('occurred_at < %L', until) END,
      CASE WHEN from_key IS NOT NULL THEN format(
        'occurred_at <= %L AND (occurred_at, connection_id, external_id) %s (%1$L, %3$L, %4$L)',
        from_key.occurred_at, CASE WHEN inclusive THEN '<=' ELSE '<' END,
        from_key.connection_id, from_key.external_id) END) $$`,

  // Returns a condition that selects contents with the words in a window of the newest contents of a scope. The window
  // should have `size` contents, `needed` of them with the words. Returns null if fetching all contents `expected` to
  // have the words is less work.
  //
  // The index of words reads all contents of each word, unless a rarer lexeme is required too. So the lexemes of the
  // window's months are added to the words. More than 12 months would take longer than they save. Whole months may have
  // more contents than the window should have, and these are fetched.
  //
  // If that costs more, the window is counted in the index of times. A content there costs a twelfth of fetching one.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_window(
    words tsquery, scope text, size float8, needed integer, expected float8
  ) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  month timestamptz := 'infinity';
  months tsquery;
  covered float8 := 0;
  oldest timestamptz;
BEGIN
  FOR attempt IN 1..12 LOOP
    EXECUTE format('SELECT date_trunc(''month'', occurred_at, ''UTC'') FROM derived.search
      WHERE %s AND occurred_at > ''-infinity'' AND occurred_at < %L ORDER BY occurred_at DESC LIMIT 1', scope, month)
      INTO month;
    EXIT WHEN month IS NULL;
    months := concat_ws('|', months, derived.search_term(derived.search_month(month), false))::tsquery;
    covered := derived.search_estimate(format('%s AND occurred_at >= %L', scope, month));
    EXIT WHEN covered >= size OR covered < size * (attempt - 1) / 12;
  END LOOP;
  IF covered < size THEN
    months := NULL;
  ELSIF needed * covered / size < least(size / 12 + needed, expected) THEN
    RETURN format('vector @@ %L', words && months);
  END IF;
  IF size / 12 + needed < expected THEN
    EXECUTE format('SELECT occurred_at FROM derived.search WHERE %s
      ORDER BY occurred_at DESC, connection_id DESC, external_id DESC OFFSET %s LIMIT 1', scope, size::bigint)
      INTO oldest;
  END IF;
  RETURN CASE WHEN oldest IS NOT NULL
    THEN format('vector @@ %L AND occurred_at >= %L', derived.search_both(words, months), oldest) END;
END $$`,

  // Finds the newest matching contents, from a place on, in four steps:
  //
  // 1. If the planner expects few contents with the words, reads up to 2,000 of them from the index of words: all,
  //    unless the planner was wrong.
  // 2. Checks the newest 4,000 contents of the scope one by one, by an index of times, until enough are found. Common
  //    words are found there. If the first 500 have too few matches for that, the rest is not checked.
  // 3. Estimates how many contents have the words: by the share of matches in step 2, or by the planner's estimate if
  //    that is higher. The planner's estimate for the beginning of a word is never below half a percent of the contents
  //    (`DEFAULT_TS_MATCH_SEL`), so an estimate of that size means nothing.
  // 4. The index of words returns its contents in no order. If many contents have the words, it is queried for a window
  //    of the newest contents that should have a little more than needed, and for a wider one until it has enough. If
  //    few contents have the words, it is queried for all of them.
  //
  // The index of words finds a phrase only by its words: each content that has them is fetched to check their order. So
  // a phrase is searched for in the newest 2,000 contents that have its words.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_newest(
    wanted tsquery, of_connections uuid[], since timestamptz, until timestamptz, is_deleted boolean,
    from_key derived.search_key, inclusive boolean, most integer
  ) RETURNS derived.search_key[] LANGUAGE plpgsql SET work_mem = '32MB' AS $$
DECLARE
  few CONSTANT integer := 2000;
  sample CONSTANT integer := 4000;
  first_look CONSTANT integer := sample / 8;
  scope CONSTANT text := derived.search_scope(of_connections, since, until, from_key, inclusive);
  newest_first CONSTANT text := ' ORDER BY occurred_at DESC, connection_id DESC, external_id DESC';
  key CONSTANT text := '(occurred_at, connection_id, external_id)::derived.search_key AS key';
  contents CONSTANT text := format('FROM derived.search WHERE %s AND deleted = %L', scope, is_deleted);
  is_phrase CONSTANT boolean := strpos(wanted::text, '!') = 0 AND wanted::text ~ '<(-|\d+)>';
  words CONSTANT tsquery := CASE WHEN is_phrase
    THEN regexp_replace(wanted::text, '<(-|\d+)>', '&', 'g')::tsquery ELSE wanted END;
  in_order CONSTANT text := CASE WHEN is_phrase THEN format('vector @@ %L', wanted) ELSE 'true' END;
  needed CONSTANT integer := CASE WHEN is_phrase THEN 2000 ELSE most END;
  beginnings CONSTANT integer := (length(words::text) - length(replace(words::text, ':*', ''))) / 2;
  content record;
  found derived.search_key[] := '{}';
  looked_at integer := 0;
  having_words integer := 0;
  total CONSTANT float8 := (SELECT greatest(reltuples, sample) FROM pg_class
    WHERE oid = 'derived.search'::regclass);
  expected float8;
  size float8;
  fitting text;
BEGIN
  -- The query has no word to look up in the index, for example because it only excludes words.
  IF wanted IS NULL OR querytree(wanted) = 'T' THEN
    EXECUTE format('SELECT array_agg(key) FROM (SELECT %s %s AND (%L::tsquery IS NULL OR vector @@ %3$L) %s LIMIT %s)
      AS fitting', key, contents, wanted, newest_first, most) INTO found;
    RETURN coalesce(found, '{}');
  END IF;

  expected := derived.search_estimate(format('vector @@ %L', words));
  IF expected <= few AND beginnings = 0 THEN
    EXECUTE format('SELECT count(*), (array_agg(key ORDER BY (key).occurred_at DESC, (key).connection_id DESC,
        (key).external_id COLLATE "C" DESC) FILTER (WHERE fits))[:%s]
      FROM (SELECT %s, %s AS fits %s AND vector @@ %L LIMIT %s) AS fitting',
      most, key, in_order, contents, words, few + 1)
      INTO having_words, found;
    IF having_words <= few THEN RETURN coalesce(found, '{}'); END IF;
    found := '{}';
    having_words := 0;
  END IF;

  FOR content IN EXECUTE format('SELECT %s, vector @@ %L AS has_words, %s AS fits %s %s LIMIT %s',
    key, words, in_order, contents, newest_first, sample)
  LOOP
    looked_at := looked_at + 1;
    IF content.has_words THEN
      having_words := having_words + 1;
      IF content.fits THEN found := found || content.key; END IF;
      IF cardinality(found) = most OR having_words = needed THEN RETURN found; END IF;
    END IF;
    EXIT WHEN looked_at = first_look AND cardinality(found) < most / 8 AND having_words < needed / 8;
  END LOOP;
  IF looked_at < sample AND looked_at <> first_look THEN RETURN found; END IF;

  IF expected < total * 0.006 * beginnings THEN expected := 0; END IF;
  expected := greatest(total * having_words / looked_at, expected, 1);

  size := total * needed / expected * CASE WHEN is_phrase THEN 1.1 ELSE 1.5 END;
  LOOP
    fitting := CASE WHEN size < total THEN derived.search_window(words, scope, size, needed, expected) END;
    -- Adding an interval keeps the planner from reading the index of times in order.
    EXECUTE format('SELECT count(*), (array_agg(key) FILTER (WHERE fits))[:%s] FROM (
        SELECT %s, %s AS fits %s AND %s
        ORDER BY occurred_at + interval ''0'' DESC, connection_id DESC, external_id DESC LIMIT %s) AS newest',
      most, key, in_order, contents, coalesce(fitting, format('vector @@ %L', words)), needed) INTO having_words, found;
    IF having_words = needed OR cardinality(found) = most OR fitting IS NULL THEN RETURN coalesce(found, '{}'); END IF;
    size := size * 3;
  END LOOP;
END $$`
]
