/** Totals of one connection, and of the whole database. */
import * as Schema from "effect/Schema"
import type { ConnectionState } from "./Connection.ts"
import type { LedgerState } from "./Content.ts"

export const Totals = Schema.Struct({
  stored: Schema.Int,
  failed: Schema.Int,
  dead: Schema.Int,
  deferred: Schema.Int,
  deleted: Schema.Int,
  bytes: Schema.Int,
  deletionsHeld: Schema.Int
}).annotate({ identifier: "Totals" })
export type Totals = typeof Totals.Type

/** Figures of the whole database, for metrics. No connection is named. */
export interface Overview {
  /** Numbers of connections by domain and state. */
  readonly connections: ReadonlyArray<{
    readonly domain: string
    readonly state: typeof ConnectionState.Type
    readonly count: number
  }>
  readonly ledger: ReadonlyArray<{
    readonly domain: string
    readonly state: typeof LedgerState.Type
    readonly count: number
  }>
  readonly deletionsHeld: ReadonlyArray<{ readonly domain: string; readonly count: number }>
  /** How long the connection that waits longest has been due, for a poll or a task, in seconds; 0 where none waits. */
  readonly overdueSeconds: number
  /** Sessions that Idem's processes have in the database, by what they do; none for a store that has no sessions. */
  readonly sessions: ReadonlyArray<{ readonly state: string; readonly count: number }>
}
