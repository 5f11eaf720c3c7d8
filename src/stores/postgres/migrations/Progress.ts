/** What a run was for, and how much the source said that there is, for the progress of a first sync. */
import { statements } from "./Statements.ts"

export const progress = statements([
  "ALTER TABLE run ADD COLUMN kind text",
  "ALTER TABLE connection ADD COLUMN estimate jsonb"
])
