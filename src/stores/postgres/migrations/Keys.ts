/** Which key sealed what, and sign-ins that are under way. */
import { statements } from "./Statements.ts"

export const keys = statements([])
