/** Decides how a run changes its connection when it ends: the next poll, the pause, and the problems. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Problem } from "../../contract/Page.ts"
import { type Connection, pausedByPerson, type Problems } from "../model/Connection.ts"
import { maxKept } from "../model/Run.ts"
import * as SliceResult from "./SliceResult.ts"

/** The wait after a failed run; it doubles with each failure in a row, up to the longest or the connection's own. */
const firstBackoff = Duration.minutes(1)
const longestBackoff = Duration.hours(1)

/**
 * When the connection is polled next, after this. Jitter keeps a thousand connections from waking at once. A member
 * that is paused stays so at least until then (see Members.ts); another connection, until a person resumes it.
 */
const pollIn = (
  connection: Connection,
  { error, next }: SliceResult.SliceResult,
  failures: number,
  isPaused: boolean
) =>
  Effect.map(Random.nextBetween(0.9, 1.1), (jitter) => {
    if (isPaused) return Duration.times(longestBackoff, jitter)
    if (next._tag === "Wait") return next.delay
    if (error === null) return next._tag === "More" ? Duration.zero : Duration.times(connection.every, jitter)
    const backoff = Duration.times(firstBackoff, 2 ** Math.min(failures - 1, 10))
    return Duration.times(Duration.min(backoff, Duration.max(connection.every, longestBackoff)), jitter)
  })

/**
 * The pause that a run sets, or lifts. A person's pause stays. The release of the lease writes it, under the fence and
 * only where the pause is still what it was when the run began: new credentials take a new fence, and are not paused.
 */
const pauseAfter = (
  { member, paused }: Connection,
  { error }: SliceResult.SliceResult
): { readonly from: string | null; readonly to: string | null } | undefined => {
  if (paused === pausedByPerson) return undefined
  // People read this on the page, in the API and in programs too, so it names no command of one of them.
  const next =
    member === null
      ? "connect it again with new ones"
      : "connect or resume the connection that it is a member of, which tries again every hour"
  switch (error?.reason) {
    case undefined:
      return paused === null ? undefined : { from: paused, to: null }
    case "Unauthorized":
      return { from: paused, to: `the source refuses our credentials (${error?.message}): ${next}` }
    case "Vault":
      // The key has changed, or is lost: no later run could open the credentials. Reading stored content needs no key.
      return { from: paused, to: error?.message ?? null }
    default:
      return undefined
  }
}

/** Each place once, with its latest message. */
const together = (before: ReadonlyArray<Problem>, after: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  [...new Map([...before, ...after].map((problem) => [problem.place, problem])).values()].slice(0, maxKept)

/**
 * The problems of a connection after a slice of its own. The end of a poll replaces those of the poll before.
 */
const problemsAfter = ({ problems: { current, found } }: Connection, result: SliceResult.SliceResult): Problems => {
  const all = together(found, result.problems)
  return SliceResult.isDone(result) && !result.isEarly
    ? { current: all, found: [] }
    : { current: together(current, result.problems), found: all }
}

/**
 * Returns the fields that are written with the end of the lease. `isLive`: the run was the connection's own sync, so
 * the schedule moves.
 *
 * The write is one fenced statement: a superseded run changes nothing.
 */
export const after = Effect.fnUntraced(function* (
  connection: Connection,
  result: SliceResult.SliceResult,
  isLive: boolean
) {
  const failures = result.error === null ? 0 : connection.failures + 1
  const paused = pauseAfter(connection, result)
  const isPaused = paused !== undefined && paused.to !== null
  const isResumed = paused !== undefined && paused.to === null
  const wait = result.next._tag === "Wait" ? result.next : undefined
  return {
    paused,
    // A run that failed may have left its row open, where the store failed too.
    interrupted: result.error !== null,
    // The listing comes before the retries, so a run that failed or has to wait may have tried none of those that are
    // due. They would make the connection due at once, and again after each such run.
    retriesWait: result.error !== null || wait !== undefined,
    // The wait holds for every run of the account, not only for polls.
    askedWait: wait === undefined ? (isLive ? null : undefined) : wait.asked,
    ...(isLive
      ? {
          // An early poll that left nothing leaves the schedule as it is: hints without end would otherwise put off the
          // next poll for ever.
          pollIn:
            result.isEarly && SliceResult.isDone(result)
              ? undefined
              : yield* pollIn(connection, result, failures, isPaused),
          failures,
          changesRead: result.changesRead,
          problems: problemsAfter(connection, result),
          checked: result.error === null && wait?.asked === undefined && !result.isEarly
        }
      : {}),
    // A connection that works again is due at once, after any kind of run.
    ...(!isLive && isResumed ? { pollIn: Duration.zero, failures: 0 } : {})
  }
})
