/** Decides how a run changes its connection when it ends: the time of the next poll, the pause, and the problems. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Problem } from "../../contract/Page.ts"
import { type Connection, pausedByPerson, type Problems } from "../model/Connection.ts"
import { maxKept } from "../model/Run.ts"
import * as SliceResult from "./SliceResult.ts"

/**
 * The wait after a failed run. It doubles with each failure in a row, up to the larger of `longestBackoff` and the
 * connection's own interval.
 */
const firstBackoff = Duration.minutes(1)
const longestBackoff = Duration.hours(1)

/**
 * Returns the time until the next poll. Jitter keeps a thousand connections from waking at once. A paused member is not
 * retried before that (see Members.ts); any other paused connection waits for a person.
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
 * Returns the pause that a run sets or ends. A pause by a person stays. The pause is written when the lease is
 * released, under the fence, and only if the connection's pause is still what it was when the run began: a change of
 * credentials takes a new fence, so that the run can't pause the connection with its new credentials.
 */
const pauseAfter = (
  { member, paused }: Connection,
  { error }: SliceResult.SliceResult
): { readonly from: string | null; readonly to: string | null } | undefined => {
  if (paused === pausedByPerson) return undefined
  // The text also appears on the dashboard, in the API and in programs, so it names no command.
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
      // The key has changed or is lost, so no later run could open the credentials. Reading stored content needs no
      // key.
      return { from: paused, to: error?.message ?? null }
    default:
      return undefined
  }
}

/** Joins the problems: each place once, with its latest message. */
const together = (before: ReadonlyArray<Problem>, after: ReadonlyArray<Problem>): ReadonlyArray<Problem> =>
  [...new Map([...before, ...after].map((problem) => [problem.place, problem])).values()].slice(0, maxKept)

/**
 * Returns the problems of a connection after a slice of its own. The end of a poll replaces the problems of the
 * previous poll.
 */
const problemsAfter = ({ problems: { current, found } }: Connection, result: SliceResult.SliceResult): Problems => {
  const all = together(found, result.problems)
  return SliceResult.isDone(result) && !result.hintedOnly
    ? { current: all, found: [] }
    : { current: together(current, result.problems), found: all }
}

/**
 * Returns the fields that are written when the lease is released. `isLive`: the run was the connection's own sync, so
 * the schedule changes.
 *
 * The write is one fenced statement: a superseded run changes nothing.
 */
export const make = Effect.fnUntraced(function* (
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
    // The row of a failed run may still be open, if the store failed too.
    interrupted: result.error !== null,
    // Retries run after the listing, so a run that failed or has to wait may not have tried the rows that are due. They
    // would make the connection due at once, again after each such run.
    retriesWait: result.error !== null || wait !== undefined,
    // The wait applies to every run of the account, not only to polls.
    askedWait: wait === undefined ? (isLive ? null : undefined) : wait.askedWait,
    ...(isLive
      ? {
          // A poll of hinted parts that left nothing does not change the schedule: otherwise a steady stream of hints
          // would put off the next poll for ever.
          pollIn:
            result.hintedOnly && SliceResult.isDone(result)
              ? undefined
              : yield* pollIn(connection, result, failures, isPaused),
          failures,
          changesRead: result.changesRead,
          problems: problemsAfter(connection, result),
          checked: result.error === null && wait?.askedWait === undefined && !result.hintedOnly
        }
      : {}),
    // A connection that works again is due at once, after any kind of run.
    ...(!isLive && isResumed ? { pollIn: Duration.zero, failures: 0 } : {})
  }
})
