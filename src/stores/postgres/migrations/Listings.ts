/** When a connection's lease was last acquired: a listing that is opened under it began then. */
import { statements } from "./Statements.ts"

export const listings = statements([`ALTER TABLE connection ADD COLUMN acquired_at timestamptz NOT NULL DEFAULT now()`])
