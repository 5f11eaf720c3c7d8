/** The claim on polling becomes a named lock: one table holds all exclusive claims except the leases of connections. */
import { statements } from "./Statements.ts"

export const locks = statements([
  `INSERT INTO named_lock (name, holder, held_until) SELECT 'polling', holder, held_until FROM polling`,
  `DROP TABLE polling`
])
