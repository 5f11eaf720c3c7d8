/**
 * The functions of search in the database, so that `mirror.search` gives everyone the same results: the API, the
 * command line, the page, and people with a database client.
 */

/** The schemas of the installed extensions. */
export interface Extensions {
  readonly unaccent: string | undefined
  readonly pgTrgm: string | undefined
}

/** A name in SQL. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * Scripts without spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer. Each character is a word of the
 * index, and a word of a query is a phrase of characters.
 */
export const unspaced = String.raw`[\u0E00-\u0EFF\u1000-\u109F\u1780-\u17FF\u2E80-\u2FDF\u3040-\u30FF\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF]`

/**
 * The separators of words in names, ASCII and general punctuation: the classes of a regular expression differ by
 * locale.
 */
const punctuation = String.raw`[\s!-/:-@\[-_{-~\u0060\u2000-\u206F\u3000-\u303F]+`

/** A configuration of text search: that of the language, with accents removed before. */
export const configuration = (language: string, { unaccent }: Extensions): ReadonlyArray<string> => {
  const name = `derived.${identifier(`idem_${language}`)}`
  const mapped = (kinds: string, dictionary: string): string =>
    `ALTER TEXT SEARCH CONFIGURATION ${name} ALTER MAPPING FOR ${kinds}
      WITH ${unaccent === undefined ? "" : `${identifier(unaccent)}.unaccent, `}pg_catalog.${dictionary}`
  return [
    `DROP TEXT SEARCH CONFIGURATION IF EXISTS ${name}`,
    `CREATE TEXT SEARCH CONFIGURATION ${name} (COPY = pg_catalog.${identifier(language)})`,
    mapped("word, hword, hword_part", language === "simple" ? "simple" : identifier(`${language}_stem`)),
    mapped("numword, numhword, hword_numpart", "simple")
  ]
}

/** Functions of earlier versions: those of now may have other parameters. The trigger's own one stays. */
export const dropFunctions = `DO $$
DECLARE
  found regprocedure;
BEGIN
  FOR found IN SELECT oid FROM pg_proc WHERE pronamespace IN ('derived'::regnamespace, 'mirror'::regnamespace)
    AND (proname = 'search' OR starts_with(proname, 'search_')) AND proname <> 'search_unlearn' LOOP
    EXECUTE 'DROP FUNCTION ' || found;
  END LOOP;
END $$`

/** In the order in which they need each other. `schema` is that of Idem's own tables. */
export const functions = ({ pgTrgm, unaccent }: Extensions, schema: string): ReadonlyArray<string> => [
  String.raw`CREATE OR REPLACE FUNCTION derived.search_fold(given text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT lower(${unaccent === undefined ? "given" : `${identifier(unaccent)}.unaccent(given)`}) $$`,

  // The parser of PostgreSQL takes "and/or" for a path: slashes and underscores separate words here.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_spaced(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN given ~ '${unspaced}' THEN regexp_replace(translate(given, '/\_', '   '), '(${unspaced})', ' \1 ', 'g')
      ELSE translate(given, '/\_', '   ') END $$`,

  // The words of a name, folded: as they are written (ann@example.com), and without punctuation (ann, example, com).
  String.raw`CREATE OR REPLACE FUNCTION derived.search_words(given text) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(word, 100)), '{}') FROM (
      SELECT word FROM regexp_split_to_table(derived.search_fold(given), '[\s<>"(),;]+') AS word
      UNION ALL SELECT word FROM regexp_split_to_table(derived.search_fold(given), '${punctuation}') AS word
    ) AS words WHERE word <> '' $$`,

  String.raw`CREATE OR REPLACE FUNCTION derived.search_field(field text, given text) RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(field || word), '{}') FROM unnest(derived.search_words(given)) AS word $$`,

  String.raw`CREATE OR REPLACE FUNCTION derived.search_vector(
    configuration regconfig, title text, sender text, recipients text, place text, files text, labels text[],
    flags text[], body text
  ) RETURNS tsvector LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT setweight(to_tsvector(configuration, derived.search_spaced(coalesce(title, ''))), 'A')
      || setweight(to_tsvector(configuration, derived.search_spaced(
        concat_ws(' ', sender, recipients, place, files, translate(concat_ws(' ', sender, recipients, files), '@.-', '   ')))), 'B')
      || to_tsvector(configuration, derived.search_spaced(coalesce(body, '')))
      || array_to_tsvector(derived.search_field('subject:', title) || derived.search_field('from:', sender)
        || derived.search_field('to:', recipients) || derived.search_field('in:', place)
        || derived.search_field('filename:', files)
        || coalesce((SELECT array_agg('label:' || left(derived.search_fold(label), 200)) FROM unnest(labels) AS label), '{}')
        || flags) $$`,

  // The words of people, channels and files in a vector.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_names(vector tsvector) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT word FROM (SELECT substr(lexeme, strpos(lexeme, ':') + 1) AS word FROM unnest(tsvector_to_array(vector)) AS lexeme
      WHERE lexeme ~ '^(from|to|in|filename):') AS words WHERE length(word) BETWEEN 3 AND 40 AND word !~ '[@.]' $$`,

  String.raw`CREATE OR REPLACE FUNCTION derived.search_learn(connections uuid[], ids text[]) RETURNS void LANGUAGE sql AS $$
    INSERT INTO derived.search_name
    SELECT DISTINCT derived.search_names(search.vector)
    FROM unnest(connections, ids) AS given(connection_id, external_id) JOIN derived.search USING (connection_id, external_id)
    ON CONFLICT DO NOTHING $$`,

  // ---- queries ----------------------------------------------------------------------------------------------------

  String.raw`CREATE OR REPLACE FUNCTION derived.search_term(lexeme text, prefix boolean) RETURNS tsquery LANGUAGE sql IMMUTABLE AS $$
    SELECT ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''' || CASE WHEN prefix THEN ':*' ELSE '' END)::tsquery $$`,

  // A value of a field: every word of it, as a beginning of a word in the field.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_value(field text, given text, prefix boolean) RETURNS tsquery
    LANGUAGE plpgsql STABLE AS $$
