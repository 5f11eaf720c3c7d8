/** Writes content in the memory store, by the same rules as PostgreSQL's, in one synchronous step a batch. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type { Patch } from "../../contract/Page.ts"
import { type Item, ledgerState, type LedgerUpdate, type WriteOutcome } from "../../engine/model/Batch.ts"
import type { ChangeKind } from "../../engine/model/Change.ts"
import { hex } from "../Blobs.ts"
import { merge } from "../MergePatch.ts"
import * as Storable from "../Storable.ts"
import { type ConnectionEntry, type ContentEntry, type Millis, next, type State } from "./State.ts"

/** The scope epoch of a row that no page in scope has listed. */
const outsideScope = -1

const fresh = (state: State, externalId: string, now: Millis): ContentEntry => ({
  externalId,
  state: "gone",
  pending: null,
  reason: null,
  message: null,
  attempts: 0,
  nextAttemptAt: null,
  triedRevision: undefined,
  revision: undefined,
  kind: null,
  title: null,
  mediaType: null,
  occurredAt: undefined,
  metadata: {},
  volatile: {},
  hash: null,
  size: 0,
  bodyKey: undefined,
  changed: null,
  became: { stored: null, undeleted: null },
  scopeEpoch: outsideScope,
  createdAt: now,
  updatedAt: now,
  born: next(state),
  died: null
})

/** Makes this change the latest one of the entry, in the present step. */
export const setChange = (state: State, entry: ContentEntry, kind: ChangeKind): void => {
  entry.changed = { step: state.step, kind }
  if (kind === "stored" || kind === "undeleted") entry.became = { ...entry.became, [kind]: state.step }
}

/** Removes an entry from the ledger. */
export const leaveLedger = (entry: ContentEntry): void => {
  entry.pending = null
  entry.reason = null
  entry.message = null
  entry.attempts = 0
  entry.nextAttemptAt = null
  entry.triedRevision = undefined
}

const millisOf = (at: DateTime.Utc | undefined) => (at === undefined ? undefined : DateTime.toEpochMillis(at))

/**
 * Puts an entry into the scope if a page in scope listed it (`isListed`). Until then, a row that is new or was deleted
 * is outside the scope.
 */
const place = (connection: ConnectionEntry, entry: ContentEntry, isListed: boolean): void => {
  if (isListed) entry.scopeEpoch = connection.scopeEpoch
  else if (entry.state === "gone" || entry.state === "deleted") entry.scopeEpoch = outsideScope
}

export const storeItem = (
  state: State,
  connection: ConnectionEntry,
  given: Item,
  isListed: boolean,
  now: Millis
): WriteOutcome => {
  const item = Storable.item(given)
  const hash = hex(item.body.hash)
  const before = connection.contents.get(item.externalId)
  const outcome =
    before?.state !== "stored"
      ? "stored"
      : before.hash === hash &&
          Storable.canonical(before.metadata) === Storable.canonical(item.metadata) &&
          before.kind === item.kind &&
          before.title === (item.title ?? null) &&
          before.mediaType === (item.mediaType ?? null) &&
          millisOf(before.occurredAt) === millisOf(item.occurredAt)
        ? "unchanged"
        : "updated"
  const entry = before ?? fresh(state, item.externalId, now)
  leaveLedger(entry)
  place(connection, entry, isListed)
  connection.contents.set(item.externalId, entry)
  connection.staged.delete(item.externalId)
  if (item.revision !== undefined || outcome !== "unchanged" || isListed) entry.revision = item.revision
  entry.volatile = item.volatile
  entry.bodyKey = item.bodyKey
  if (outcome === "unchanged") return outcome
  if (outcome === "stored") {
    // Only content that existed before a listing began can be absent from it.
    entry.createdAt = now
    entry.born = next(state)
  }
  entry.state = "stored"
  const kind = outcome === "updated" ? outcome : entry.changed?.kind === "deleted" ? "undeleted" : "stored"
  setChange(state, entry, kind)
  entry.kind = item.kind
  entry.title = item.title ?? null
  entry.mediaType = item.mediaType ?? null
  entry.occurredAt = item.occurredAt
  entry.metadata = item.metadata
  entry.hash = hash
  entry.size = Storable.sizeOf(item)
  entry.updatedAt = now
  const there = state.bodies.get(hash)?.bytes
  state.bodies.set(hash, {
    bytes: there ?? (item.body._tag === "Inline" ? item.body.bytes.slice() : null),
    size: entry.size,
    touchedAt: now
  })
  return outcome
}

