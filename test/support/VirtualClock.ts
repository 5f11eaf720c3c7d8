/**
 * A clock that stands still while there is work, and jumps to the next wake-up when nothing is running: days of waiting
 * pass in minutes, and every wait has the length that the code requested. Unlike `TestClock`, it advances by itself,
 * and lets external promises (streams, a client library) settle before it jumps.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

interface Sleeper {
  readonly at: number
  /** Undefined after the sleep was interrupted. */
  wake: (() => void) | undefined
}

/** Turns of the event loop without a wake-up after which the work counts as idle. */
const quietTurns = 3

export class VirtualClock implements Clock.Clock {
  #now: number
  /** A binary heap, ordered by time. */
  readonly #sleepers: Array<Sleeper> = []

  constructor(startAt: number) {
    this.#now = startAt
  }

  readonly currentTimeMillisUnsafe = () => this.#now
  readonly currentTimeNanosUnsafe = () => BigInt(Math.round(this.#now)) * 1_000_000n
  readonly monotonicTimeNanosUnsafe = this.currentTimeNanosUnsafe
  readonly currentTimeMillis = Effect.sync(this.currentTimeMillisUnsafe)
  readonly currentTimeNanos = Effect.sync(this.currentTimeNanosUnsafe)
  readonly monotonicTimeNanos = this.currentTimeNanos

  readonly sleep = (duration: Duration.Duration): Effect.Effect<void> =>
    Effect.callback((resume) => {
      const sleeper: Sleeper = { at: this.#now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
      this.#push(sleeper)
      return Effect.sync(() => void (sleeper.wake = undefined))
    })

  /** Runs the work to its end on this clock. */
  readonly run = async <A, E>(work: Effect.Effect<A, E>): Promise<A> => {
    const state = { isOver: false }
    const ended = Effect.runPromise(work).finally(() => (state.isOver = true))
    // The failure is handled by the caller; until then it must not end the process as an unhandled rejection.
    ended.catch(() => undefined)
    while (!state.isOver) {
      for (let turn = 0; turn < quietTurns && !state.isOver; turn++) await new Promise((resume) => setImmediate(resume))
      if (!state.isOver) this.#jump()
    }
    return ended
  }

  /** Jumps to the earliest wake-up, and runs all wake-ups of the same time. */
  #jump(): void {
    let next = this.#pop()
    while (next !== undefined && next.wake === undefined) next = this.#pop()
    if (next === undefined) return
    this.#now = Math.max(this.#now, next.at)
    for (let one: Sleeper | undefined = next; one !== undefined; one = this.#due() ? this.#pop() : undefined)
      one.wake?.()
  }

  #due(): boolean {
    return (this.#sleepers[0]?.at ?? Infinity) <= this.#now
  }

  #push(sleeper: Sleeper): void {
    const heap = this.#sleepers
    let at = heap.push(sleeper) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.at <= sleeper.at) break
      heap[at] = above
      at = parent
    }
    heap[at] = sleeper
  }

  #pop(): Sleeper | undefined {
    const heap = this.#sleepers
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    while (true) {
      const left = 2 * at + 1
      const child = (heap[left + 1]?.at ?? Infinity) < (heap[left]?.at ?? Infinity) ? left + 1 : left
      const below = heap[child]
      if (below === undefined || below.at >= last.at) break
      heap[at] = below
      at = child
    }
    heap[at] = last
    return first
  }
}
