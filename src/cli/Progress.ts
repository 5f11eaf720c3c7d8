/** The progress line of a sync on a terminal: listed, downloaded, rate, remaining time. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Progress } from "../engine/Engine.ts"
import type { Counts } from "../engine/model/RunCounts.ts"
import * as Text from "./TextFormat.ts"

/** The number of ids with an outcome. */
const ended = (counts: Counts): number =>
  counts.existing + counts.stored + counts.updated + counts.unchanged + counts.failed + counts.gone + counts.deferred

/** The progress of a sync in one line. `elapsed` is in milliseconds. */
export const line = (progress: Progress, elapsed: number): string => {
  const { counts, remaining } = progress
  const seconds = Math.max(elapsed, 1) / 1000
  const done = ended(counts)
  const left = Math.max(0, counts.listed + counts.forced + counts.retried - done) + (remaining ?? 0)
  const parts = [`${Text.count(counts.listed)} listed`, `${Text.count(counts.downloads)} downloaded`]
  if (counts.failed > 0) parts.push(`${Text.count(counts.failed)} failed`)
  parts.push(`${(counts.downloads / seconds).toFixed(1)}/s`)
  if (remaining !== undefined && done > 0 && left > 0) {
    parts.push(`${Text.about(Duration.millis((left * elapsed) / done))} left`)
  }
  return parts.join(" · ")
}

/** Draws on stderr until its scope closes. Only for a terminal. */
export const make = Effect.fnUntraced(function* (
  name: string
): Effect.fn.Return<(progress: Progress) => Effect.Effect<void>, never, Scope.Scope> {
  // Loaded only for a terminal, because every command would pay for it at its start.
  const { default: cliProgress } = yield* Effect.promise(() => import("cli-progress"))
  const started = yield* Clock.currentTimeMillis
  const bar = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const made = new cliProgress.SingleBar({
        stream: process.stderr,
        format: (_options, { progress, value, total }, payload: { readonly said: string }) => {
          const filled = Math.round(progress * 20)
          const gauge = total > value || total > 0 ? `${"█".repeat(filled)}${"░".repeat(20 - filled)} ` : ""
          return `${Text.short(name, 30)} ${gauge}${payload.said}`
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
  return (progress) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const { counts, remaining } = progress
      const done = ended(counts)
      bar.setTotal(Math.max(done, counts.listed + counts.forced + counts.retried) + (remaining ?? 0))
      bar.update(done, { said: line(progress, now - started) })
    })
})
