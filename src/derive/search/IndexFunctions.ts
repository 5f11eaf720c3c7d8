/**
 * The functions of the search index in the database: text search configurations, the vector of a content, and the
 * language of a connection. `QueryParser.ts` has the functions that parse a query, `Candidates.ts` those that find
 * contents, and `Ranking.ts` those that rank them. They are in the database so that `mirror.search` gives the same
 * results everywhere: in the API, the command line, the dashboard, and database clients.
 */
import * as Characters from "./Characters.ts"

/** The schemas of the installed extensions. */
export interface Extensions {
  readonly unaccent: string | undefined
  readonly pgTrgm: string | undefined
}

/** Quotes a name in SQL. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * Drops the functions of earlier versions, because the present ones may have other parameters. Keeps the trigger's
 * function, and `mirror.search`, which people's views may use: it is replaced, and never gets other parameters or
 * columns.
 */
export const dropFunctions = `DO $$
DECLARE
  found regprocedure;
BEGIN
  FOR found IN SELECT oid FROM pg_proc WHERE pronamespace = 'derived'::regnamespace
    AND starts_with(proname, 'search_') AND proname <> 'search_unlearn' LOOP
    EXECUTE 'DROP FUNCTION ' || found;
  END LOOP;
END $$`

/** Returns the functions in the order of their dependencies. `schema` is the schema of Idem's own tables. */
export const functions = ({ unaccent }: Extensions, schema: string): ReadonlyArray<string> => {
  const arabic = Characters.arabicForms
  const ignored = Characters.ignored()
  const removed = unaccent === undefined ? "" : `${identifier(unaccent)}.unaccent, `
  return [
    // Normalizes a text: one character for each letter, without characters that do not distinguish words.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_clean(given text)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN given ~ '[${ignored}${Characters.combining}${arabic.from}]'
      THEN translate(regexp_replace(normalize(given, NFC), '[${ignored}]', '', 'g'), '${arabic.from}', '${arabic.to}')
      ELSE given END $$`,

    // Separates the words of a text by spaces.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_separated(given text)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT regexp_replace(derived.search_clean(given), '[${Characters.separators()}]+', ' ', 'g') $$`,

    // Separates words for PostgreSQL's parser, which also needs spaces in scripts without them.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_spaced(given text)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN words ~ '[${Characters.unspaced}]'
      THEN regexp_replace(words, '([${Characters.unspaced}])', ' \1 ', 'g') ELSE words END
    FROM derived.search_separated(given) AS words $$`,

    String.raw`CREATE OR REPLACE FUNCTION derived.search_fold(given text)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT lower(${unaccent === undefined ? "" : `${identifier(unaccent)}.unaccent`}(derived.search_clean(given))) $$`,

    // The words of a name, folded.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_words(given text)
    RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT left(word, 100)), '{}')
    FROM string_to_table(derived.search_fold(derived.search_separated(given)), ' ') AS word WHERE word <> '' $$`,

    String.raw`CREATE OR REPLACE FUNCTION derived.search_field(field text, given text)
    RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(field || word), '{}') FROM unnest(derived.search_words(given)) AS word $$`,

    // Returns the lexeme of a label or a kind. IMAP flags begin with a backslash.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_flag(field text, given text)
    RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT field || left(ltrim(derived.search_fold(given), '\'), 200) $$`,

    // The lexeme of a month, by which the index of words finds the contents of a month.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_month(at timestamptz)
    RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 'month:' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM') $$`,

    // A vector has at most 1 MB: of longer texts and lists of people, half is indexed, or half of that.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_vector(
    configuration regconfig, title text, sender text, recipients text, place text, files text, labels text[], kind text,
    has_attachment boolean, occurred_at timestamptz, body text
  ) RETURNS tsvector LANGUAGE plpgsql STABLE AS $$
DECLARE
  most integer := greatest(length(sender), length(recipients), length(body), 0);
BEGIN
  LOOP
    BEGIN
      RETURN setweight(to_tsvector(configuration, derived.search_spaced(coalesce(title, ''))), 'A')
        || setweight(to_tsvector(configuration, derived.search_spaced(
          concat_ws(' ', left(sender, most), left(recipients, most), place, files))), 'B')
        || to_tsvector(configuration, derived.search_spaced(coalesce(left(body, most), '')))
        || array_to_tsvector(derived.search_field('subject:', title)
          || derived.search_field('from:', left(sender, most))
          || derived.search_field('to:', left(recipients, most)) || derived.search_field('in:', place)
          || derived.search_field('filename:', files)
          || ARRAY(SELECT derived.search_flag('label:', label) FROM unnest(labels) AS label WHERE label IS NOT NULL)
          || CASE WHEN kind IS NULL THEN '{}' ELSE ARRAY[derived.search_flag('kind:', kind)] END
          || CASE WHEN has_attachment THEN ARRAY['has:attachment'] ELSE '{}' END
          || CASE WHEN isfinite(occurred_at) THEN ARRAY[derived.search_month(occurred_at)] ELSE '{}' END);
    EXCEPTION WHEN program_limit_exceeded THEN
      IF most = 0 THEN RAISE; END IF;
      most := most / 2;
    END;
  END LOOP;
END $$`,

    // Returns the words of people, channels and files in a vector.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_names(vector tsvector)
    RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT word FROM (SELECT substr(lexeme, strpos(lexeme, ':') + 1) AS word
      FROM unnest(tsvector_to_array(vector)) AS lexeme WHERE lexeme ~ '^(from|to|in|filename):') AS words
      WHERE length(word) BETWEEN 3 AND 40 $$`,

    String.raw`CREATE OR REPLACE FUNCTION derived.search_learn(connections uuid[], ids text[])
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO derived.search_name
    SELECT DISTINCT derived.search_names(search.vector)
    FROM unnest(connections, ids) AS given(connection_id, external_id)
      JOIN derived.search USING (connection_id, external_id)
    ON CONFLICT DO NOTHING $$`,

    // Creates the text search configuration of a language: PostgreSQL's own, after removing accents.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_configure(language text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('DROP TEXT SEARCH CONFIGURATION IF EXISTS derived.%I', 'idem_' || language);
  EXECUTE format('CREATE TEXT SEARCH CONFIGURATION derived.%I (COPY = pg_catalog.%I)', 'idem_' || language, language);
  EXECUTE format('ALTER TEXT SEARCH CONFIGURATION derived.%I ALTER MAPPING FOR word WITH ${removed}pg_catalog.%I',
    'idem_' || language, CASE language WHEN 'simple' THEN language ELSE language || '_stem' END);
  EXECUTE format(
    'ALTER TEXT SEARCH CONFIGURATION derived.%I ALTER MAPPING FOR numword WITH ${removed}pg_catalog.simple',
    'idem_' || language);
END $$`,

    // Sets the language of a connection. If it had another one, its contents are indexed again.
    String.raw`CREATE OR REPLACE FUNCTION derived.search_use(connection_name text, language text)
    RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  of_connection uuid;
BEGIN
  SELECT id INTO of_connection FROM ${schema}.connection WHERE name = connection_name;
  IF of_connection IS NULL THEN
    RAISE EXCEPTION 'there is no connection "%"', connection_name USING ERRCODE = 'IDM01';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config WHERE cfgname = language AND cfgnamespace = 'pg_catalog'::regnamespace) THEN
    RAISE EXCEPTION 'there is no language "%": there are %', language, (
      SELECT string_agg(cfgname, ', ' ORDER BY cfgname) FROM pg_ts_config
      WHERE cfgnamespace = 'pg_catalog'::regnamespace) USING ERRCODE = 'IDM01';
  END IF;
  IF NOT EXISTS (SELECT 1 FROM pg_ts_config
    WHERE cfgname = 'idem_' || language AND cfgnamespace = 'derived'::regnamespace) THEN
    PERFORM derived.search_configure(language);
  END IF;
  INSERT INTO derived.search_language AS used VALUES (of_connection, language)
    ON CONFLICT (connection_id) DO UPDATE SET language = excluded.language WHERE used.language <> excluded.language;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO derived.pending (connection_id, external_id)
    SELECT connection_id, external_id FROM derived.content WHERE connection_id = of_connection
    ON CONFLICT (connection_id, external_id) DO UPDATE SET position = DEFAULT;
END $$`
  ]
}
