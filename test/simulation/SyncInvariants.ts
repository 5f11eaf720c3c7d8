/**
 * The invariants after a sync, and those once everything has come to rest: the store is compared with the history of
 * the source.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { LedgerRow } from "../../src/engine/model/Content.ts"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import type { Account } from "./Account.ts"
import type { Oracle } from "./Oracle.ts"

/** Returns true if the row has not changed since these rows were read: its item was not tried. */
const isAmong = (before: ReadonlyArray<LedgerRow>, { attempts, externalId, revision, state }: LedgerRow): boolean =>
  before.some(
    (was) =>
      was.externalId === externalId && was.state === state && was.attempts === attempts && was.revision === revision
  )

/**
 * Checks, after a sync without an error, that each row of the ledger for which `isTried` returns true was retried.
 * `before` is the ledger when the sync began.
 */
export const retried = Effect.fnUntraced(function* (
  oracle: Oracle,
  { id, name }: Account,
  before: ReadonlyArray<LedgerRow>,
  isTried: (row: LedgerRow) => boolean
) {
  if (id === undefined) return
  const externalIds = before.map((row) => row.externalId)
  const rows = yield* Effect.orDie(oracle.store.ledger(id, { externalIds, limit: externalIds.length }))
  for (const row of rows) {
    if (isAmong(before, row) && isTried(row))
      oracle.problem(`${name}: a sync ended well, and left ${row.externalId} ${row.state}`)
  }
})

/**
 * Checks, after a sync without an error, that items which existed all the time are known. After a sync that
 * `succeeded`, items that were gone all the time are deleted or staged.
 */
export const synced = Effect.fnUntraced(function* (
  oracle: Oracle,
  account: Account,
  since: number,
  succeeded: boolean
) {
  const { source } = account
  if (account.id === undefined || account.relistedAt >= since) return
  const due = source
    .present()
    .filter(
      (id) =>
        account.folders.includes(id.slice(0, 1)) &&
        !source.wasClosed.has(id.slice(0, 1)) &&
        source.presentThroughout(id, since, source.ticks.now)
    )
  const known = yield* Effect.orDie(oracle.store.existing(account.id, due))
  for (const id of due) if (!known.has(id)) oracle.problem(`${account.name}: a sync ended well without ${id}`)
  if (!succeeded || account.relistedAt > 0 || source.wasClosed.size > 0) return
  const gone = [...source.items.keys()].filter((id) => source.absentThroughout(id, since, source.ticks.now))
  const excused = [source.cached, source.untold, source.byId]
  // Content that was stored during a pass is not absent from it: the next pass finds its deletion.
  const isStoredInPass = (id: string) =>
    source.profile.mode === "feed" ? source.keptSince.has(id) : (source.staleAt.get(id) ?? 0) >= since
  const left = gone.filter((id) => excused.every((ids) => !ids.has(id)) && !isStoredInPass(id))
  const kept = yield* Effect.orDie(oracle.store.contents(account.id, { state: "stored", limit: 10_000 }))
  const staged = yield* Effect.orDie(oracle.store.deletions(account.id, { which: "staged", limit: 1000 }))
  for (const { externalId } of kept.contents) {
    if (left.includes(externalId) && staged.deletions.every((one) => one.externalId !== externalId)) {
      oracle.problem(`${account.name}: a sync succeeded, and kept ${externalId}, which was gone before`)
    }
  }
})

/**
 * Checks, after a forced sync that succeeded, that items which existed all the time were read again. `began`: when the
 * first command of the sync began, and the ledger at that time. An item that has failed since then is in the ledger,
 * and was reported by the command that tried it.
 */
export const forced = Effect.fnUntraced(function* (
  oracle: Oracle,
  { id: connectionId, name, source }: Account,
  began: { readonly since: number; readonly ledger: ReadonlyArray<LedgerRow> },
  ids: ReadonlyArray<string>
) {
  if (connectionId === undefined) return
  const rows = yield* Effect.orDie(oracle.store.ledger(connectionId, { externalIds: ids, limit: 1000 }))
  const failed = new Set(rows.filter((row) => !isAmong(began.ledger, row)).map(({ externalId }) => externalId))
  for (const id of ids) {
    if (failed.has(id) || !source.presentThroughout(id, began.since, source.ticks.now)) continue
    if ((source.readAt.get(id) ?? 0) < began.since) oracle.problem(`${name}: ${id} was forced, and not read again`)
  }
})

/**
 * Returns the contents that differ from the source; with `isStrict`, also gone contents that are neither deleted nor
 * held.
 */
export const unsettled = Effect.fnUntraced(function* (oracle: Oracle, account: Account, isStrict: boolean) {
  const { id, source } = account
  if (id === undefined) return []
  const stored = yield* Effect.orDie(oracle.store.contents(id, { state: "stored", limit: 10_000 }))
  const rows = new Map(stored.contents.map((row) => [row.externalId, row]))
  const { deletions } = yield* Effect.orDie(oracle.store.deletions(id, { which: "staged", limit: 1000 }))
  const staged = new Set(deletions.map((one) => one.externalId))
  const wrong: Array<string> = []
  for (const [externalId, item] of source.items) {
    const row = rows.get(externalId)
    if (item.current === undefined) {
      const isCovered = account.folders.includes(externalId.slice(0, 1))
      const isExcused = [account.excused, source.cached, source.untold, source.byId, source.keptSince].some((ids) =>
        ids.has(externalId)
      )
      if (row !== undefined && !staged.has(externalId) && isStrict && isCovered && !isExcused) {
        wrong.push(`${externalId} is gone, and stored`)
      }
      continue
    }
    if (!account.folders.includes(externalId.slice(0, 1))) continue
    const { hash, version } = item.current
    if (row === undefined) wrong.push(`${externalId} is missing`)
    else if (row.hash !== hash) wrong.push(`${externalId} is not in version ${version} (${row.title})`)
    else if (source.profile.labels && row.metadata["labels"] !== item.labels) {
      wrong.push(`${externalId} has the labels ${JSON.stringify(row.metadata["labels"])}, not ${item.labels}`)
    }
    if (staged.has(externalId)) wrong.push(`${externalId} is staged for deletion, and at the source`)
  }
  for (const row of yield* Effect.orDie(oracle.store.ledger(id, { limit: 10_000 }))) {
    wrong.push(`${row.externalId} is ${row.state} (${row.reason}, attempt ${row.attempts})`)
  }
  return wrong
})

/** Checks the runs of a connection that is not being run. */
export const runs = Effect.fnUntraced(function* (oracle: Oracle, account: Account) {
  const { id, name } = account
  if (id === undefined) return
  const row = Option.getOrUndefined(yield* Effect.orDie(oracle.store.connection(id)))
  const isLeased = row !== undefined && row.lease !== null
  const runs = yield* Effect.orDie(oracle.store.runs(id, 10_000))
  for (const run of runs) {
    if (run.status === "running" && !isLeased) oracle.problem(`${name}: a run is left running`)
    if (run.status !== "running" && run.status !== "interrupted" && !RunCounts.addUp(run.counts)) {
      oracle.problem(`${name}: the counts of a run do not add up: ${JSON.stringify(run.counts)}`)
    }
    if (run.error !== null && ["Defect", "CountsDontAddUp"].includes(run.error.reason)) {
      oracle.problem(`${name}: a run ended with ${run.error.reason}`)
    }
  }
  const counted = runs.reduce((sum, run) => sum + run.counts.stored, 0)
  const born = oracle.born.get(id) ?? 0
  if (counted !== born) oracle.problem(`${name}: runs count ${counted} stored items, and ${born} were`)
})
