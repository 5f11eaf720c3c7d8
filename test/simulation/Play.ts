/** Plays a plan, from its first step to the last check of the oracle. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { poll } from "../../src/contract/SyncTask.ts"
import { pausedByPerson } from "../../src/engine/model/Connection.ts"
import type { SyncResult } from "../../src/engine/Engine.ts"
import type { WholeStore } from "../../src/testing/WholeStore.ts"
import { Actions } from "./Actions.ts"
import type { Account } from "./Account.ts"
import { type PersonActions, shownOf } from "./PersonActions.ts"
import type { Plan } from "./Plan.ts"
import { folders } from "./SimulatedSource.ts"
import { Simulation } from "./Simulation.ts"
import * as SyncInvariants from "./SyncInvariants.ts"

export interface Played {
  readonly problems: ReadonlyArray<string>
  readonly trace: ReadonlyArray<string>
  readonly ordered: ReadonlyMap<string, number>
  readonly met: ReadonlyMap<string, number>
}

export interface Options {
  readonly isTraced?: boolean
  /** Breaks the store on purpose. */
  readonly decorate?: (store: WholeStore) => WholeStore
}

/** The waits at the end, in seconds. A failed item is retried after at most two days and a fifth. */
const waits = [0, 60, 60, 600, 3600, 3 * 3600, 9 * 3600, 30 * 3600, 60 * 3600, 60 * 3600] as const

