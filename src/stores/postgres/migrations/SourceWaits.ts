/** Until when a connection's source asked to be left alone. */
import { statements } from "./Statements.ts"

export const waits = statements(["ALTER TABLE connection ADD COLUMN asked_wait_until timestamptz"])
