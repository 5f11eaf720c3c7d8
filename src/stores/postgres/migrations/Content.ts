/** Migrations of contents: the feed, scope and staged deletions, and the keys of bodies. */
import { statements } from "./Statements.ts"

/**
 * Adds the columns and indexes of the feed and of lists of content by time. Changes of older content are unknown:
 * readers are told that it was stored, or deleted.
 */
export const feed = statements([
  `ALTER TABLE content ADD COLUMN change text CHECK (change IN ('stored', 'updated', 'deleted', 'undeleted'))`,
  `UPDATE content SET change = CASE WHEN state = 'stored' THEN 'stored' ELSE 'deleted' END WHERE changed_xid IS NOT NULL`,
  `ALTER TABLE content ADD CONSTRAINT content_change CHECK ((change IS NULL) = (changed_xid IS NULL))`,
  `CREATE INDEX content_changed ON content (changed_xid, connection_id, external_id) WHERE changed_xid IS NOT NULL`,
  // Both columns in one direction, so that a page is one range of the index, read backwards.
  `CREATE INDEX content_time ON content (connection_id, coalesce(occurred_at, '-infinity'), external_id)
    WHERE state = 'stored'`,
  // `home` describes where the epoch began (see FeedEpoch.ts). A number alone would be used twice if a database is
  // restored twice.
  `ALTER TABLE meta ADD COLUMN home text, ADD COLUMN epoch_id uuid NOT NULL DEFAULT gen_random_uuid()`
])

/**
 * Adds the scope in which content was last seen, and the start of the pass or reading that found a deletion. Content is
 * in scope if its `scope_epoch` is its connection's, so a change of scope is one update, however much is stored. A
 * listing that began after a change of scope (`deletes` is false) becomes one of the next epoch.
 */
export const deletions = statements([
  `ALTER TABLE connection ADD COLUMN scope_epoch integer NOT NULL DEFAULT 0, ADD COLUMN reading_since timestamptz`,
  `ALTER TABLE content ADD COLUMN scope_epoch integer NOT NULL DEFAULT 0`,
  `UPDATE content SET scope_epoch = -1 WHERE NOT in_scope`,
  `UPDATE connection SET scope_epoch = 1 FROM listing WHERE connection_id = id AND NOT deletes`,
  `UPDATE content SET scope_epoch = 1 FROM listing JOIN seen USING (connection_id)
    WHERE NOT listing.deletes AND content.connection_id = seen.connection_id AND content.external_id = seen.external_id`,
  `ALTER TABLE content DROP COLUMN in_scope`,
  `ALTER TABLE listing DROP COLUMN deletes`,
  // An absence that is already staged was found by a pass that had covered everything.
  `ALTER TABLE staged_deletion ADD COLUMN of_pass boolean NOT NULL DEFAULT false,
    ADD COLUMN ready boolean NOT NULL DEFAULT false,
    ADD COLUMN since timestamptz`,
  `UPDATE staged_deletion SET of_pass = cause = 'absence', ready = held OR cause = 'absence', since = staged_at`,
  `ALTER TABLE staged_deletion ALTER COLUMN since SET NOT NULL, ALTER COLUMN of_pass DROP DEFAULT,
    ALTER COLUMN ready DROP DEFAULT`
])

/** Adds the keys by which copies of a content are found: a message that moved is not downloaded again. */
export const bodyKeys = statements([
  "ALTER TABLE content ADD COLUMN body_key text",
  "CREATE INDEX content_body_key ON content (connection_id, body_key) WHERE body_key IS NOT NULL"
])

/**
 * Adds the transactions in which content became stored and last became undeleted, for content with a later change. So a
 * reader of these kinds alone also gets content that was updated before the reader came.
 */
export const became = statements(["ALTER TABLE content ADD COLUMN stored_xid xid8, ADD COLUMN undeleted_xid xid8"])
