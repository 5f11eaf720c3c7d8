/** When the source of a connection was last asked what is new, and answered; and what could not be listed of it. */
import { statements } from "./Statements.ts"

export const checks = statements([
  `ALTER TABLE connection ADD COLUMN last_checked_at timestamptz,
    ADD COLUMN problems jsonb NOT NULL DEFAULT '{"current": [], "found": []}'`
])
