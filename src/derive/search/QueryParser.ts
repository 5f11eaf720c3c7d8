/**
 * The parser of search queries, as functions in the database: `derived.search_parse` turns a query like
 * `from:ann "annual report" -draft` into a `tsquery` and its bounds.
 */
import { type Extensions, identifier } from "./IndexFunctions.ts"

/** The words that may follow `is:` besides `deleted`: the usual labels and flags of email. */
const marks = [
  "unread",
  "seen",
  "starred",
  "flagged",
  "important",
  "answered",
  "sent",
  "draft",
  "inbox",
  "spam",
  "trash"
]

/** Returns the functions in the order of their dependencies. They call functions of `IndexFunctions.ts`. */
export const functions = ({ pgTrgm }: Extensions): ReadonlyArray<string> => [
  String.raw`CREATE OR REPLACE FUNCTION derived.search_term(lexeme text, prefix boolean)
    RETURNS tsquery LANGUAGE sql IMMUTABLE AS $$
    SELECT ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''
      || CASE WHEN prefix THEN ':*' ELSE '' END)::tsquery $$`,

  // Combines two conditions, either of which may be null.
  `CREATE OR REPLACE FUNCTION derived.search_both(one tsquery, other tsquery)
    RETURNS tsquery LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(one && other, one, other) $$`,

  // Matches the value of a field: each of its words, as a word in the field or as the beginning of one. Words after a
  // dot or an @ must match whole: the beginning com of an address or pdf of a file name would match nearly everything.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_value(field text, given text, prefix boolean) RETURNS tsquery
    LANGUAGE plpgsql STABLE AS $$
DECLARE
  beginnings CONSTANT text[] := CASE WHEN prefix
    THEN derived.search_words(regexp_replace(given, '[.@]\S.*$', '')) ELSE '{}' END;
  word text;
  result tsquery;
BEGIN
  FOREACH word IN ARRAY derived.search_words(given) LOOP
    result := derived.search_both(result, derived.search_term(field || word, word = ANY (beginnings)));
  END LOOP;
  RETURN result;
END $$`,

  String.raw`CREATE OR REPLACE FUNCTION derived.search_day(field text, given text)
    RETURNS timestamptz LANGUAGE plpgsql STABLE AS $$
BEGIN
  RETURN (replace(given, '/', '-') || CASE WHEN given ~ '[T ]' THEN '' ELSE 'T00:00:00Z' END)::timestamptz;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_text_representation THEN
  RAISE EXCEPTION '%: is followed by a date like 2026-01-31', field USING ERRCODE = 'IDM01';
END $$`,

  // Returns names that resemble a misspelt word.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_similar(word text) RETURNS text[] LANGUAGE ${
    pgTrgm === undefined
      ? "sql IMMUTABLE AS $$ SELECT '{}'::text[] $$"
      : String.raw`sql STABLE SET pg_trgm.similarity_threshold = 0.35 AS $$
    SELECT coalesce(array_agg(name), '{}') FROM (
      SELECT name FROM derived.search_name WHERE name OPERATOR(${identifier(pgTrgm)}.%) word
      ORDER BY ${identifier(pgTrgm)}.similarity(name, word) DESC, name LIMIT 5) AS near $$`
  }`,

  // Matches a word or phrase without a field: in the text, or as the beginning of a name; fuzzy adds names that
  // resemble it. A word with an asterisk matches the beginning of words. So does a word in Hangul, because Korean
  // appends particles to words.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_bare(
    configurations regconfig[], given text, fuzzy boolean, exact boolean
  ) RETURNS tsquery LANGUAGE plpgsql STABLE AS $$
DECLARE
  configuration regconfig;
  found tsquery;
  near text;
  result tsquery;
