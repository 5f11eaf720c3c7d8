/** Connections that were made over HTTP, whose addresses are checked, and sessions that were signed out. */
import { statements } from "./Statements.ts"

export const access = statements([
  "ALTER TABLE connection ADD COLUMN guarded boolean NOT NULL DEFAULT false",
  "CREATE TABLE ended_session (hash bytea PRIMARY KEY, expires_at timestamptz NOT NULL)"
])
