/**
 * An Effect scheduler and a clock that are controlled by one seed. The scheduler keeps runnable tasks in a pool and
 * picks the next one at random; it also preempts a fiber after a random number of operations. The clock stands still
 * until the simulation moves it. No operation waits for the event loop: a simulation is one synchronous computation.
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
  /** True to preempt no fiber, because a transaction of the memory store is one step. */
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

  /** Runs one task; returns false if no task is runnable. */
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
  /** The process of the timer. A dead process loses its timers. */
  readonly owner: Caller["process"]
  readonly at: number
  readonly wake: () => void
}

export class VirtualClock implements Clock.Clock {
  #now: number
  /** Sorted by time; the earliest timer is last. */
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

  /** Returns when the next timer is due. */
  get next(): number | undefined {
    while (this.#timers.at(-1)?.owner.dead === true) this.#timers.pop()
    return this.#timers.at(-1)?.at
  }

  /**
   * Moves the clock to this time, which is at most that of the next timer, and schedules the timers that are due then.
   */
  moveTo(time: number, schedule: (task: () => void) => void): void {
    this.#now = Math.max(this.#now, time)
    while ((this.next ?? Infinity) <= this.#now) {
      const timer = this.#timers.pop()
      if (timer !== undefined) schedule(timer.wake)
    }
  }
}
