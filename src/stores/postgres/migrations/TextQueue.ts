/**
 * The queue of texts to extract: `next_attempt` is null where nothing is to be done, and later than now where an
 * attempt failed. `attempts` counts those that failed.
 */
import { statements } from "./Statements.ts"

export const textQueue = statements([
  "ALTER TABLE derived.text ADD COLUMN next_attempt timestamptz, ADD COLUMN attempts integer",
  "UPDATE derived.text SET next_attempt = '-infinity' WHERE version IS NULL AND part = -1",
  `CREATE INDEX text_queue ON derived.text (next_attempt, connection_id, external_id)
    WHERE next_attempt IS NOT NULL`
])