BEGIN
  FOREACH configuration IN ARRAY configurations LOOP
    found := phraseto_tsquery(configuration, derived.search_spaced(given));
    CONTINUE WHEN numnode(found) = 0;
    IF NOT exact AND given ~ '([^ *]{3}\*|[\uAC00-\uD7A3])$' THEN
      found := regexp_replace(found::text, '''$', ''':*');
    END IF;
    result := CASE WHEN result IS NULL OR result = found THEN found ELSE result || found END;
  END LOOP;
  IF exact OR result IS NULL OR length(given) < 3 THEN RETURN result; END IF;
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

  // Parses a query. All words are required; OR separates two alternatives and binds more tightly; - excludes. Returns
  // wanted, the condition to search for; titled, the same with all bare words in the title; and marked, the words for
  // snippets and the rank.
  String.raw`CREATE OR REPLACE FUNCTION derived.search_parse(
    query text, configurations regconfig[], fuzzy boolean,
    OUT wanted tsquery, OUT titled tsquery, OUT marked tsquery, OUT since timestamptz, OUT until timestamptz,
    OUT deleted boolean
  ) LANGUAGE plpgsql STABLE AS $$
DECLARE
  item text[];
  field text;
  value text;
  beginning text;
  term tsquery;
  title tsquery;
  near text;
  negative boolean;
  joined boolean := false;
  without_words boolean := false;
  alternative tsquery;
  alternative_title tsquery;
BEGIN
  deleted := false;
  -- Normalizes Unicode spaces, and the typographic quotes of telephones and word processors.
  query := translate(regexp_replace(left(query, 2000),
    '[\t-\r\u0085\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000]', ' ', 'g'), '“”„‟«»', '""""""');
  FOR item IN SELECT regexp_matches(query, '(-)?(?:([a-zA-Z]+):)?(?:"([^"]*)"?|([^ "]+))', 'g') LOOP
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
    ELSIF field = 'is' AND lower(value) NOT IN (${marks.map((mark) => `'${mark}'`).join(", ")}) THEN
      RAISE EXCEPTION 'is: is followed by deleted, ${marks.join(", ")}; of another label, use label:'
        USING ERRCODE = 'IDM01';
    ELSIF field = 'has' AND lower(value) NOT IN ('attachment', 'attachments') THEN
      RAISE EXCEPTION 'has: is followed by attachment' USING ERRCODE = 'IDM01';
    END IF;
    title := NULL;
    -- In a fuzzy search, words after a dot or an @ match as beginnings too, because whole words found nothing.
    beginning := CASE WHEN fuzzy THEN translate(value, '.@', '  ') ELSE value END;
    CASE
      WHEN field IN ('from', 'filename', 'subject') THEN
        term := derived.search_value(field || ':', beginning, true);
      WHEN field IN ('to', 'cc', 'bcc') THEN
        term := derived.search_value('to:', beginning, true);
      WHEN field = 'in' THEN
        term := derived.search_value('in:', beginning, true);
        term := coalesce(term || derived.search_term(derived.search_flag('label:', value), false), term);
      WHEN field IN ('label', 'is') THEN
        term := derived.search_term(derived.search_flag('label:', value), false);
      WHEN field = 'kind' THEN
        term := derived.search_term(derived.search_flag('kind:', value), false);
      WHEN field = 'has' THEN
        term := derived.search_term('has:attachment', false);
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
    IF term IS NULL OR numnode(term) = 0 THEN
      without_words := without_words OR NOT negative;
      CONTINUE;
    END IF;
    IF negative THEN term := !! term; END IF;
    IF joined THEN
      alternative := alternative || term;
      alternative_title := alternative_title || coalesce(title, term);
    ELSE
      wanted := derived.search_both(wanted, alternative);
      titled := derived.search_both(titled, alternative_title);
      alternative := term;
      alternative_title := coalesce(title, term);
    END IF;
    joined := false;
  END LOOP;
  wanted := derived.search_both(wanted, alternative);
  titled := derived.search_both(titled, alternative_title);
  -- A query without words, like a lone emoji, finds nothing instead of everything.
  IF wanted IS NULL AND without_words THEN wanted := derived.search_term('nothing:', false); END IF;
  IF marked IS NULL THEN titled := NULL; END IF;
END $$`
]
