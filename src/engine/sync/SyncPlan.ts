/** Plans a slice: its task, its checkpoint and its ledger rows. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import { createHash } from "node:crypto"
import { type Hinted, noHints } from "../../contract/Hints.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import type { LeasedConnection } from "../model/Connection.ts"
import type { LedgerRow } from "../model/Content.ts"
import type { RunKind } from "../model/Run.ts"
import type { TaskRow } from "../model/Task.ts"
import type * as OpenSource from "../source/OpenSource.ts"
import { ContentStore } from "../store/ContentStore.ts"
import { fenceOf } from "../store/Fence.ts"
import { LedgerStore } from "../store/LedgerStore.ts"
import { TaskStore } from "../store/TaskStore.ts"

export interface Plan {
  readonly task: SyncTask.SyncTask
  /** The checkpoint from which the listing continues; `Option.none` lists in full. */
  readonly checkpoint: Option.Option<Schema.Json>
  /** The digest of the present scope fields. */
  readonly scope: string
  /** Ids that an earlier slice of this task has done. */
  readonly done: ReadonlySet<string>
  /**
   * The ledger rows to retry. `due`: all rows that are due. `listed`: due rows that the listing shows, for a task with
   * its own checkpoint; the other rows are left to the live task. `none`: no rows are due. `rows`: exactly these rows,
   * without a listing.
   */
  readonly ledger: "due" | "listed" | "none" | { readonly rows: ReadonlyArray<LedgerRow> }
  readonly hinted: Hinted
}

/** The purpose of a slice. */
export type SlicePurpose =
  /** The connection's own sync. `recorded`: it gets a run row, because a person asked. */
  | {
      readonly _tag: "Live"
      readonly recorded: boolean
      /** True if failed items are tried now, even before they are due, because a person asked. */
      readonly retryFailed: boolean
      /** The hints since the last poll. */
      readonly hinted?: Hinted | undefined
    }
  /** A task that keeps a checkpoint of its own. */
  | { readonly _tag: "Task"; readonly row: TaskRow }
  /** These ledger rows, which were reset and not yet tried, without a listing. */
  | { readonly _tag: "Ledger"; readonly externalIds: ReadonlyArray<string> }

/** Returns the kind of run for this purpose. */
export const kindOf = (purpose: SlicePurpose): RunKind => {
  switch (purpose._tag) {
    case "Live":
      return purpose.recorded ? "sync" : "poll"
    case "Ledger":
      return "retry"
    case "Task": {
      const { force, forceIds } = purpose.row.task
      return forceIds.length > 0 ? "ids" : force ? "force" : "window"
    }
  }
}

const digest = (value: unknown): string => createHash("sha256").update(JSON.stringify(value)).digest("hex")

/**
 * Decides where a task of this connection continues. `isAfresh` is true if it has no checkpoint of the present scope,
 * as in its first run: then it lists in full, and stored content is not deleted as absent until a listing has shown it.
 */
export const make = Effect.fnUntraced(function* (
  { config, integration }: OpenSource.Source,
  options: {
    readonly task: SyncTask.SyncTask
    readonly checkpoint: Option.Option<Schema.Json>
    readonly scope: string | null
    readonly done: ReadonlySet<string>
    readonly ledger: Plan["ledger"]
    readonly hinted?: Hinted | undefined
  }
) {
  const scope = digest(config.scope)
  const { checkpoint, done, ledger, task } = options
  const hinted = Option.isSome(checkpoint) && options.hinted !== undefined ? options.hinted : noHints
  const plan: Plan = { task, scope, done, ledger: hinted.only ? "none" : ledger, checkpoint, hinted }
  const afresh = { isAfresh: true, plan: { ...plan, checkpoint: Option.none(), ledger, hinted: noHints } }
  if (options.scope === null) return { ...afresh, notes: [] }
  if (options.scope !== scope) {
    return { ...afresh, notes: ["what the connection covers was changed: listing in full, deleting nothing"] }
  }
  if (Option.isSome(checkpoint) && !(yield* integration.readsCheckpoint(checkpoint.value))) {
    return { ...afresh, notes: ["the stored checkpoint can't be read: listing in full, deleting nothing"] }
  }
  return { isAfresh: false, plan, notes: [] }
})

/** Returns the plan of a slice, with notes for a person. */
export const forPurpose = Effect.fnUntraced(function* (
  connection: LeasedConnection,
  purpose: SlicePurpose,
  source: OpenSource.Source
) {
  const contents = yield* ContentStore
  const tasks = yield* TaskStore
  const ledger = yield* LedgerStore
  const fence = fenceOf(connection)
  switch (purpose._tag) {
    case "Live": {
      const hasMoved = purpose.retryFailed && (yield* ledger.makeFailedDue(fence))
      const planned = yield* make(source, {
        task: SyncTask.poll,
        checkpoint: connection.checkpoint,
        scope: connection.scope,
        done: new Set(),
        ledger: hasMoved || connection.waiting.retries ? "due" : "none",
        hinted: purpose.hinted
      })
      // Stored before anything is listed, so that the change of scope survives a crash.
      if (planned.isAfresh) {
        yield* contents.changeScope(fence, planned.plan.scope)
      }
      return planned
    }
    case "Task": {
      const { checkpoint, id, scope, task } = purpose.row
      const rows = connection.waiting.retries ? "listed" : "none"
      return yield* make(source, { task, checkpoint, scope, done: yield* tasks.taskDone(id), ledger: rows })
    }
    case "Ledger": {
      const { externalIds } = purpose
      const rows = yield* ledger.ledger(connection.id, { externalIds, limit: externalIds.length })
      return yield* make(source, {
        task: SyncTask.poll,
        checkpoint: Option.none(),
        scope: null,
        done: new Set(),
        ledger: { rows: rows.filter((row) => row.attempts === 0) }
      })
    }
  }
})
