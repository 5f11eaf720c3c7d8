/** A task in a server's hands, watched from here until it ends. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type { Control } from "../../engine/Control.ts"
import type * as Documents from "../../engine/Documents.ts"
import type { SyncResult } from "../../engine/Engine.ts"
import { isPassing } from "./Answers.ts"

type Watched = Pick<Control["Service"], "status" | "task" | "run">

type Options = Pick<Parameters<Control["Service"]["sync"]>[2], "onWait" | "onProgress" | "onTrouble">

/** How often the server is asked: often while a task may be short, then once a second. */
const pace = (asked: number): Duration.Duration => Duration.millis(Math.min(1000, 50 * 1.3 ** asked))

/** A server that is away for less than this while a task is watched is being restarted, perhaps. */
const patience = { schedule: Schedule.spaced("1 second"), times: 30 }

const ended = (connection: string, task: Documents.Task, status: SyncResult["status"], durationMs: number) =>
  ({
    connection,
    run: task.run,
    task: task.task,
    status,
    counts: task.counts,
    durationMs,
    error: task.error,
    notes: task.notes,
    problems: task.problems,
    planned: null
  }) satisfies SyncResult

/** Asks for the task until it has ended. `onWait` is told who runs the connection while the task waits for its turn. */
export const untilEnded = Effect.fnUntraced(function* (
  control: Watched,
  connection: Documents.Connection,
  begun: Documents.Task,
  startedAt: number,
  options: Options
) {
  let task = begun
  let told: string | undefined
  let failed: string | null = null
  for (let asked = 0; ; asked += 1) {
    if (task.status !== "queued" && task.status !== "running") {
      return ended(connection.name, task, task.status, (yield* Clock.currentTimeMillis) - startedAt)
    }
    if (task.status === "queued" && options.onWait !== undefined) {
      const { holder } = yield* control.status(connection.id)
      if (holder !== null && holder !== told) {
        told = holder
        yield* options.onWait(holder)
      }
    }
    // The run that failed last is still the task's last one while the server waits to try again.
    if (task.run !== null && task.run !== failed && options.onTrouble !== undefined) {
      const run: Documents.Run | undefined = yield* Effect.catchTag(control.run(task.run), "NotFound", () =>
        Effect.succeed(undefined)
      )
      if (run?.status === "failed") {
        failed = run.run
        yield* options.onTrouble(run.error?.message ?? "a run of it failed")
      }
    }
    yield* options.onProgress?.({ counts: task.counts, remaining: undefined }) ?? Effect.void
    yield* Effect.sleep(pace(asked))
    task = yield* Effect.retry(control.task(connection.id, begun.task), {
      ...patience,
      while: (error) => error._tag === "StoreError" && isPassing(error.cause)
    })
  }
})
