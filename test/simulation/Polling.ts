/** The polls of a simulation: their times and their processes. */
import * as Effect from "effect/Effect"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import type { Process } from "./Process.ts"
import type { Simulation } from "./Simulation.ts"

/** The most polls of one simulation: more of them mean that a connection never comes to rest. */
const atMost = 2000

export class Polling {
  readonly #simulation: Simulation
  /** The processes that are polling each connection. */
  readonly #processes = new Map<ConnectionId, Array<Process>>()
  #count = 0

  constructor(simulation: Simulation) {
    this.#simulation = simulation
  }

  /** Polls the connections that are due and not being polled. Returns true if it polled any. */
  wakeDue(): boolean {
    const { store } = this.#simulation
    let isWoken = false
    for (const { connectionId, requested } of this.#simulation.now(store.due(10))) {
      const polling = this.#processes.get(connectionId) ?? []
      if (polling.every((process) => process.dead)) {
        isWoken = true
        this.poll(connectionId, requested)
      }
    }
    return isWoken
  }

  /** Delivers hints to this process, which polls if they request a poll. */
  hint(process: Process, connectionId: ConnectionId): void {
    this.#fork(process, connectionId, Scheduler.pollHinted(connectionId))
  }

  /** Wakes a connection. A wake-up may come twice or without a reason. */
  poll(connectionId: ConnectionId, requested: boolean, process = this.#anyProcess()): void {
    this.#simulation.say(() => `${process.name}: poll of ${connectionId.slice(-4)}${requested ? ", requested" : ""}`)
    this.#fork(process, connectionId, Scheduler.poll(connectionId, { requested }))
  }

  #anyProcess(): Process {
    return this.#simulation.alive(this.#simulation.random.next())
  }

  #fork(
    process: Process,
    connectionId: ConnectionId,
    slice: ReturnType<typeof Scheduler.poll | typeof Scheduler.pollHinted>
  ): void {
    this.#count += 1
    if (this.#count > atMost) {
      if (this.#count === atMost + 1) this.#simulation.oracle.problem(`more than ${atMost} polls`)
      return
    }
    const polling = this.#processes.get(connectionId) ?? []
    polling.push(process)
    this.#processes.set(connectionId, polling)
    this.#simulation.fork(process, "poll", Effect.provide(slice, process.context), () => {
      polling.splice(polling.indexOf(process), 1)
    })
  }
}
