/**
 * A source with a memory: every version of each id, with its time. The integration reads the present state; the oracle
 * reads the history. Time is a counter of events (`Ticks`), because the clock is too coarse to order them.
 */
import { createHash } from "node:crypto"
import * as DateTime from "effect/DateTime"
import type { Reason } from "../../src/contract/IntegrationError.ts"
import type { SourceProfile } from "./SourceProfile.ts"

/** The order of all events of a simulation. */
export class Ticks {
  now = 0

  next(): number {
    this.now += 1
    return this.now
  }
}

export const folders = ["a", "b", "c"] as const

export interface Version {
  readonly version: number
  readonly body: Uint8Array
  /** SHA-256 of the body, in hex. */
  readonly hash: string
}

/** The version of an id from this tick on; undefined if the id did not exist. */
interface Fact {
  readonly tick: number
  readonly version: Version | undefined
}

interface Item {
  readonly facts: Array<Fact>
  readonly versions: Map<string, Version>
  /** The time of the item, in hours since the beginning. */
  readonly at: number
  current: Version | undefined
  /** The version before the deletion, and the time of the deletion in milliseconds. */
  last: { readonly version: Version; readonly until: number } | undefined
  labels: number
  /** The position in the log, and the tick, of the id's last change. */
  position: number
  modified: number
}

interface Change {
  readonly kind: "put" | "delete" | "patch"
  readonly id: string
  readonly labels: number
}

export interface ServedPage {
  readonly tick: number
  readonly upTo: string
}

/** Returns when an item occurred. Items are an hour apart. */
export const occurredAt = (hours: number): DateTime.Utc => DateTime.makeUnsafe(Date.UTC(2026, 0, 1) + hours * 3_600_000)

const encoder = new TextEncoder()

export class SimulatedSource {
  readonly account: string
  readonly profile: SourceProfile
  readonly ticks: Ticks
  readonly items = new Map<string, Item>()
  readonly log: Array<Change> = []
  /** The log before this position is forgotten. */
  forgotten = 0
  /** Passes that can't be continued. */
  readonly forgottenPasses = new Set<string>()
  /** The format of checkpoints. A checkpoint of another format can't be read. */
  format = 1
  passes = 0
  /** True if the next page of a listing never comes: a fault in the integration, outside of any call. */
  hangs = false
  /** The folders that could not be listed at some page of a pass, by the name of the pass. */
  readonly hidden = new Map<string, Set<string>>()
  /** The pages of each pass, in the order in which they were served, by the name of the pass. */
  readonly served = new Map<string, Array<ServedPage>>()
  downloads = 0
  /** The latest tick at which the content of an id was read. */
  readonly readAt = new Map<string, number>()
  /** Tokens that are refused now, and tokens that were ever refused. */
  readonly revoked = new Set<string>()
  readonly refused = new Map<string, number>()
  /** Ids that can't be read, with the reason. */
  readonly poisoned = new Map<string, Reason["_tag"]>()
  /** Folders that can't be listed now, and folders that ever could not. */
  readonly closed = new Set<string>()
  readonly wasClosed = new Set<string>()
  /** When the outage ends, in milliseconds: until then no request succeeds. */
  outageUntil = 0
  /** Ids for which a download returned `Gone`: their deletion needs no further proof. */
  readonly toldGone = new Set<string>()
  /** Ids that a person chose, and that no poll has listed since. Absence does not apply to them. */
  readonly byId = new Set<string>()
  /** Ids that are deleted while their content is being downloaded. */
  readonly doomed = new Set<string>()
  /** Ids whose deletion no listing will report. */
  readonly untold = new Set<string>()
  /** Ids that a person's request received from the cache. */
  readonly cached = new Set<string>()
  /** The latest tick at which an id was served after its deletion. */
  readonly staleAt = new Map<string, number>()
  /** The slice in which each pass began, by its name. */
  readonly beganIn = new Map<string, number>()
  /** Ids that a feed served although it no longer reported their deletion, with the slice in which it did. */
  readonly keptSince = new Map<string, number>()
  readonly #now: () => number
  #versions = 0
  #added = 0

  constructor(account: string, profile: SourceProfile, ticks: Ticks, now: () => number) {
    this.#now = now
    this.account = account
    this.profile = profile
    this.ticks = ticks
  }

  present(): Array<string> {
    return [...this.items].flatMap(([id, item]) => (item.current === undefined ? [] : [id]))
  }

  absent(): Array<string> {
    return [...this.items].flatMap(([id, item]) => (item.current === undefined ? [id] : []))
  }

