/** Names the column of redelivered messages as the code does. */
import { statements } from "./Statements.ts"

export const redelivery = statements(["ALTER TABLE webhook_message RENAME COLUMN again TO redelivered"])
