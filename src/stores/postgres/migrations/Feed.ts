/** What a reader of the changes needs, and lists of content by time. */
import { statements } from "./Statements.ts"

// Content that was there before has lost how it came to be as it is: a reader is told that it was stored, or deleted.
export const feed = statements([
  `ALTER TABLE content ADD COLUMN change text CHECK (change IN ('stored', 'updated', 'deleted', 'undeleted'))`,
  `UPDATE content SET change = CASE state WHEN 'deleted' THEN 'deleted' ELSE 'stored' END WHERE changed_xid IS NOT NULL`,
  `CREATE INDEX content_changed ON content (changed_xid, connection_id, external_id) WHERE changed_xid IS NOT NULL`,
  `CREATE INDEX content_time ON content (connection_id, occurred_at DESC NULLS LAST, external_id) WHERE state = 'stored'`,
  // Where the epoch was begun: another cluster, database or timeline is another epoch.
  `ALTER TABLE meta ADD COLUMN home text`
])
