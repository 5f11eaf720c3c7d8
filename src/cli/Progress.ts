/** The progress line of a sync on a terminal: listed, downloaded, rate, remaining time. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Progress } from "../engine/Engine.ts"
import * as ProgressEstimate from "../engine/model/ProgressEstimate.ts"
import * as RunCounts from "../engine/model/RunCounts.ts"
import * as TextFormat from "./TextFormat.ts"

/** Shorter waits are not shown, but counted in the rate. */
const shownWait = 3_000

const clock = (millis: number): string => {
  const at = new Date(millis)
  const two = (value: number) => String(value).padStart(2, "0")
  return `${two(at.getHours())}:${two(at.getMinutes())}`
}

/**
 * Formats the progress of a sync in one line. `elapsed` and `now` are in milliseconds; the end of a wait is in local
 * time.
 */
export const line = (
  progress: Progress,
  estimate: ProgressEstimate.Estimate,
  { elapsed, now }: { readonly elapsed: number; readonly now: number }
): string => {
  const { counts, waitingUntil } = progress
  const [known] = RunCounts.sides(counts)
  const { expected, remainingMs } = estimate
  // Downloads of a page begin before the page is counted as listed.
  const listed = Math.max(known, counts.downloads)
  const parts = [
    `${TextFormat.count(listed)}${expected === undefined || expected <= listed ? "" : ` of about ${TextFormat.count(expected)}`} listed`,
    `${TextFormat.count(counts.downloads)} downloaded`
  ]
  if (counts.failed > 0) parts.push(`${TextFormat.count(counts.failed)} failed`)
  if (waitingUntil !== undefined && waitingUntil - now > shownWait) {
    parts.push(`paused for quota until ${clock(waitingUntil)}`)
    return parts.join(" · ")
  }
  parts.push(`${(counts.downloads / (Math.max(elapsed, 1) / 1000)).toFixed(1)}/s`)
  if (remainingMs !== undefined) parts.push(`${TextFormat.about(Duration.millis(remainingMs))} left`)
  return parts.join(" · ")
}

/** Draws on stderr until its scope closes. Only for a terminal. `size` runs once, at the first drawing. */
export const make = Effect.fnUntraced(function* (
  name: string,
  size: Effect.Effect<ProgressEstimate.SyncSize>
): Effect.fn.Return<(progress: Progress) => Effect.Effect<void>, never, Scope.Scope> {
  // Loaded only for a terminal, so that commands start faster.
  const { default: cliProgress } = yield* Effect.promise(() => import("cli-progress"))
  const started = yield* Clock.currentTimeMillis
  const known = yield* Effect.cached(size)
  let estimate: ProgressEstimate.Estimate | undefined
  const bar = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = new cliProgress.SingleBar({
        stream: process.stderr,
        format: (_options, { progress, total }, payload: { readonly said: string }) => {
          const filled = Math.round(progress * 20)
          const gauge = total > 0 ? `${"█".repeat(filled)}${"░".repeat(20 - filled)} ` : ""
          return `${TextFormat.short(name, 30)} ${gauge}${payload.said}`
        },
        hideCursor: true,
        clearOnComplete: true,
        stopOnComplete: false,
        gracefulExit: false,
        linewrap: false
      })
      made.start(0, 0, { said: "starting" })
      return made
    }),
    (made) => Effect.sync(() => made.stop())
  )
  return Effect.fnUntraced(function* (progress) {
    const now = yield* Clock.currentTimeMillis
    const elapsed = now - started
    const [occurrences, ended] = RunCounts.sides(progress.counts)
    const next = ProgressEstimate.next(
      estimate,
      { known: occurrences, ended, remaining: progress.remaining },
      { ...(yield* known), elapsedMs: elapsed }
    )
    estimate = next
    // In thousandths, so that the bar never moves backwards.
    bar.setTotal(next.fraction === undefined ? 0 : 1000)
    bar.update(Math.round((next.fraction ?? 0) * 1000), { said: line(progress, next, { elapsed, now }) })
  })
})
