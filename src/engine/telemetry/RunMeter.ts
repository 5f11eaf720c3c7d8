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
  /** Bytes of bodies that were read, and that no budget was charged for yet. */
  readonly unchargedBytes: number
  /** When something last moved (a call, bytes of a body, a commit), by `monotonicMillis`. */
  readonly movedAt: number
  /** Until when the run may wait for quota, by `monotonicMillis`; later it yields instead. */
  readonly waitUntil: number
  /** How long the run would have had to wait beyond that: the slice is over. */
  readonly exhausted: Duration.Duration | undefined
  /** How long of that is a wait that the source asked for, of this run or of an earlier one. */
  readonly askedFor: Duration.Duration | undefined
  /** Milliseconds since the epoch until which a call waits for quota now. */
  readonly waitingUntil: number | undefined
}

export type RunMeter = Ref.Ref<State>

/**
 * Milliseconds of a clock that corrections of the system's time do not move, to measure how long a run takes. By the
 * system's time, a correction forwards would end a healthy run, and one backwards would keep a stalled one going.
 */
export const monotonicMillis: Effect.Effect<number> = Effect.map(
  Clock.monotonicTimeNanos,
  (nanos) => Number(nanos) / 1e6
)

export const nothing: Spent = { apiCalls: 0, quotaUnits: 0, checkerQueries: 0, downloads: 0 }

/** A run that begins now, and may wait for quota for this long. */
export const make = (waitAtMost: Duration.Duration = Duration.infinity): Effect.Effect<RunMeter> =>
  Effect.flatMap(monotonicMillis, (now) =>
    Ref.make<State>({
      ...nothing,
      unchargedBytes: 0,
      movedAt: now,
      waitUntil: now + Duration.toMillis(waitAtMost),
      exhausted: undefined,
      askedFor: undefined,
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

/** A call to the source was made. */
export const called = (meter: RunMeter, units: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({
    ...state,
    apiCalls: state.apiCalls + 1,
    quotaUnits: state.quotaUnits + units
  }))

/** The checker was asked. */
export const queried = (meter: RunMeter): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, checkerQueries: state.checkerQueries + 1 }))

/** Counts downloads that begin, with which the run moves; -1 takes one back that waited for quota and never began. */
export const downloading = (meter: RunMeter, count: 1 | -1): Effect.Effect<void> =>
  Effect.flatMap(monotonicMillis, (movedAt) =>
    Ref.update(meter, (state) => ({ ...state, downloads: state.downloads + count, movedAt }))
  )

/** A body of so many bytes was read. */
export const bodyRead = (meter: RunMeter, bytes: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, unchargedBytes: state.unchargedBytes + bytes }))

/** Returns the bytes that no budget was charged for yet, and takes them as charged. */
export const takeUnchargedBytes = (meter: RunMeter): Effect.Effect<number> =>
  Ref.modify(meter, (state) => [state.unchargedBytes, { ...state, unchargedBytes: 0 }])

/** The run moves. */
export const touch = (meter: RunMeter): Effect.Effect<void> =>
  Effect.flatMap(monotonicMillis, (movedAt) => Ref.update(meter, (state) => ({ ...state, movedAt })))

/** From now on the run may wait for quota until this time, by `monotonicMillis`. */
export const waitUntil = (meter: RunMeter, millis: number): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, waitUntil: millis }))

/** A call waits for quota until this time, in milliseconds since the epoch; undefined when it goes on. */
export const waiting = (meter: RunMeter, until: number | undefined): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({ ...state, waitingUntil: until }))

/** The run would have to wait for this long, which is longer than it may. `isAsked`: since the source asked for it. */
export const exhausted = (meter: RunMeter, delay: Duration.Duration, isAsked: boolean): Effect.Effect<void> =>
  Ref.update(meter, (state) => ({
    ...state,
    exhausted: longest(state.exhausted, delay),
    askedFor: isAsked ? longest(state.askedFor, delay) : state.askedFor
  }))

const longest = (before: Duration.Duration | undefined, delay: Duration.Duration): Duration.Duration =>
  before === undefined ? delay : Duration.max(before, delay)
