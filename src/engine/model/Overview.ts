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

/** Totals of the whole database, for metrics. They name no connection. */
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
  /**
   * The overdue time of the connection that has been due the longest, for a poll or a task, in seconds; 0 if none is
   * due.
   */
  readonly overdueSeconds: number
  /** The number of database sessions of Idem's processes by state; empty for a store without sessions. */
  readonly sessions: ReadonlyArray<{ readonly state: string; readonly count: number }>
}