  add(folder: string): string {
    this.#added += 1
    // Neither first nor last in the listing's order.
    const id = `${folder}${(this.#added * 7) % 10}-${this.#added}`
    this.#put(id)
    return id
  }

  /** Makes a new version of an existing or deleted item. If ids are immutable, a deleted item returns unchanged. */
  edit(id: string): void {
    const item = this.items.get(id)
    if (item === undefined || (this.profile.by === "id" && item.current !== undefined)) return
    this.#put(id)
  }

  remove(ids: ReadonlyArray<string>): void {
    const tick = this.ticks.next()
    for (const id of ids) {
      const item = this.items.get(id)
      if (item?.current === undefined) continue
      item.last = { version: item.current, until: this.#now() }
      item.current = undefined
      item.facts.push({ tick, version: undefined })
      this.log.push({ kind: "delete", id, labels: 0 })
    }
  }

  label(id: string): void {
    const item = this.items.get(id)
    if (item?.current === undefined || !this.profile.labels) return
    this.ticks.next()
    item.labels += 1
    this.log.push({ kind: "patch", id, labels: item.labels })
  }

  #put(id: string): void {
    const tick = this.ticks.next()
    const before = this.items.get(id)
    this.keptSince.delete(id)
    const [same] = this.profile.by === "id" ? (before?.versions.values() ?? []) : []
    const version = same ?? this.#newVersion(id)
    const item: Item = before ?? {
      facts: [],
      versions: new Map(),
      at: this.#added,
      current: undefined,
      last: undefined,
      labels: 0,
      position: 0,
      modified: 0
    }
    this.items.set(id, item)
    item.versions.set(version.hash, version)
    item.current = version
    item.position = this.log.length
    item.modified = tick
    item.facts.push({ tick, version })
    this.log.push({ kind: "put", id, labels: item.labels })
  }

  #newVersion(id: string): Version {
    this.#versions += 1
    const version = this.#versions
    // Some bodies are too large to be stored beside their rows.
    const body = encoder.encode(`${id}@${version}${version % 5 === 0 ? "x".repeat(100) : ""}`)
    return { version, body, hash: createHash("sha256").update(body).digest("hex") }
  }

  /** Returns the ids that were deleted at or after this position in the log, and are still gone. */
  deletedSince(position: number): ReadonlyArray<string> {
    const ids = this.log.slice(position).flatMap(({ id, kind }) => (kind === "delete" ? [id] : []))
    return [...new Set(ids)].filter((id) => this.items.get(id)?.current === undefined)
  }

  /** Returns true if this id is gone, and the log from this position on does not report that. */
  isUntoldFrom(position: number, id: string): boolean {
    return this.items.get(id)?.current === undefined && !this.log.slice(position).some((change) => change.id === id)
  }

  /** Returns the version that a download returns, including a recently deleted version that a cache still has. */
  downloadable(id: string): Version | undefined {
    const item = this.items.get(id)
    const last = item?.last
    const isStale = last !== undefined && this.#now() - last.until < this.profile.staleFor
    return item?.current ?? (isStale ? last.version : undefined)
  }

  /** Returns the sort key of an id in a pass. */
  keyOf(id: string): string {
    return this.profile.order === "id" ? id : String(this.items.get(id)?.modified ?? 0).padStart(8, "0")
  }

  // ---- queries of the oracle -----------------------------------------------------------------------------------

  /** Returns true if the id existed from one tick to the other, without a gap. */
  presentThroughout(id: string, from: number, to: number): boolean {
    return !this.absentWithin(id, from, to)
  }

  /** Returns true if the id did not exist at some tick from `from` to `to`, both included. */
  absentWithin(id: string, from: number, to: number): boolean {
    const facts = this.items.get(id)?.facts ?? []
    let isPresent = false
    for (const fact of facts) {
      if (fact.tick > to) break
      if (fact.tick > from && !isPresent) return true
      if (fact.tick > from && fact.version === undefined) return true
      isPresent = fact.version !== undefined
    }
    return !isPresent
  }

  /** Returns true if the id did not exist at any tick from one to the other. */
  absentThroughout(id: string, from: number, to: number): boolean {
    const facts = this.items.get(id)?.facts ?? []
    const before = facts.findLast(({ tick }) => tick <= from)
    return before?.version === undefined && facts.every(({ tick, version }) => tick <= from || tick > to || !version)
  }

  /** Returns when the page of this pass that has this key was first served. */
  servedAt(pass: string, key: string): number {
    return this.served.get(pass)?.find((page) => page.upTo >= key)?.tick ?? 0
  }
}
