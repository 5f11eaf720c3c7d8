/** Adds the purpose of a run, and the source's estimate for the progress of a first sync. */
import { statements } from "./Statements.ts"

export const progress = statements([
  "ALTER TABLE run ADD COLUMN kind text",
  "ALTER TABLE connection ADD COLUMN estimate jsonb"
])
