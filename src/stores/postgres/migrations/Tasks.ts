/** Tasks that a person asks for and a serving process runs, and the pruning of their history. */
import { statements } from "./Statements.ts"

// `kind` 'retry' runs rows of the ledger (`external_ids`; null means all). `requested`: a serving process runs the
// task, from `due_at` on; any other task is run by the command that opened it. Several requests, with different keys,
// may share one task.
export const tasks = statements([
  `ALTER TABLE task ADD COLUMN kind text NOT NULL DEFAULT 'sync' CHECK (kind IN ('sync', 'retry')),
    ADD COLUMN external_ids text[],
    ADD COLUMN requested boolean NOT NULL DEFAULT false,
    ADD COLUMN due_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ADD COLUMN failures integer NOT NULL DEFAULT 0,
    ADD COLUMN error_reason text,
    ADD COLUMN error_message text`,
  `CREATE TABLE task_key (
    connection_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    task_id uuid NOT NULL,
    PRIMARY KEY (connection_id, key)
  )`,
  `CREATE INDEX task_key_task ON task_key (task_id)`,
  `CREATE INDEX task_requested ON task (due_at) WHERE requested AND finished_at IS NULL`,
  `CREATE INDEX task_history ON task (connection_id, created_at)`,
  `CREATE INDEX run_task ON run (task_id) WHERE task_id IS NOT NULL`
])

/**
 * Adds indexes for old runs and tasks, so that pruning the history does not read all of it. A task's `moved_at` changes
 * with each page, and an index on it would be written as often; `created_at` is never later.
 */
export const history = statements([
  `CREATE INDEX run_finished ON run (finished_at, id) WHERE finished_at IS NOT NULL`,
  `CREATE INDEX task_created ON task (created_at, id)`
])
