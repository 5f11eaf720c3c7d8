/** The actions on a source: changes of its contents, and refusals. */
import * as Option from "effect/Option"
import type { Reason } from "../../src/contract/IntegrationError.ts"
import type { Account } from "./Account.ts"
import { pick, type SourceKind } from "./Plan.ts"
import { folders } from "./SimulatedSource.ts"
import type { Simulation } from "./Simulation.ts"

const poisons: ReadonlyArray<Reason["_tag"]> = ["Forbidden", "Malformed", "TooLarge", "Transient", "Unsettled"]
const listRefusals: ReadonlyArray<Reason["_tag"]> = ["RateLimited", "Transient", "Unauthorized", "Forbidden", "Gone"]
const downloadRefusals: ReadonlyArray<Reason["_tag"]> = ["RateLimited", "Transient", "Transient", "Unauthorized"]

export const perform = (simulation: Simulation, account: Account, kind: SourceKind, one: number, two: number): void => {
  const { clock, faults } = simulation
  const { source } = account
  const there = source.present()
  switch (kind) {
    case "add":
      for (let count = 0; count <= one * 5; count += 1) source.add(pick(folders, (two * 7 + count * 0.37) % 1) ?? "a")
      return
    case "edit":
      for (const id of [pick(there, one), pick(there, two)]) if (id !== undefined) source.edit(id)
      return
    case "remove": {
      // Failed items, which are retried while their deletion is reported.
      const failed = pick([...source.poisoned.keys()], one)
      if (failed !== undefined && two < 0.5) {
        source.poisoned.delete(failed)
        return source.remove([failed])
      }
      return source.remove([pick(there, one) ?? "", pick(there, two) ?? ""].slice(0, two < 0.5 ? 1 : 2))
    }
    case "comeBack": {
      const gone = [...source.items.keys()].filter((id) => !there.includes(id))
      const found = pick(gone, one)
      if (found === undefined) return
      source.edit(found)
      // The failure disappears by itself the next time.
      account.vanished = account.vanished && new Set([...account.vanished].filter((id) => id !== found))
      return
    }
    case "vanish":
      return vanish(simulation, account, there, one)
    case "label": {
      const found = pick(there, one)
      if (found !== undefined) source.label(found)
      return
    }
    case "expire":
      faults.happened("the log is forgotten")
      source.forgotten = source.log.length
      return
    case "forgetPass":
      faults.orderElsewhere("a pass is forgotten")
      for (const name of source.served.keys()) source.forgottenPasses.add(name)
      return
    case "poison": {
      // Stored content is not read again unless it is forced, so half of the failures are for new items.
      const found = two < 0.5 ? source.add(pick(folders, one) ?? "a") : pick(there, one)
      if (found !== undefined) source.poisoned.set(found, pick(poisons, (two * 2) % 1) ?? "Forbidden")
      return
    }
    case "hang":
      source.hangs = true
      return faults.orderElsewhere("a listing hangs")
    case "outage":
      source.outageUntil = clock.currentTimeMillisUnsafe() + 1000 * (5 + one * 600)
      return
    case "close": {
      if (source.profile.mode === "feed") return
      const folder = pick(folders, one) ?? "a"
      account.vanished = undefined
      if (source.closed.delete(folder)) return
      faults.happened("a folder is closed")
      source.closed.add(folder)
      source.wasClosed.add(folder)
      return
    }
    case "refuseList":
    case "refuseDownload": {
      const isList = kind === "refuseList"
      const reason = pick(isList ? listRefusals : downloadRefusals, one) ?? "Transient"
      const call = isList ? (source.profile.mode === "feed" && two < 0.5 ? "changes" : "list") : "download"
      const retryAfter = reason === "RateLimited" && two > 0.3 ? 1000 * two * 100 : undefined
      return faults.orderSource(source.account, call, { _tag: "Refuses", reason, retryAfter }, 1 + Math.floor(two * 6))
    }
    case "revoke":
      faults.happened("a token is revoked")
      source.revoked.add(account.token)
      return
  }
}

/** Removes all but a few of the present items at once, while no pass is under way that has listed some of them. */
const vanish = (simulation: Simulation, account: Account, there: ReadonlyArray<string>, which: number): void => {
  const { source } = account
  const row = simulation.row(account)
  const left = Math.floor(which * 3)
  const ids = there.filter((id) => account.folders.includes(id.slice(0, 1))).slice(left)
  source.remove(ids)
  if (row === undefined || row.lease !== null || source.wasClosed.size > 0 || account.relistedAt > 0) return
  if (Option.isNone(row.checkpoint) || simulation.hasPass(row.checkpoint.value)) return
  const stored = simulation.now(simulation.store.contents(row.id, { state: "stored", limit: 1000 })).contents
  if (simulation.now(simulation.store.deletions(row.id, { which: "staged", limit: 1 })).total > 0) return
  const gone = new Set(stored.flatMap(({ externalId }) => (ids.includes(externalId) ? [externalId] : [])))
  const { deletions, deletionShare } = simulation.limits
  if (gone.size <= Math.max(deletions, source.items.size * deletionShare)) return
  simulation.faults.happened("much vanishes")
  account.vanished = gone
}
