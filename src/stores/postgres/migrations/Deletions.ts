/** The scope that content was last seen in, and the times of the pass or the reading that found a deletion. */
import { statements } from "./Statements.ts"

// Content is in scope if its `scope_epoch` is its connection's: a change of scope is one update, however much is
// stored. A listing that was begun after a change of scope (`deletes` is false) becomes one of the epoch after it.
export const deletions = statements([
  `ALTER TABLE connection ADD COLUMN scope_epoch integer NOT NULL DEFAULT 0, ADD COLUMN reading_since timestamptz`,
  `ALTER TABLE content ADD COLUMN scope_epoch integer NOT NULL DEFAULT 0`,
  `UPDATE content SET scope_epoch = -1 WHERE NOT in_scope`,
  `UPDATE connection SET scope_epoch = 1 FROM listing WHERE connection_id = id AND NOT deletes`,
  `UPDATE content SET scope_epoch = 1 FROM listing JOIN seen USING (connection_id)
    WHERE NOT listing.deletes AND content.connection_id = seen.connection_id AND content.external_id = seen.external_id`,
  `ALTER TABLE content DROP COLUMN in_scope`,
  `ALTER TABLE listing DROP COLUMN deletes`,
  // An absence that is staged already was found by a pass that had covered all.
  `ALTER TABLE staged_deletion ADD COLUMN of_pass boolean NOT NULL DEFAULT false,
    ADD COLUMN ready boolean NOT NULL DEFAULT false,
    ADD COLUMN since timestamptz`,
  `UPDATE staged_deletion SET of_pass = cause = 'absence', ready = held OR cause = 'absence', since = staged_at`,
  `ALTER TABLE staged_deletion ALTER COLUMN since SET NOT NULL, ALTER COLUMN of_pass DROP DEFAULT,
    ALTER COLUMN ready DROP DEFAULT`
])
