/** Tasks that a person asks for and a serving process runs. */
import { statements } from "./Statements.ts"

// `kind` 'retry' runs rows of the ledger (`external_ids`, or all where it is null). `requested`: a process that serves
// runs it; any other is run by the command that opened it.
export const tasks = statements([
  `ALTER TABLE task ADD COLUMN kind text NOT NULL DEFAULT 'sync' CHECK (kind IN ('sync', 'retry')),
    ADD COLUMN external_ids text[],
    ADD COLUMN requested boolean NOT NULL DEFAULT false,
    ADD COLUMN idempotency_key text,
    ADD COLUMN request_digest bytea,
    ADD COLUMN error_reason text,
    ADD COLUMN error_message text`,
  `CREATE UNIQUE INDEX task_idempotency ON task (connection_id, idempotency_key) WHERE idempotency_key IS NOT NULL`,
  `CREATE INDEX task_history ON task (connection_id, created_at)`,
  `CREATE INDEX run_task ON run (task_id) WHERE task_id IS NOT NULL`
])
