/** Webhooks, and the messages that wait to be delivered or were given up. */
import { statements } from "./Statements.ts"

export const webhooks = statements([])
