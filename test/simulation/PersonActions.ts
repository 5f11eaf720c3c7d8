/** The actions on behalf of a person. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import { poll, type SyncTask } from "../../src/contract/SyncTask.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { LedgerRow, StagedDeletions } from "../../src/engine/model/Content.ts"
import type { TaskId } from "../../src/engine/model/Task.ts"
import type { Account } from "./Account.ts"
import { type PersonKind, pick } from "./Plan.ts"
import { folders, occurredAt } from "./SimulatedSource.ts"
import type { Simulation } from "./Simulation.ts"
import * as SyncInvariants from "./SyncInvariants.ts"

const scopes = [["a", "b", "c"], ["a", "b", "c"], ["a", "b"], ["a"], ["b", "c"]] as const

export class PersonActions {
  readonly #simulation: Simulation
  /** When unfinished forced tasks began, and the ledger at that time, by the text of the task. */
  readonly #forced = new Map<string, { readonly since: number; readonly ledger: ReadonlyArray<LedgerRow> }>()
  /** The accepted tasks. */
  readonly accepted = new Map<TaskId, Account>()
  isPruned = false

  constructor(simulation: Simulation) {
    this.#simulation = simulation
  }

  perform(kind: PersonKind, account: Account, one: number, two: number): void {
    const simulation = this.#simulation
    const { id, source } = account
    if (id === undefined) return
    const process = simulation.alive(two)
    const since = simulation.ticks.next()
    const known = [...source.items.keys()]
    // Content that a task stores before the first poll has listed is outside of the scope until a poll lists it.
    const isTask = ["force", "forceIds", "windowed", "request"].includes(kind)
    if (isTask && simulation.row(account)?.scope === null) account.relistedAt ||= 1
    switch (kind) {
      case "sync":
        return this.#sync(account, {}, "sync", since, one)
      case "force":
        return this.#sync(account, { force: true }, "force", since, one)
      case "forceIds": {
        const ids = [pick(known, one), pick(known, two)].flatMap((id) =>
          id !== undefined && account.folders.includes(id.slice(0, 1)) ? [id] : []
        )
        if (ids.length === 0) return
        return this.#sync(account, { forceIds: [...new Set(ids)] }, `force ${ids.join(" ")}`, since, one)
      }
      case "windowed": {
        const from = occurredAt(Math.floor(one * known.length))
        const window = two < 0.5 ? { since: from } : { since: from, until: DateTime.add(from, { hours: 5 }) }
        return this.#sync(account, { window, force: two < 0.3 }, `window ${one} ${two}`, since, one)
      }
      case "retryRemoved": {
        // A failed item is retried by the run that receives its deletion; the deletion comes before or during the
        // retry.
        const fails = source.add(pick(folders, one) ?? "a")
        source.poisoned.set(fails, "Malformed")
        this.#sync(account, {}, "sync", since, one)
        simulation.rest(60_000)
        const ledger = simulation.now(simulation.store.ledger(id, { limit: 1000 }))
        const failed = ledger.find(({ externalId }) => externalId === fails) ?? pick(ledger, one)
        source.poisoned.delete(fails)
        if (failed === undefined) return
        for (let count = 0; count < two * 8; count += 1) source.add(pick(folders, (one + count * 0.37) % 1) ?? "a")
        if (two < 0.4) source.remove([failed.externalId])
        else {
          simulation.faults.orderElsewhere("a deletion while it is read")
          source.doomed.add(failed.externalId)
        }
        return this.#sync(account, {}, "sync", simulation.ticks.next(), one)
      }
      case "dryRun":
        return this.#sync(account, { dryRun: true }, "dry run", since, one)
      case "request": {
        const task: SyncTask = one < 0.4 ? poll : { ...poll, force: true }
        const request =
          one > 0.8
            ? ({ _tag: "retry", externalIds: [] } as const)
            : ({ _tag: "sync", task, spec: one < 0.4 ? "sync" : "force" } as const)
        return simulation.fork(process, "person", process.person.submit(id, request), (exit) => {
          if (Exit.isSuccess(exit)) this.accepted.set(exit.value.task, account)
        })
      }
      case "retry": {
        const row = simulation.row(account)
        if (row === undefined) return
        return simulation.fork(process, "person", process.engine.retry(row, undefined))
      }
      case "pause":
        return simulation.fork(process, "person", process.person.pause(id), () => {
          const isPaused = simulation.row(account)?.paused === pausedByPerson
          if (isPaused && account.lifting === 0) account.pausedSince ??= simulation.ticks.next()
        })
      case "resume":
        return this.#lift(account, process, process.person.resume(id))
      case "credentials": {
        const token = simulation.newToken()
        account.token = token
        return this.#connect(account, { credentials: { account: source.account, token } }, one)
      }
      case "every":
        return this.#connect(account, { every: Duration.minutes(pick([1, 5, 60, 600], one) ?? 5) }, two)
      case "scope": {
        account.vanished = undefined
        return this.#connect(account, { config: { folders: pick(scopes, one) ?? folders } }, two)
      }
      case "format":
        for (const each of simulation.accounts) {
          each.source.format += 1
          each.vanished = undefined
          each.relistedAt = simulation.ticks.next()
        }
        return
      case "look":
        return simulation.fork(process, "person", process.person.deletions(id), (exit) => {
          if (Exit.isSuccess(exit)) account.shown = shownOf(exit.value)
        })
      case "approve":
        if (account.shown === undefined) return
        account.vanished = undefined
        return simulation.fork(process, "person", process.person.approveDeletions(id, account.shown.token))
      case "disconnect":
        return this.#lift(account, process, process.person.disconnect(id), () => {
          account.disconnectedAt = simulation.ticks.next()
        })
      case "prune":
        this.isPruned = true
        return simulation.fork(process, "person", simulation.store.pruneRuns(Duration.seconds(one * 60)))
    }
  }

  /** Runs an action of a person that may lift a pause. */
  #lift<A, E>(
    account: Account,
    process: ReturnType<Simulation["alive"]>,
    effect: Effect.Effect<A, E>,
    done: () => void = () => {}
  ): void {
    account.lifting += 1
    account.pausedSince = undefined
    this.#simulation.fork(process, "person", effect, (exit) => {
      account.lifting -= 1
      if (Exit.isSuccess(exit)) done()
    })
  }

  /** Changes the connection as a person does. New credentials lift the source's pause, but never a person's pause. */
  #connect(
    account: Account,
    change: { readonly credentials?: unknown; readonly config?: unknown; readonly every?: Duration.Duration },
    which: number
  ): void {
    const simulation = this.#simulation
    const process = simulation.alive(which)
    const hasCredentials = change.credentials !== undefined
    const isReconnected = account.disconnectedAt !== undefined && hasCredentials
    if (account.disconnectedAt !== undefined && !hasCredentials) return
    if (change.config !== undefined) account.relistedAt = Number.POSITIVE_INFINITY
    if (hasCredentials) {
      account.lifting += 1
      account.disconnectedAt = undefined
    }
    const asked = process.engine.connect({
      domain: "simulated",
      name: account.name,
      config: change.config,
      credentials: change.credentials,
      every: change.every
    })
    simulation.fork(process, "person", asked, (exit) => {
      simulation.say(() => `${account.name}: the change ${Exit.isSuccess(exit) ? "is made" : "failed"}`)
      if (hasCredentials) account.lifting -= 1
      // The person sees the failure: the credentials may have been stored without lifting the pause.
      if (Exit.isFailure(exit)) account.source.refused.set(account.token, simulation.ticks.now)
      if (isReconnected && Exit.isFailure(exit)) account.disconnectedAt = since(simulation)
      this.lookAt(account)
      if (change.config !== undefined) account.relistedAt = simulation.ticks.next()
    })
  }

  /** Describes the accepted tasks of this account that have not ended. */
  openTasks(account: Account): ReadonlyArray<string> {
    const { store } = this.#simulation
    return [...this.accepted].flatMap(([id, of]) => {
      const task = of === account ? Option.getOrUndefined(this.#simulation.now(store.task(id))) : undefined
      return task?.finishedAt === null ? [`an accepted task has not ended (${task.spec})`] : []
    })
  }

  /** Reads the present scope of the connection from the store. */
  lookAt(account: Account): void {
    const config = this.#simulation.row(account)?.config
    const given = typeof config === "object" && config !== null && "folders" in config ? config.folders : undefined
    account.folders = Array.isArray(given) ? given.map(String) : folders
  }

  #sync(account: Account, task: Partial<SyncTask>, spec: string, since: number, which: number): void {
    const simulation = this.#simulation
    const process = simulation.alive(which)
    const row = simulation.row(account)
    const { source } = account
    if (row === undefined) return
    const isForced = task.force === true && task.window === undefined
    const text = `${account.name} ${spec}`
    // A pass that is already under way, or in another run, is continued: only the next pass finds items that were added
    // meanwhile.
    const isWhole =
      source.profile.mode === "feed" ||
      (row.lease === null && (Option.isNone(row.checkpoint) || !simulation.hasPass(row.checkpoint.value)))
    const ledger = simulation.now(simulation.store.ledger(row.id, { limit: 1000 }))
    if ((isForced || task.forceIds !== undefined) && !this.#forced.has(text)) this.#forced.set(text, { since, ledger })
    const asked = process.engine.sync(row, { ...poll, ...task }, { spec, wait: which < 0.7 })
    simulation.fork(
      process,
      "person",
      asked,
      (exit) => {
        simulation.say(() => `${text}: ${Exit.isSuccess(exit) ? JSON.stringify(exit.value) : String(exit.cause)}`)
        if (!Exit.isSuccess(exit) || exit.value.error !== null) return
        const { counts, status } = exit.value
        const isLive = task.force === undefined && task.forceIds === undefined && task.window === undefined
        if (isLive && isWhole && task.dryRun !== true && status !== "skipped") {
          simulation.now(SyncInvariants.synced(simulation.oracle, account, since, status === "succeeded"))
        }
        if (status !== "skipped" && task.dryRun !== true && counts.deferred === 0) {
          const isTried = isLive
            ? isFailed
            : task.force !== true && task.window !== undefined && this.#isLeft(account, task, since)
          if (isTried !== false) simulation.now(SyncInvariants.retried(simulation.oracle, account, ledger, isTried))
        }
        // A command that joins a running task gets the results of that task since it began.
        const began = this.#forced.get(text)
        this.#forced.delete(text)
        // A command that joined a task which another command had just ended did no work of its own.
        if (status !== "succeeded" || counts.deferred > 0 || counts.listed + counts.forced === 0) return
        if (began === undefined) return
        const wereRead = (ids: ReadonlyArray<string>) =>
          simulation.now(SyncInvariants.forced(simulation.oracle, account, began, ids))
        if (isForced && account.relistedAt < began.since) wereRead(this.#listable(account))
        if (task.forceIds !== undefined) wereRead(task.forceIds)
      },
      task.dryRun
    )
  }

  /** Returns a test for deferred rows whose items were in this window all the time. */
  #isLeft({ folders, source }: Account, { window }: Partial<SyncTask>, since: number) {
    return ({ externalId, state }: LedgerRow): boolean => {
      const item = source.items.get(externalId)
      if (state !== "deferred" || item === undefined || !folders.includes(externalId.slice(0, 1))) return false
      const at = occurredAt(item.at)
      const isInWindow =
        (window?.since === undefined || DateTime.isGreaterThanOrEqualTo(at, window.since)) &&
        (window?.until === undefined || DateTime.isLessThan(at, window.until))
      const isListed = !source.wasClosed.has(externalId.slice(0, 1))
      return isInWindow && isListed && source.presentThroughout(externalId, since, source.ticks.now)
    }
  }

  #listable({ folders, source }: Account): ReadonlyArray<string> {
    return source.present().filter((id) => folders.includes(id.slice(0, 1)) && !source.wasClosed.has(id.slice(0, 1)))
  }
}

const isFailed = ({ state }: LedgerRow): boolean => state === "failed"

const since = ({ ticks }: Simulation): number => ticks.next()

/** Returns the held deletions as a person sees them. */
export const shownOf = ({ deletions, token }: StagedDeletions): Account["shown"] => ({
  ids: new Set(deletions.map(({ externalId }) => externalId)),
  token
})
