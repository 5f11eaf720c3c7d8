/** Indexes by which old runs and tasks are found, so that the history is pruned without reading all of it. */
import { statements } from "./Statements.ts"

// A task's `moved_at` changes with each page, and an index of it would be written as often; `created_at` is no later.
export const history = statements([
  `CREATE INDEX run_finished ON run (finished_at, id) WHERE finished_at IS NOT NULL`,
  `CREATE INDEX task_created ON task (created_at, id)`
])
