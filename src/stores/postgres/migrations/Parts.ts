/** Parts of a source: small checkpoints by key. */
import { statements } from "./Statements.ts"

// `owner_id` is the connection, or a task with a checkpoint of its own. A part that moves is rewritten in its page.
export const parts = statements([
  `CREATE TABLE part (
    connection_id uuid NOT NULL,
    owner_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    checkpoint json NOT NULL,
    PRIMARY KEY (connection_id, owner_id, key)
  ) WITH (fillfactor = 70)`
])