/**
 * Records that the source reports an id as gone: stored content is staged for deletion, and a row that is only in the
 * ledger is removed from it.
 */
export const markGone = (
  connection: ConnectionEntry,
  externalId: string,
  now: Millis,
  options: { readonly ofPass: boolean }
): void => {
  const entry = connection.contents.get(externalId)
  if (entry === undefined) return
  if (entry.state === "stored") {
    const staged = connection.staged.get(externalId)
    // An event replaces an absence that an incomplete pass has found.
    if (staged === undefined || (staged.cause === "absence" && !staged.ready)) {
      const since = (options.ofPass ? connection.listing?.born : connection.readingSince) ?? connection.acquired
      connection.staged.set(externalId, {
        cause: "event",
        ofPass: options.ofPass,
        stagedAt: staged?.stagedAt ?? now,
        since: Math.min(since, staged?.since ?? since),
        ready: false,
        held: false
      })
    }
  } else if (entry.pending !== null) {
    entry.state = entry.changed === null ? "gone" : "deleted"
  }
  if (entry.pending !== null) leaveLedger(entry)
}

export const updateLedger = (
  state: State,
  connection: ConnectionEntry,
  given: LedgerUpdate,
  isListed: boolean,
  now: Millis
): void => {
  const entry = connection.contents.get(given.externalId) ?? fresh(state, given.externalId, now)
  connection.contents.set(given.externalId, entry)
  if (given.outcome === "gone") {
    markGone(connection, given.externalId, now, { ofPass: false })
    if (entry.state === "gone") {
      entry.reason = Storable.text(given.reason)
      entry.message = Storable.text(given.message)
    }
    return
  }
  const revision = given.revision === undefined ? undefined : Storable.text(given.revision)
  const pending = ledgerState({ outcome: given.outcome, retryIn: given.retryIn })
  if (given.outcome === "failed") entry.attempts = given.attempts
  else if (entry.pending === null || entry.triedRevision !== revision) entry.attempts = 0
  place(connection, entry, isListed)
  entry.pending = pending
  if (entry.state !== "stored") entry.state = entry.pending
  entry.reason = Storable.text(given.reason)
  entry.message = Storable.text(given.message)
  entry.triedRevision = revision
  const wait = given.outcome === "deferred" || given.retryIn === undefined ? 0 : Duration.toMillis(given.retryIn)
  entry.nextAttemptAt = pending === "dead" ? null : now + wait
  if (pending === "failed") connection.dueAt = Math.min(connection.dueAt, entry.nextAttemptAt ?? now)
}

/** Merges patches into stored rows, in order. Returns the number of changed rows. */
export const applyPatches = (
  state: State,
  connection: ConnectionEntry,
  patches: ReadonlyArray<Patch>,
  now: Millis
): number => {
  const before = new Map<string, string>()
  for (const patch of patches) {
    const entry = connection.contents.get(patch.externalId)
    if (entry?.state !== "stored") continue
    if (!before.has(patch.externalId)) before.set(patch.externalId, Storable.canonical(entry.metadata))
    entry.metadata = merge(entry.metadata, Storable.metadata(patch.metadata))
    if (patch.revision !== undefined) entry.revision = Storable.text(patch.revision)
  }
  let changed = 0
  for (const [id, was] of before) {
    const entry = connection.contents.get(id)
    if (entry === undefined || Storable.canonical(entry.metadata) === was) continue
    entry.updatedAt = now
    if (entry.changed?.step !== state.step) setChange(state, entry, "updated")
    changed += 1
  }
  return changed
}

/** Empties a deleted entry, and returns the body's hash. */
export const purge = (entry: ContentEntry): string | null => {
  const { hash } = entry
  entry.hash = null
  entry.size = 0
  entry.revision = undefined
  entry.title = null
  entry.mediaType = null
  entry.occurredAt = undefined
  entry.metadata = {}
  entry.volatile = {}
  return hash
}
