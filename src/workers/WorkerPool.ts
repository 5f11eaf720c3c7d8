/**
 * Worker threads that read untrusted bytes. A file can be made so that reading it takes minutes or all memory, for
 * example by a hundred thousand nested elements, and this process must go on meanwhile. A thread has bounds of time and
 * memory, and no access to the environment's secrets; one that exceeds its bounds is ended. Threads stay warm for a
 * while, because starting one takes longer than reading most files.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Worker } from "node:worker_threads"

/** The thread gave no answer: it exceeded a bound, or it could not read what it was given. */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  reason: Schema.Literals(["time", "memory", "unreadable"]),
  message: Schema.String
}) {}

/** A message of a thread: part of the answer ahead of the rest, the answer, or that there is none. */
export type Reply<Answer, Partial = never> =
  | { readonly partial: Partial }
  | { readonly answer: Answer }
  | { readonly failed: true }

export interface Options {
  /** The path of the thread's program, which answers each question with one or more `Reply`. */
  readonly program: string
  /** Threads at the same time. Each holds what it reads in memory several times over. */
  readonly atOnce: number
  /** How long an answer may take, the start of a thread included. */
  readonly longest: Duration.Duration
  /** The bound of a thread's heap. Buffers outside the heap have twice that. */
  readonly megabytes: number
}

/** How long an idle thread is kept. */
const keptWarm = Duration.minutes(10)

/** A thread that has read more bytes in one question is replaced, because its heap stays large. */
const recycledAbove = 1_000_000

/** How often the buffers of a busy thread are measured: `resourceLimits` do not count them. */
const measuredEvery = Duration.millis(100)

const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "ERR_WORKER_OUT_OF_MEMORY"

/**
 * A pool whose threads end with the scope. `ask` sends a question to a thread that is free, and waits for its answer.
 */
export const make = Effect.fnUntraced(function* <Question, Answer, Partial = never>(options: Options) {
  const { atOnce, longest, megabytes, program } = options
  const tooMuch = new WorkerFailed({ reason: "memory", message: `reading it took more than ${megabytes} MB` })
  const unreadable = new WorkerFailed({ reason: "unreadable", message: "it cannot be read" })
  const tooLong = new WorkerFailed({
    reason: "time",
    message: `reading it took longer than ${Duration.format(longest)}`
  })

  const thread = Effect.acquireRelease(
    Effect.sync(
      () => new Worker(program, { env: {}, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: megabytes } })
    ),
    (worker) => Effect.promise(() => worker.terminate())
  )
  const pool = yield* Pool.makeWithTTL({ acquire: thread, min: 0, max: atOnce, timeToLive: keptWarm })

  const answerOf = (worker: Worker, question: Question, onPartial: (partial: Partial) => void) =>
    Effect.callback<Answer, WorkerFailed>((resume) => {
      const detach = () => {
        worker.off("message", replied).off("error", failed).off("exit", exited)
      }
      const failed = (error: unknown) => {
        detach()
        resume(Effect.fail(isOutOfMemory(error) ? tooMuch : unreadable))
      }
      const exited = () => failed(undefined)
      const replied = (reply: Reply<Answer, Partial>) => {
        if ("partial" in reply) return onPartial(reply.partial)
        if ("failed" in reply) return failed(undefined)
        detach()
        resume(Effect.succeed(reply.answer))
      }
      worker.on("message", replied).on("error", failed).on("exit", exited)
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      worker.postMessage(question)
      return Effect.sync(detach)
    })

  /** Fails once the thread's buffers exceed their bound. A thread that has ended is measured no more. */
  const watched = (worker: Worker) =>
    Effect.promise(() => worker.getHeapStatistics().catch(() => undefined)).pipe(
      Effect.filterOrFail(
        (found) => found === undefined || found.external_memory <= 2 * megabytes * 1024 * 1024,
        () => tooMuch
      ),
      Effect.delay(measuredEvery),
      Effect.repeat(Schedule.forever),
      Effect.andThen(Effect.never)
    )

  /**
   * `question` is evaluated once a thread is free, so that few questions are held in memory at a time. `size` gives
   * its bytes.
   */
  const ask = <E>(
    question: Effect.Effect<Question, E>,
    size: (question: Question) => number,
    onPartial: (partial: Partial) => void = () => undefined
  ) =>
    Effect.gen(function* () {
      const worker = yield* Pool.get(pool)
      const asked = yield* question
      return yield* Effect.raceFirst(answerOf(worker, asked, onPartial), watched(worker)).pipe(
        Effect.timeoutOrElse({ duration: longest, orElse: () => Effect.fail(tooLong) }),
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) && size(asked) <= recycledAbove ? Effect.void : Pool.invalidate(pool, worker)
        )
      )
    }).pipe(Effect.scoped)

  return { ask }
})
