/** Tokens that may only read the schema `mirror`, of some connections or of all (`connections` null). */
import { statements } from "./Statements.ts"

export const readTokens = statements([
  `CREATE TABLE read_token (
    name text COLLATE "C" PRIMARY KEY,
    hash bytea NOT NULL UNIQUE,
    connections uuid[],
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at timestamptz
  )`
])
