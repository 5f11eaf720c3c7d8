/** The actions of the steps: on the source, on the store or a process, on behalf of a person, or on time. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type { Account } from "./Account.ts"
import { PersonActions } from "./PersonActions.ts"
import { isOfPerson, isOfSource, pick, type Step, type SystemKind } from "./Plan.ts"
import * as SourceActions from "./SourceActions.ts"
import { folders } from "./SimulatedSource.ts"
import type { Simulation } from "./Simulation.ts"

export class Actions {
  readonly #simulation: Simulation
  readonly person: PersonActions

  constructor(simulation: Simulation) {
    this.#simulation = simulation
    this.person = new PersonActions(simulation)
  }

  perform({ kind, which }: Step): void {
    const [first, second, third] = which
    const { accounts } = this.#simulation
    const account = (first < 0.7 ? accounts[0] : accounts.at(-1)) ?? accounts[0]
    if (account === undefined) return
    this.#simulation.say(() => `--- ${kind} ${account.name}`)
    if (isOfSource(kind)) return SourceActions.perform(this.#simulation, account, kind, second, third)
    if (isOfPerson(kind)) return this.person.perform(kind, account, second, third)
    this.#perform(kind, account, second, third)
  }

  #perform(kind: SystemKind, account: Account, one: number, two: number): void {
    const simulation = this.#simulation
    const { clock, faults } = simulation
    switch (kind) {
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
          "makeFailedDue",
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
        if (row !== undefined) simulation.polling.poll(row.id, one < 0.3)
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
    }
  }

  /**
   * Sends a hint, true or false: for a part, for a part that does not exist, or for the whole connection. The hint may
   * be doubled or late.
   */
  #hint({ id, source }: Account, one: number, two: number): void {
    if (id === undefined) return
    const process = this.#simulation.alive((two * 7) % 1)
    const parts = one < 0.3 ? [] : one < 0.45 ? ["nowhere"] : [pick(folders, (one * 3) % 1) ?? "a"]
    if (source.profile.mode === "parts") this.#simulation.faults.orderElsewhere("a hint")
    // Hints bring a poll forward only in a process that has polled all parts.
    if (two > 0.1 && two < 0.7) {
      this.#simulation.polling.poll(id, false, process)
      this.#simulation.rest(60_000)
    }
    process.hints.add(id, parts, parts.length === 0)
    // A late hint has arrived when the scheduled poll begins.
    if (two > 0.8) return
    this.#simulation.polling.hint(process, id)
    if (two < 0.2) this.#simulation.polling.hint(process, id)
  }
}
