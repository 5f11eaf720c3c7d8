/**
 * The functions of the search index in the database: text search configurations, the vector of a content, and the
 * language of a connection. `QueryParser.ts` has the functions that read a query, `Ranking.ts` those that find and
 * rank. They are in the database so that `mirror.search` gives everyone the same results: the API, the command line,
 * the page, and people with a database client.
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
export const punctuation = String.raw`[\s!-/:-@\[-_{-~\u0060\u2000-\u206F\u3000-\u303F]+`

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

/** In the order in which they depend on each other. `schema` is the one of Idem's own tables. */
export const functions = ({ unaccent }: Extensions, schema: string): ReadonlyArray<string> => [
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
