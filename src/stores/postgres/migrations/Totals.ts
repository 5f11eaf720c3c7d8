/** The totals of each connection, and indexes for queries by time on large tables of contents. */
import { statements } from "./Statements.ts"

// Each commit updates a row of `totals`: its page has room for the next version.
export const totals = statements([
  `CREATE TABLE totals (
    connection_id uuid PRIMARY KEY,
    stored bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    dead bigint NOT NULL DEFAULT 0,
    deferred bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    deletions_held bigint NOT NULL DEFAULT 0
  ) WITH (fillfactor = 50)`,
  `INSERT INTO totals
    SELECT connection_id, count(*) FILTER (WHERE state = 'stored'), count(*) FILTER (WHERE pending = 'failed'),
      count(*) FILTER (WHERE pending = 'dead'), count(*) FILTER (WHERE pending = 'deferred'),
      count(*) FILTER (WHERE state = 'deleted'), coalesce(sum(size) FILTER (WHERE state = 'stored'), 0), 0
    FROM content WHERE connection_id IN (SELECT id FROM connection) GROUP BY connection_id`,
  `INSERT INTO totals (connection_id, deletions_held)
    SELECT connection_id, count(*) FROM staged_deletion WHERE held GROUP BY connection_id
    ON CONFLICT (connection_id) DO UPDATE SET deletions_held = excluded.deletions_held`,
  // A purge looks for content that is no longer stored and still has its body, and for ids that were never stored.
  `CREATE INDEX content_purge ON content (connection_id, updated_at)
    WHERE state <> 'stored' AND (body_hash IS NOT NULL OR state = 'gone')`,
  // Lists of deleted and gone contents by time, as \`content_time\` is for stored ones.
  `CREATE INDEX content_past_time ON content (connection_id, state, coalesce(occurred_at, '-infinity'), external_id)
    WHERE state IN ('gone', 'deleted')`,
  "CREATE INDEX staged_deletion_waiting ON staged_deletion (connection_id) WHERE NOT held"
])

/** A purge goes on after the last content of the step before, among any number that were deleted at once. */
export const purgeSteps = statements([
  "DROP INDEX content_purge",
  `CREATE INDEX content_purge ON content (connection_id, updated_at, external_id)
    WHERE state <> 'stored' AND (body_hash IS NOT NULL OR state = 'gone')`
])
