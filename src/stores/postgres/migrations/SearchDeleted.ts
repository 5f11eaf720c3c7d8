/** The deleted contents by time: a search for a few among many that are stored would look at all of these. */
import { statements } from "./Statements.ts"

export const searchDeleted = statements([
  "CREATE INDEX search_deleted ON derived.search (occurred_at, connection_id, external_id) WHERE deleted"
])