export const play = (plan: Plan, options: Options = {}): Played => {
  // Thousands of errors are made, and their stacks are never read.
  const { stackTraceLimit } = Error
  if (options.isTraced !== true) Error.stackTraceLimit = 0
  try {
    return playOut(plan, options)
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

const playOut = (plan: Plan, { decorate, isTraced = false }: Options): Played => {
  const simulation = new Simulation(plan.seed, { isTraced, ...(decorate === undefined ? {} : { decorate }) })
  const { accounts, faults, oracle, trace } = simulation
  const played = (): Played => ({ problems: oracle.problems, trace, ordered: faults.ordered, met: faults.met })
  const actions = new Actions(simulation)
  const { person } = actions
  begin(simulation)
  for (const step of plan.steps) {
    actions.perform(step)
    simulation.settle(step.tasks)
    if (oracle.problems.length > 0) return played()
  }

  quieten(simulation)
  for (const account of accounts) {
    person.lookAt(account)
    converge(simulation, person, account, account.relistedAt === 0)
    if (oracle.problems.length > 0) return played()
  }
  if (plan.isThorough) {
    changeOnce(simulation, person)
    if (oracle.problems.length > 0) return played()
  }
  for (const account of accounts) if (!person.isPruned) simulation.now(SyncInvariants.runs(oracle, account))
  for (const [id, account] of person.accepted) {
    const task = simulation.now(simulation.store.task(id))
    if (task._tag === "None" && !person.isPruned) oracle.problem(`${account.name}: an accepted task is gone`)
  }
  return played()
}

/**
 * Changes a source once more. Each connection has listed its scope in full, so from here on no deleted item may stay
 * stored.
 */
const changeOnce = (simulation: Simulation, person: PersonActions): void => {
  const { accounts, oracle } = simulation
  for (const account of accounts) {
    const { source } = account
    // The next poll may be far away, and a change of scope may not be listed yet.
    const row = simulation.row(account)
    const process = simulation.alive(0)
    if (row !== undefined) {
      simulation.fork(process, "person", process.engine.sync(row, poll, { spec: "whole", wait: true }))
    }
    simulation.rest(120_000)
    if (account.relistedAt > 0) {
      account.excused = new Set([...source.items.keys()].filter((id) => source.items.get(id)?.current === undefined))
    }
    source.add("a")
    source.edit(source.present()[1] ?? "")
    source.remove(source.present().slice(0, 2))
    if (source.profile.labels) source.label(source.present().at(-1) ?? "")
  }
  for (const account of accounts) {
    converge(simulation, person, account, true)
    if (oracle.problems.length === 0) repeat(simulation, account)
    if (oracle.problems.length > 0) return
  }
}

/** Starts two processes, and makes the connections, with some items in their sources. */
const begin = (simulation: Simulation): void => {
  const { accounts, random } = simulation
  simulation.startProcess()
  if (random.chance(0.5)) simulation.startProcess()
  for (const account of accounts) {
    account.token = simulation.newToken()
    for (let count = random.between(1, 9); count > 0; count -= 1) account.source.add(random.pick([...folders]))
    const process = simulation.alive(0)
    const input = {
      domain: "simulated",
      name: account.name,
      config: random.chance(0.1) ? { unitsPerMinute: 60 } : {},
      credentials: { account: account.source.account, token: account.token },
      every: Duration.minutes(random.pick([1, 5, 60]))
    }
    const wasRough = simulation.isRough
    simulation.isRough = false
    simulation.fork(process, "person", process.engine.connect(input), (exit) => {
      if (exit._tag === "Success") account.id = exit.value.connection.id
      else simulation.oracle.problem(`${account.name} can't be connected: ${String(exit.cause)}`)
    })
    // Some simulations begin with all items stored, and some with none.
    if (random.chance(0.5)) simulation.advance(0)
    else simulation.settle()
    simulation.isRough = wasRough
  }
}

/** Ends all faults, and makes a person repair the connections that need a person. */
const quieten = (simulation: Simulation): void => {
  const { accounts, clock, faults, oracle } = simulation
  simulation.say(() => "=== it quiets down")
  simulation.isRough = false
  faults.stop()
  for (const process of simulation.processes)
    process.frozenUntil = Math.min(process.frozenUntil, clock.currentTimeMillisUnsafe())
  for (const { source } of accounts) {
    source.outageUntil = 0
    source.hangs = false
    source.doomed.clear()
    source.poisoned.clear()
    source.closed.clear()
    source.revoked.clear()
  }
  // Longer than a process is frozen, and than the slowest response.
  simulation.rest(300_000)
  for (const account of accounts) {
    const row = simulation.row(account)
    if (row === undefined) continue
    account.pausedSince = undefined
    const process = simulation.alive(0)
    if (row.paused === pausedByPerson) simulation.fork(process, "person", process.person.resume(row.id))
    if (row.credentials === null || row.paused !== null) {
      // An exhausted quota allows calls again, and the longest wait that the source requested is over.
      simulation.advance(120_000)
      account.disconnectedAt = undefined
      account.token = simulation.newToken()
      const credentials = { account: account.source.account, token: account.token }
      const input = { domain: "simulated", name: account.name, config: undefined, credentials, every: undefined }
      account.lifting += 1
      simulation.fork(process, "person", process.engine.connect(input), (exit) => {
        account.lifting -= 1
        if (exit._tag === "Failure") oracle.problem(`${account.name} can't be mended: ${String(exit.cause)}`)
      })
    }
    simulation.rest(60_000)
    // A pause that was under way may have taken effect after the resume.
    if (simulation.row(account)?.paused === pausedByPerson) {
      simulation.fork(process, "person", process.person.resume(row.id))
      simulation.rest(60_000)
    }
    const updated = simulation.row(account)
    if (updated !== undefined && updated.paused !== null)
      oracle.problem(`${account.name} is still paused: ${updated.paused}`)
  }
}

/** Lets time pass until the mirror equals the source. */
const converge = (simulation: Simulation, person: PersonActions, account: Account, isStrict: boolean): void => {
  const { oracle } = simulation
  let wrong: ReadonlyArray<string> = ["nobody has looked"]
  for (const wait of waits) {
    simulation.advance(wait * 1000)
    settleByPerson(simulation, account)
    wrong = [...simulation.now(SyncInvariants.unsettled(oracle, account, isStrict)), ...person.openTasks(account)]
    if (wrong.length === 0 || oracle.problems.length > 0) return
  }
  for (const one of wrong) oracle.problem(`${account.name}: in the end ${one}`)
}

/** Acts as a person: redrives dead items, and approves held deletions after reading them. */
const settleByPerson = (simulation: Simulation, account: Account): void => {
  const row = simulation.row(account)
  if (row === undefined) return
  const process = simulation.alive(0)
  const dead = simulation.now(simulation.store.ledger(row.id, { limit: 1000 })).filter(({ state }) => state === "dead")
  if (dead.length > 0) simulation.fork(process, "person", process.engine.retry(row, undefined))
  const held = simulation.now(simulation.store.deletions(row.id, { which: "held", limit: 1000 }))
  if (held.total > 0) {
    account.vanished = undefined
    account.shown = shownOf(held)
    simulation.fork(process, "person", process.person.approveDeletions(row.id, held.token))
  }
  simulation.rest(60_000)
}

/** Syncs again, and checks that nothing changes. */
const repeat = (simulation: Simulation, account: Account): void => {
  const { oracle, store } = simulation
  const row = simulation.row(account)
  if (row === undefined) return
  const process = simulation.alive(0)
  const results: Array<SyncResult> = []
  const sync = () =>
    simulation.fork(process, "person", process.engine.sync(row, poll, { spec: "again", wait: true }), (exit) => {
      if (exit._tag === "Success") results.push(exit.value)
    })
  sync()
  simulation.rest(60_000)
  const place = simulation.now(store.changes({ connectionId: row.id, limit: 10_000 })).next
  const { downloads } = account.source
  sync()
  simulation.rest(60_000)
  const [, result] = results
  if (result === undefined) return oracle.problem(`${account.name}: a second sync did not end`)
  if (result.status !== "succeeded")
    oracle.problem(`${account.name}: a second sync is ${result.status}: ${JSON.stringify(result.error)}`)
  const { counts } = result
  const moved = counts.stored + counts.updated + counts.unchanged + counts.deleted + counts.failed + counts.deferred
  if (moved > 0) oracle.problem(`${account.name}: a second sync did something: ${JSON.stringify(counts)}`)
  if (account.source.downloads !== downloads) oracle.problem(`${account.name}: a second sync downloaded again`)
  const { changes } = simulation.now(Effect.orDie(store.changes({ connectionId: row.id, after: place, limit: 10 })))
  if (changes.length > 0) oracle.problem(`${account.name}: a second sync changed ${changes.length} contents`)
}
