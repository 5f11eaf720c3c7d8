/** The keys by which copies of a content are found: a message that moved is not downloaded again. */
import { statements } from "./Statements.ts"

export const bodyKeys = statements([
  "ALTER TABLE content ADD COLUMN body_key text",
  "CREATE INDEX content_body_key ON content (connection_id, body_key) WHERE body_key IS NOT NULL"
])
