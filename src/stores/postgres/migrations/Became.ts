/**
 * The transactions in which content became stored and last became undeleted, once it has another change: a reader who
 * asks for these kinds only is told of content that was also updated before the reader came.
 */
import { statements } from "./Statements.ts"

export const became = statements(["ALTER TABLE content ADD COLUMN stored_xid xid8, ADD COLUMN undeleted_xid xid8"])
