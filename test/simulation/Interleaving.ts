/**
 * An Effect scheduler and a clock under the control of one seed. The scheduler keeps runnable tasks in a pool and picks
 * the next one at random; it also preempts a fiber after a random number of operations. The clock stands still until
 * the simulation moves it. Nothing here waits for the event loop: a simulation is one synchronous computation.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Scheduler, SchedulerDispatcher } from "effect/Scheduler"
import type { Random } from "../chaos/Random.ts"
import { Caller } from "./Caller.ts"

/** The mean number of operations between two preemptions. */
const meanQuantum = 40

export class Interleaving implements Scheduler, SchedulerDispatcher {
  readonly executionMode = "async"
  /** While true no fiber is preempted: a transaction of the memory store is one step. */
  isAtomic = false
  readonly #random: Random
  readonly #tasks: Array<() => void> = []
  #quantum = meanQuantum

  constructor(random: Random) {
    this.#random = random
  }

  shouldYield(): boolean {
    this.#quantum -= 1
    if (this.#quantum > 0 || this.isAtomic) return false
    this.#quantum = this.#random.between(1, 2 * meanQuantum)
    return true
  }

  makeDispatcher(): SchedulerDispatcher {
    return this
  }

  scheduleTask(task: () => void): void {
    this.#tasks.push(task)
  }

  /** Runs one task; false if there is none. */
  step(): boolean {
    const last = this.#tasks.length - 1
    if (last < 0) return false
    const at = last === 0 ? 0 : this.#random.between(0, last)
    const task = this.#tasks[at]
    const moved = this.#tasks.pop()
    if (at !== last && moved !== undefined) this.#tasks[at] = moved
    task?.()
    return true
  }

  flush(): void {
    while (this.step());
  }
}

interface Timer {
  /** The timers of a dead process go with it. */
  readonly owner: Caller["process"]
  readonly at: number
  readonly wake: () => void
}

export class VirtualClock implements Clock.Clock {
  #now: number
  /** The earliest is the last. */
  readonly #timers: Array<Timer> = []

  constructor(now: number) {
    this.#now = now
  }

  currentTimeMillisUnsafe(): number {
    return this.#now
  }
  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#now)
  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.floor(this.#now)) * 1_000_000n
  }
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() => this.currentTimeNanosUnsafe())
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
  readonly monotonicTimeNanos: Effect.Effect<bigint> = this.currentTimeNanos

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis <= 0) return Effect.yieldNow
    if (!Number.isFinite(millis)) return Effect.never
    return Effect.flatMap(Caller, ({ process }) =>
      Effect.callback((resume) => {
        const wake = () => resume(Effect.void)
        const timer: Timer = { at: this.#now + millis, owner: process, wake }
        let at = this.#timers.length
        while (at > 0 && (this.#timers[at - 1]?.at ?? Infinity) <= timer.at) at -= 1
        this.#timers.splice(at, 0, timer)
        return Effect.sync(() => {
          const index = this.#timers.indexOf(timer)
          if (index !== -1) this.#timers.splice(index, 1)
        })
      })
    )
  }

  /** When the next timer is due. */
  get next(): number | undefined {
    while (this.#timers.at(-1)?.owner.dead === true) this.#timers.pop()
    return this.#timers.at(-1)?.at
  }

  /** Moves to this time, which is at most that of the next timer, and hands over the timers that are due then. */
  moveTo(time: number, schedule: (task: () => void) => void): void {
    this.#now = Math.max(this.#now, time)
    while ((this.next ?? Infinity) <= this.#now) {
      const timer = this.#timers.pop()
      if (timer !== undefined) schedule(timer.wake)
    }
  }
}
