/** Adds when the source of a connection was last asked for news and answered, and what could not be listed. */
import { statements } from "./Statements.ts"

export const checks = statements([
  `ALTER TABLE connection ADD COLUMN last_checked_at timestamptz,
    ADD COLUMN problems jsonb NOT NULL DEFAULT '{"current": [], "found": []}'`
])