DECLARE
  token text;
  word text;
  words tsquery;
  result tsquery;
BEGIN
  FOREACH token IN ARRAY regexp_split_to_array(derived.search_fold(given), '[\s<>"(),;]+') LOOP
    token := left(regexp_replace(token, '^[@#]+', ''), 100);
    CONTINUE WHEN token = '';
    words := NULL;
    FOREACH word IN ARRAY regexp_split_to_array(token, '${punctuation}') LOOP
      CONTINUE WHEN word = '';
      words := CASE WHEN words IS NULL THEN derived.search_term(field || word, prefix)
        ELSE words && derived.search_term(field || word, prefix) END;
    END LOOP;
    words := CASE WHEN words IS NULL THEN derived.search_term(field || token, prefix)
      WHEN words = derived.search_term(field || token, prefix) THEN words
      ELSE words || derived.search_term(field || token, prefix) END;
    result := CASE WHEN result IS NULL THEN words ELSE result && words END;
  END LOOP;
  RETURN result;
END $$`,

  String.raw`CREATE OR REPLACE FUNCTION derived.search_day(field text, given text) RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (replace(given, '/', '-') || CASE WHEN given ~ '[T ]' THEN '' ELSE 'T00:00:00Z' END)::timestamptz;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_text_representation THEN
  RAISE EXCEPTION '%: is followed by a date like 2026-01-31', field USING ERRCODE = 'IDM01';
END $$`,

  // Names that a misspelt word is close to.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_similar(word text) RETURNS text[] LANGUAGE ${
    pgTrgm === undefined
      ? "sql IMMUTABLE AS $$ SELECT '{}'::text[] $$"
      : String.raw`sql STABLE SET pg_trgm.similarity_threshold = 0.35 AS $$
    SELECT coalesce(array_agg(name), '{}') FROM (
      SELECT name FROM derived.search_name WHERE name OPERATOR(${identifier(pgTrgm)}.%) word
      ORDER BY ${identifier(pgTrgm)}.similarity(name, word) DESC, name LIMIT 5) AS near $$`
  }`,

  // A word or phrase without a field matches the text, or the beginning of a name; fuzzy adds names that are close to
  // it.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_bare(configurations regconfig[], given text, fuzzy boolean, exact boolean)
    RETURNS tsquery LANGUAGE plpgsql STABLE AS $$
DECLARE
  configuration regconfig;
  found tsquery;
  near text;
  result tsquery;
BEGIN
  FOREACH configuration IN ARRAY configurations LOOP
    found := phraseto_tsquery(configuration, derived.search_spaced(given));
    CONTINUE WHEN numnode(found) = 0;
    result := CASE WHEN result IS NULL OR result = found THEN found ELSE result || found END;
  END LOOP;
  IF exact OR result IS NULL OR given ~ '\s' OR length(given) < 3 THEN RETURN result; END IF;
  result := result || coalesce(derived.search_value('from:', given, true), result)
    || coalesce(derived.search_value('filename:', given, true), result);
  IF fuzzy THEN
    FOREACH near IN ARRAY derived.search_similar(derived.search_fold(given)) LOOP
      result := result || derived.search_term('from:' || near, false) || derived.search_term('to:' || near, false)
        || derived.search_term('in:' || near, false) || derived.search_term('filename:' || near, false);
    END LOOP;
  END IF;
  RETURN result;
