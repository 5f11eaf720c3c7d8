/** Totals of one connection, and of the whole database. */

export interface Totals {
  readonly stored: number
  readonly failed: number
  readonly dead: number
  readonly deferred: number
  readonly deleted: number
  readonly bytes: number
  readonly deletionsHeld: number
}

/** The whole at a glance, for whoever watches it. No connection is named. */
export interface Overview {
  /** How many connections there are of a kind in a state. */
  readonly connections: ReadonlyArray<{
    readonly domain: string
    readonly state: "running" | "disconnected" | "paused" | "idle"
    readonly count: number
  }>
  readonly ledger: ReadonlyArray<{
    readonly domain: string
    readonly state: "failed" | "dead" | "deferred"
    readonly count: number
  }>
  readonly deletionsHeld: ReadonlyArray<{ readonly domain: string; readonly count: number }>
  /** How long the connection that waits longest has been due, in seconds; 0 where none waits. */
  readonly overdueSeconds: number
  /** Sessions that Idem's processes have in the database, by what they do; none for a store that has no sessions. */
  readonly sessions: ReadonlyArray<{ readonly state: string; readonly count: number }>
}
