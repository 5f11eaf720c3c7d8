/** The actions of the steps: on the source, on a process, or in a person's name. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Reason } from "../../src/contract/IntegrationError.ts"
import { poll, type SyncTask } from "../../src/contract/SyncTask.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { StagedDeletions } from "../../src/engine/model/Content.ts"
import type { TaskId } from "../../src/engine/model/Task.ts"
import type { Account } from "./Oracle.ts"
import type { Kind, Step } from "./Plan.ts"
import { occurredAt } from "./SimulatedIntegration.ts"
import { folders } from "./SimulatedSource.ts"
import type { Simulation } from "./Simulation.ts"

const pick = <A>(from: ReadonlyArray<A>, which: number): A | undefined => from[Math.floor(which * from.length)]

const scopes = [["a", "b", "c"], ["a", "b", "c"], ["a", "b"], ["a"], ["b", "c"]] as const
const poisons: ReadonlyArray<Reason["_tag"]> = ["Forbidden", "Malformed", "TooLarge", "Transient", "Unsettled"]
const listRefusals: ReadonlyArray<Reason["_tag"]> = ["RateLimited", "Transient", "Unauthorized", "Forbidden", "Gone"]
const downloadRefusals: ReadonlyArray<Reason["_tag"]> = ["RateLimited", "Transient", "Transient", "Unauthorized"]

export class Actions {
  readonly #simulation: Simulation
  /** When a forced sync that has not ended began, by its text. */
  readonly #forcedSince = new Map<string, number>()
  /** Tasks that were accepted. */
  readonly accepted = new Map<TaskId, Account>()
  isPruned = false

  constructor(simulation: Simulation) {
    this.#simulation = simulation
  }

  perform({ kind, which }: Step): void {
    const [first, second, third] = which
    const { accounts } = this.#simulation
    const account = (first < 0.7 ? accounts[0] : accounts.at(-1)) ?? accounts[0]
    if (account === undefined) return
    this.#simulation.say(() => `--- ${kind} ${account.name}`)
    this.#perform(kind, account, second, third)
  }

  #perform(kind: Kind, account: Account, one: number, two: number): void {
    const simulation = this.#simulation
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
        // Failed items that are retried while their deletion is reported.
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
        // It vanishes by itself the next time.
        account.vanished = account.vanished && new Set([...account.vanished].filter((id) => id !== found))
        return
      }
      case "vanish":
        return this.#vanish(account, there, one)
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
        // What is stored already is not read again, unless it is forced: half of the failures are of new items.
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
        return faults.orderSource(
          source.account,
          call,
          { _tag: "Refuses", reason, retryAfter },
          1 + Math.floor(two * 6)
        )
      }
      case "revoke":
        faults.happened("a token is revoked")
        source.revoked.add(account.token)
        return
      case "commitFault": {
        const millis = 1000 * (6 + two * 40)
        const [fault] = [
          one < 0.3
            ? ({ _tag: "FailsBefore" } as const)
            : one < 0.45
              ? ({ _tag: "FailsAfter" } as const)
              : one < 0.6
                ? ({ _tag: "Slow", millis, after: two < 0.5 } as const)
                : one < 0.9
                  ? ({ _tag: "SlowThenFails", millis } as const)
                  : ({ _tag: "ProcessDies", after: two < 0.5 } as const)
        ]
        return faults.orderStore("commit", fault)
      }
      case "writeFault": {
        const methods = [
          "renew",
          "release",
          "beginRun",
          "finishRun",
          "applyDeletions",
          "holdDeletions",
          "changeScope",
          "finishTask",
          "requeueTask"
        ]
        const method = pick([...methods, "setPaused", "acquire", "release"], one) ?? "renew"
        const millis = 1000 * (1 + two * 40)
        const fault =
          two < 0.4
            ? ({ _tag: "FailsBefore" } as const)
            : two < 0.7
              ? ({ _tag: "FailsAfter" } as const)
              : two < 0.9
                ? ({ _tag: "Slow", millis, after: two < 0.8 } as const)
                : ({ _tag: "ProcessDies", after: two < 0.95 } as const)
        return faults.orderStore(method, fault, method === "renew" ? 1 + Math.floor(two * 5) : 1)
      }
      case "readFault": {
        const method = pick(["existing", "revisions", "retriesDue", "ledger", "connection", "deletions"], one)
        return faults.orderStore(method ?? "existing", { _tag: "FailsBefore" })
      }
      case "die":
        faults.happened("a process dies")
        simulation.died(simulation.alive(one))
        if (two < 0.5) simulation.startProcess()
        return
      case "freeze":
        faults.happened("a process freezes")
        simulation.alive(one).frozenUntil = clock.currentTimeMillisUnsafe() + 1000 * (5 + two * 90)
        if (simulation.processes.filter((process) => !process.dead).length < 3) simulation.startProcess()
        return
      case "steal": {
        const row = simulation.row(account)
        if (row?.lease == null) return
        faults.happened("a lease is taken")
        simulation.oracle.released(row.id)
        const options = { holder: "a thief", ttl: Duration.seconds(30), deadHolder: row.lease.holder }
        const taken = Option.getOrUndefined(simulation.now(simulation.store.acquire(row.id, options)))
        if (taken !== undefined && two < 0.8) {
          simulation.now(simulation.store.release({ connectionId: row.id, fence: taken.fence }, {}))
        }
        return
      }
      case "wake": {
        const row = simulation.row(account)
        if (row !== undefined) simulation.poll(row.id, one < 0.3)
        return
      }
      case "wait": {
        const seconds = pick([0, 0.3, 1, 3, 5.1, 6, 12, 31, 70, 300, 900, 3600], one) ?? 1
        return simulation.advance(seconds * 1000 * (0.5 + two))
      }
      case "hint":
        return this.#hint(account, one, two)
      case "listen":
        if (account.id !== undefined) simulation.alive(two).hints.setListening(account.id, one < 0.7)
        return
      default:
        return this.#ask(kind, account, one, two)
    }
  }

  /** A hint, true or not: of a part, of one that does not exist, or of anything. It may be doubled, or late. */
  #hint({ id, source }: Account, one: number, two: number): void {
    if (id === undefined) return
    const process = this.#simulation.alive((two * 7) % 1)
    const parts = one < 0.3 ? [] : one < 0.45 ? ["nowhere"] : [pick(folders, (one * 3) % 1) ?? "a"]
    if (source.profile.mode === "parts") this.#simulation.faults.orderElsewhere("a hint")
    // Hints bring a poll forward only in a process that has looked everywhere.
    if (two > 0.1 && two < 0.7) {
      this.#simulation.poll(id, false, process)
      this.#simulation.rest(60_000)
    }
    process.hints.add(id, parts, parts.length === 0)
    // A late one is there when the scheduled poll comes.
    if (two > 0.8) return
    this.#simulation.hint(process, id)
    if (two < 0.2) this.#simulation.hint(process, id)
  }

  /** All but few of what is there goes at once, while no pass is under way that has seen a part of it. */
  #vanish(account: Account, there: ReadonlyArray<string>, which: number): void {
    const simulation = this.#simulation
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

  /** A person asks. */
  #ask(kind: Kind, account: Account, one: number, two: number): void {
    const simulation = this.#simulation
    const { id, source } = account
    if (id === undefined) return
    const process = simulation.alive(two)
    const since = simulation.ticks.next()
    const known = [...source.items.keys()]
    // What a task stores before the first poll has listed is outside of the scope until a poll lists it.
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
        // A failed item is tried again by the run that is told of its deletion, which comes before or while it is read.
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
      default:
        throw new Error(`nothing is done for ${kind}`)
    }
  }

  /** A person does what may lift a pause. */
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

  /** A person changes the connection. New credentials lift the source's pause, never a person's. */
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
      // The person knows that it failed: the credentials may be stored, and the pause stand.
      if (Exit.isFailure(exit)) account.source.refused.set(account.token, simulation.ticks.now)
      if (isReconnected && Exit.isFailure(exit)) account.disconnectedAt = since(simulation)
      this.lookAt(account)
      if (change.config !== undefined) account.relistedAt = simulation.ticks.next()
    })
  }

  /** The accepted tasks of this account that have not ended, in words. */
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
    if (isForced && !this.#forcedSince.has(text)) this.#forcedSince.set(text, since)
    // A pass that is under way, or in a run of another, goes on: what came meanwhile is found by the next.
    const isWhole =
      source.profile.mode === "feed" ||
      (row.lease === null && (Option.isNone(row.checkpoint) || !simulation.hasPass(row.checkpoint.value)))
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
          simulation.now(simulation.oracle.synced(account, since, status === "succeeded"))
        }
        // A command that joined a task that another command had just ended did nothing itself.
        if (status !== "succeeded" || counts.deferred > 0 || counts.listed + counts.forced === 0) return
        if (isForced) {
          const from = this.#forcedSince.get(text)
          this.#forcedSince.delete(text)
          if (from !== undefined && account.relistedAt < from)
            simulation.oracle.forced(account, from, this.#listable(account))
        } else if (task.forceIds !== undefined) simulation.oracle.forced(account, since, task.forceIds)
      },
      task.dryRun
    )
  }

  #listable({ folders, source }: Account): ReadonlyArray<string> {
    return source.present().filter((id) => folders.includes(id.slice(0, 1)) && !source.wasClosed.has(id.slice(0, 1)))
  }
}

const since = ({ ticks }: Simulation): number => ticks.next()

/** The held deletions as a person sees them. */
export const shownOf = ({ deletions, token }: StagedDeletions): Account["shown"] => ({
  ids: new Set(deletions.map(({ externalId }) => externalId)),
  token
})
