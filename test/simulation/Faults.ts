/** Ordered faults that wait for their calls. Each fault is counted when it is ordered and when it occurs. */
import type { Reason } from "../../src/contract/IntegrationError.ts"

export type StoreFault =
  | { readonly _tag: "FailsBefore" }
  /** The call takes effect, but its caller gets a failure. */
  | { readonly _tag: "FailsAfter" }
  /**
   * The call has no effect, and its caller learns that after a delay: the connection was lost while a commit waited.
   */
  | { readonly _tag: "SlowThenFails"; readonly millis: number }
  | { readonly _tag: "Slow"; readonly millis: number; readonly after: boolean }
  | { readonly _tag: "ProcessDies"; readonly after: boolean }

export interface SourceFault {
  readonly _tag: "Refuses"
  readonly reason: Reason["_tag"]
  readonly retryAfter: number | undefined
}

/** The methods of the store that change nothing. */
export const reads: ReadonlySet<string> = new Set([
  "existing",
  "revisions",
  "connection",
  "connectionsById",
  "connectionByName",
  "connectionIdsOf",
  "membersOf",
  "connections",
  "retriesDue",
  "ledger",
  "task",
  "taskDone",
  "nextTask",
  "openTasks",
  "taskSummaries",
  "runs",
  "deletions",
  "totals",
  "parts",
  "readyDeletions",
  "storedBeforeDeletions"
])

interface Armed<Fault> {
  readonly name: string
  readonly fault: Fault
  times: number
}

export class Faults {
  readonly ordered = new Map<string, number>()
  readonly met = new Map<string, number>()
  readonly #store = new Map<string, Array<Armed<StoreFault>>>()
  readonly #source = new Map<string, Array<Armed<SourceFault>>>()

  /** Orders a fault for the next calls of this method. */
  orderStore(method: string, fault: StoreFault, times = 1): void {
    const kind = method === "commit" ? method : reads.has(method) ? "a read" : "another write"
    const name = `${kind} ${fault._tag}`
    this.#count(this.ordered, name)
    this.#store.set(method, [...(this.#store.get(method) ?? []), { name, fault, times }])
  }

  /** Orders a fault for the next calls of this kind (`list`, `download`, `account`) to this account. */
  orderSource(account: string, kind: string, fault: SourceFault, times: number): void {
    const name = `${kind === "download" ? "a download" : "a listing"} ${fault.reason}`
    this.#count(this.ordered, name)
    const key = `${account} ${kind}`
    this.#source.set(key, [...(this.#source.get(key) ?? []), { name, fault, times }])
  }

  takeStore(method: string): StoreFault | undefined {
    return this.#take(this.#store.get(method))
  }

  takeSource(account: string, kind: string): SourceFault | undefined {
    return this.#take(this.#source.get(`${account} ${kind}`))
  }

  /** Counts an event as both ordered and met. */
  happened(name: string): void {
    this.#count(this.ordered, name)
    this.#count(this.met, name)
  }

  /** Counts a fault that is ordered here, and met elsewhere. */
  orderElsewhere(name: string): void {
    this.#count(this.ordered, name)
  }

  /** Counts a fault as met that was ordered elsewhere. */
  wasMet(name: string): void {
    this.#count(this.met, name)
  }

  stop(): void {
    this.#store.clear()
    this.#source.clear()
  }

  #take<Fault>(armed: Array<Armed<Fault>> | undefined): Fault | undefined {
    const first = armed?.[0]
    if (armed === undefined || first === undefined) return undefined
    this.#count(this.met, first.name)
    first.times -= 1
    if (first.times <= 0) armed.shift()
    return first.fault
  }

  #count(counts: Map<string, number>, name: string): void {
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
}
