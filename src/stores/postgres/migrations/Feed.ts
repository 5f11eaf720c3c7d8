/** Adds the columns and indexes of the feed and of lists of content by time. */
import { statements } from "./Statements.ts"

// The history of older content is lost: a reader is told that it was stored, or deleted.
export const feed = statements([
  `ALTER TABLE content ADD COLUMN change text CHECK (change IN ('stored', 'updated', 'deleted', 'undeleted'))`,
  `UPDATE content SET change = CASE WHEN state = 'stored' THEN 'stored' ELSE 'deleted' END WHERE changed_xid IS NOT NULL`,
  `ALTER TABLE content ADD CONSTRAINT content_change CHECK ((change IS NULL) = (changed_xid IS NULL))`,
  `CREATE INDEX content_changed ON content (changed_xid, connection_id, external_id) WHERE changed_xid IS NOT NULL`,
  // Both in one direction, so that a page is one range of the index, read backwards.
  `CREATE INDEX content_time ON content (connection_id, coalesce(occurred_at, '-infinity'), external_id)
    WHERE state = 'stored'`,
  // `home` is where the epoch was begun (see FeedEpoch.ts). A number alone would be given twice to a database that is
  // restored twice.
  `ALTER TABLE meta ADD COLUMN home text, ADD COLUMN epoch_id uuid NOT NULL DEFAULT gen_random_uuid()`
])
