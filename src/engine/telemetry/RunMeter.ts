/**
 * The meter of one run: its calls, units and queries, the time of its last progress, and how long it may wait for
 * quota.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"

/** The calls, units and queries of a run. */
export interface Spent {
  readonly apiCalls: number
  readonly quotaUnits: number
  readonly checkerQueries: number
  readonly downloads: number
}

export interface State extends Spent {
  /** Bytes of bodies that were read and not yet charged to a budget. */
  readonly unchargedBytes: number
  /** When the run last made progress (a call, bytes of a body, a commit), by `monotonicMillis`. */
  readonly movedAt: number
  /** The time until which the run may wait for quota, by `monotonicMillis`. A longer wait makes it yield. */
  readonly waitUntil: number
  /** The wait that exceeded this limit: the slice is over. Undefined if there was none. */
  readonly exhausted: Duration.Duration | undefined
  /** The part of that wait that the source asked for, in this run or in an earlier one. */
  readonly askedWait: Duration.Duration | undefined
  /** The time until which a call waits for quota now, in milliseconds since the epoch; undefined if none waits. */
  readonly waitingUntil: number | undefined
}

export type RunMeter = Ref.Ref<State>

/**
 * Milliseconds of a monotonic clock, to measure how long a run takes. With the system's time, a correction forwards
 * would end a healthy run, and a correction backwards would keep a stalled run going.
 */
export const monotonicMillis: Effect.Effect<number> = Clock.clockWith((clock) =>
  Effect.succeed(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
)

export const nothing: Spent = { apiCalls: 0, quotaUnits: 0, checkerQueries: 0, downloads: 0 }

/** Makes the meter of a run that begins now, and may wait for quota for this long. */
export const make = (waitAtMost: Duration.Duration = Duration.infinity): Effect.Effect<RunMeter> =>
  Effect.flatMap(monotonicMillis, (now) =>
    Ref.make<State>({
      ...nothing,
      unchargedBytes: 0,
      movedAt: now,
      waitUntil: now + Duration.toMillis(waitAtMost),
      exhausted: undefined,
      askedWait: undefined,
      waitingUntil: undefined
    })
  )

export const read: (meter: RunMeter) => Effect.Effect<State> = Ref.get

export const spentOf = ({ apiCalls, checkerQueries, downloads, quotaUnits }: State): Spent => ({
  apiCalls,
  checkerQueries,
  downloads,
  quotaUnits
})

export const spent = (meter: RunMeter): Effect.Effect<Spent> => Effect.map(Ref.get(meter), spentOf)

/** Returns the difference of two readings. */
export const since = (now: Spent, before: Spent): Spent => ({
  apiCalls: now.apiCalls - before.apiCalls,
  checkerQueries: now.checkerQueries - before.checkerQueries,
  downloads: now.downloads - before.downloads,
  quotaUnits: now.quotaUnits - before.quotaUnits
})

/** Records a call to the source. */
export const called = (meter: RunMeter, units: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({
    ...state,
    apiCalls: state.apiCalls + 1,
    quotaUnits: state.quotaUnits + units
  }))

/** Records a query of the checker. */
export const queried = (meter: RunMeter): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, checkerQueries: state.checkerQueries + 1 }))

/** Counts downloads that begin, with which the run moves; -1 takes one back that waited for quota and never began. */
export const downloading = (meter: RunMeter, count: 1 | -1): Effect.Effect<void> =>
  Effect.flatMap(monotonicMillis, (movedAt) =>
    Ref.update(meter, (state) => ({ ...state, downloads: state.downloads + count, movedAt }))
  )

/** Records that this many bytes of a body were read. */
export const bodyRead = (meter: RunMeter, bytes: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, unchargedBytes: state.unchargedBytes + bytes }))

/** Returns the bytes that are not yet charged to a budget, and marks them as charged. */
export const takeUnchargedBytes = (meter: RunMeter): Effect.Effect<number> =>
  Ref.modify(meter, (state) => [state.unchargedBytes, { ...state, unchargedBytes: 0 }])

/** Records progress of the run. */
export const touch = (meter: RunMeter): Effect.Effect<void> =>
  Effect.flatMap(monotonicMillis, (movedAt) => Ref.update(meter, (state) => ({ ...state, movedAt })))

/** Sets the time until which the run may wait for quota, by `monotonicMillis`. */
export const waitUntil = (meter: RunMeter, millis: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, waitUntil: millis }))

/**
 * Records that a call waits for quota until this time, in milliseconds since the epoch; undefined when it continues.
 */
export const waiting = (meter: RunMeter, until: number | undefined): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, waitingUntil: until }))

/** Records that the run would have to wait longer than it may. `isAsked`: the source asked for the wait. */
export const exhausted = (meter: RunMeter, delay: Duration.Duration, isAsked: boolean): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({
    ...state,
    exhausted: longest(state.exhausted, delay),
    askedWait: isAsked ? longest(state.askedWait, delay) : state.askedWait
  }))

const longest = (before: Duration.Duration | undefined, delay: Duration.Duration): Duration.Duration =>
  before === undefined ? delay : Duration.max(before, delay)