END $$`,

  // Words are all needed; OR stands between two alternatives and binds closer; - excludes. wanted is what is looked
  // for, titled the same with all bare words in the title, marked what snippets mark and what the rank counts.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_parse(
    query text, configurations regconfig[], fuzzy boolean,
    OUT wanted tsquery, OUT titled tsquery, OUT marked tsquery, OUT since timestamptz, OUT until timestamptz,
    OUT deleted boolean
  ) LANGUAGE plpgsql STABLE AS $$
DECLARE
  item text[];
  field text;
  value text;
  term tsquery;
  title tsquery;
  near text;
  negative boolean;
  joined boolean := false;
  alternative tsquery;
  alternative_title tsquery;
BEGIN
  deleted := false;
  FOR item IN SELECT regexp_matches(left(query, 2000), '(-)?(?:([a-zA-Z]+):)?(?:"([^"]*)"?|([^\s"]+))', 'g') LOOP
    negative := item[1] IS NOT NULL;
    field := lower(item[2]);
    value := coalesce(item[3], item[4]);
    IF item[4] = 'OR' AND field IS NULL AND NOT negative THEN
      joined := alternative IS NOT NULL;
      CONTINUE;
    END IF;
    IF field IN ('before', 'after') AND negative THEN
      RAISE EXCEPTION '-%: cannot be excluded: use before: and after: without the minus', field USING ERRCODE = 'IDM01';
    ELSIF field = 'before' THEN
      until := least(until, derived.search_day(field, value));
      CONTINUE;
    ELSIF field = 'after' THEN
      since := greatest(since, derived.search_day(field, value));
      CONTINUE;
    ELSIF field = 'is' AND lower(value) = 'deleted' THEN
      deleted := NOT negative;
      CONTINUE;
    END IF;
    title := NULL;
    CASE
      WHEN field IN ('from', 'filename', 'subject') THEN
        term := derived.search_value(field || ':', value, true);
      WHEN field IN ('to', 'cc', 'bcc') THEN
        term := derived.search_value('to:', value, true);
      WHEN field = 'in' THEN
        term := derived.search_value('in:', value, true);
        term := term || derived.search_term('label:' || derived.search_fold(value), false);
      WHEN field IN ('label', 'is') THEN
        term := derived.search_term('label:' || left(derived.search_fold(value), 200), false);
      WHEN field IN ('has', 'kind') THEN
        term := derived.search_term(field || ':' || regexp_replace(lower(value), '^attachments$', 'attachment'), false);
      ELSE
        value := CASE WHEN field IS NULL THEN value ELSE field || ':' || value END;
        term := derived.search_bare(configurations, value, fuzzy, negative OR item[3] IS NOT NULL);
        IF NOT negative AND term IS NOT NULL THEN
          title := derived.search_value('subject:', value, false);
          marked := CASE WHEN marked IS NULL THEN term ELSE marked || term END;
        END IF;
    END CASE;
    IF fuzzy AND field IN ('from', 'to', 'in', 'filename') AND NOT negative THEN
      FOREACH near IN ARRAY derived.search_similar(derived.search_fold(value)) LOOP
        term := term || derived.search_term(field || ':' || near, false);
      END LOOP;
    END IF;
    IF term IS NULL OR numnode(term) = 0 THEN CONTINUE; END IF;
    IF negative THEN term := !! term; END IF;
    IF joined THEN
      alternative := alternative || term;
      alternative_title := alternative_title || coalesce(title, term);
    ELSE
      wanted := coalesce(wanted && alternative, alternative, wanted);
      titled := coalesce(titled && alternative_title, alternative_title, titled);
      alternative := term;
      alternative_title := coalesce(title, term);
    END IF;
    joined := false;
  END LOOP;
  wanted := coalesce(wanted && alternative, alternative, wanted);
  titled := coalesce(titled && alternative_title, alternative_title, titled);
  IF marked IS NULL THEN titled := NULL; END IF;
END $$`,

  // Sets the language of a connection's words. If it had another, its contents are indexed again.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_use(connection_name text, language text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  of_connection uuid;
BEGIN
  SELECT id INTO of_connection FROM ${schema}.connection WHERE name = connection_name;
  IF of_connection IS NULL THEN
    RAISE EXCEPTION 'there is no connection "%"', connection_name USING ERRCODE = 'IDM01';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config WHERE cfgname = language AND cfgnamespace = 'pg_catalog'::regnamespace) THEN
    RAISE EXCEPTION 'there is no language "%": there are %', language, (SELECT string_agg(cfgname, ', ' ORDER BY cfgname)
      FROM pg_ts_config WHERE cfgnamespace = 'pg_catalog'::regnamespace) USING ERRCODE = 'IDM01';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config WHERE cfgname = 'idem_' || language AND cfgnamespace = 'derived'::regnamespace) THEN
    EXECUTE format('CREATE TEXT SEARCH CONFIGURATION derived.%I (COPY = pg_catalog.%I)', 'idem_' || language, language);
    EXECUTE format('ALTER TEXT SEARCH CONFIGURATION derived.%I ALTER MAPPING FOR word, hword, hword_part WITH ${
      unaccent === undefined ? "" : `${identifier(unaccent)}.unaccent, `
    }pg_catalog.%I', 'idem_' || language, language || '_stem');
  END IF;
  INSERT INTO derived.search_language AS used VALUES (of_connection, language)
    ON CONFLICT (connection_id) DO UPDATE SET language = excluded.language WHERE used.language <> excluded.language;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO derived.pending (connection_id, external_id)
    SELECT connection_id, external_id FROM derived.content WHERE connection_id = of_connection
    ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT;
END $$`
]
