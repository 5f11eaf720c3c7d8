/** Connections that another connection made: one for each account that it lists. */
import { statements } from "./Statements.ts"

// `member_id` is the external id of the account in the connection that made this one.
export const members = statements([
  'ALTER TABLE connection ADD COLUMN member_of uuid, ADD COLUMN member_id text COLLATE "C"',
  "CREATE UNIQUE INDEX connection_member ON connection (member_of, member_id) WHERE member_of IS NOT NULL"
])
