/**
 * Processes that read untrusted bytes. A file can be made so that reading it takes minutes or all memory, for example
 * by a hundred thousand nested elements, and this process must go on meanwhile. A worker process has bounds of time and
 * memory, and no access to the environment's secrets; one that exceeds its bounds is ended. Threads would not do: V8
 * ends the whole process where a single allocation of a thread exceeds its bound (nodejs/node#47224). Workers stay warm
 * for a while, because starting one takes longer than reading most files.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pool from "effect/Pool"
import * as Schema from "effect/Schema"
import { type ChildProcess, fork, type Serializable } from "node:child_process"

/** The worker gave no answer: it exceeded a bound, or it could not read what it was given. */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  reason: Schema.Literals(["time", "memory", "unreadable"]),
  message: Schema.String
}) {}

/** A message of a worker: part of the answer ahead of the rest, the answer, or that there is none. */
export type Reply<Answer, Partial = never> =
  | { readonly partial: Partial }
  | { readonly answer: Answer }
  | { readonly failed: true }

export interface Options {
  /** The path of the worker's program, which calls `WorkerProcess.serve`. */
  readonly program: string
  /** Workers at the same time. Each holds what it reads in memory several times over. */
  readonly atOnce: number
  /** The processor time that an answer may take: a busy machine does not make it shorter. */
  readonly longest: Duration.Duration
  /** The bound of a worker's heap. The process as a whole has three times that, beside what Node itself takes. */
  readonly megabytes: number
}

/** How long an idle worker is kept. */
const keptWarm = Duration.minutes(10)

/** A worker that has read more bytes in one question is replaced, because its heap stays large. */
const recycledAbove = 1_000_000

/** An answer is given up after this many times its processor time by the clock. */
const mostWaiting = 10

/** Megabytes that Node and the programs take before anything is read. */
const ownMegabytes = 160

/** V8 aborts a process whose heap is full; the worker itself, or the system, kills one that takes too much memory. */
const isOutOfMemory = (code: number | null, signal: string | null): boolean =>
  signal === "SIGABRT" || signal === "SIGKILL" || code === 134

/** The signal that ends a worker which has taken too much processor time. */
const timeSignal = "SIGVTALRM"

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null

/**
 * A pool whose workers end with the scope. `ask` sends a question to a worker that is free, and waits for its answer.
 */
export const make = Effect.fnUntraced(function* <Question extends Serializable, Answer, Partial = never>(
  options: Options
) {
  const { atOnce, longest, megabytes, program } = options
  const tooMuch = new WorkerFailed({ reason: "memory", message: `reading it took more than ${megabytes} MB` })
  const unreadable = new WorkerFailed({ reason: "unreadable", message: "it cannot be read" })
  const tooLong = new WorkerFailed({
    reason: "time",
    message: `reading it took more than ${Duration.format(longest)} of processor time`
  })

  const start = Effect.acquireRelease(
    Effect.sync(() => {
      const bounds = [(3 * megabytes + ownMegabytes) * 1024 * 1024, Duration.toMillis(longest)]
      const worker = fork(program, bounds.map(String), {
        env: {},
        execArgv: [`--max-old-space-size=${megabytes}`],
        serialization: "advanced",
        stdio: ["ignore", "ignore", "ignore", "ipc"]
      })
      // A system without room for a process says so later: `ask` looks whether the worker lives.
      return worker.on("error", () => undefined)
    }),
    (worker) => Effect.sync(() => worker.kill("SIGKILL"))
  )
  const pool = yield* Pool.makeWithTTL({ acquire: start, min: 0, max: atOnce, timeToLive: keptWarm })

  const answerOf = (worker: ChildProcess, question: Question, onPartial: (partial: Partial) => void) =>
    Effect.callback<Answer, WorkerFailed>((resume) => {
      const detach = () => {
        worker.off("message", replied).off("error", failed).off("exit", exited)
      }
      const end = (result: Effect.Effect<Answer, WorkerFailed>) => {
        detach()
        resume(result)
      }
      const exited = (code: number | null, signal: string | null) =>
        end(Effect.fail(signal === timeSignal ? tooLong : isOutOfMemory(code, signal) ? tooMuch : unreadable))
      // The worker could not be started, or is gone: the file may be good.
      const failed = () => end(Effect.fail(tooMuch))
      const replied = (message: unknown) => {
        // The program is our own.
        const reply = message as Reply<Answer, Partial>
        if ("partial" in reply) return onPartial(reply.partial)
        end("failed" in reply ? Effect.fail(unreadable) : Effect.succeed(reply.answer))
      }
      worker.on("message", replied).on("error", failed).on("exit", exited)
      worker.send(question, (error) => {
        if (error !== null) failed()
      })
      return Effect.sync(detach)
    })

  /**
   * `question` is evaluated once a worker is free, so that few questions are held in memory at a time. `size` gives
   * its bytes.
   */
  const ask = <E>(
    question: Effect.Effect<Question, E>,
    size: (question: Question) => number,
    onPartial: (partial: Partial) => void = () => undefined
  ): Effect.Effect<Answer, E | WorkerFailed> =>
    Effect.gen(function* () {
      const worker = yield* Pool.get(pool)
      const asked = yield* question
      if (worker.pid === undefined || hasEnded(worker)) {
        yield* Pool.invalidate(pool, worker)
        // A worker that could not be started, or that ended while it was idle, for example by the system.
        return yield* worker.pid === undefined ? Effect.fail(tooMuch) : Effect.succeedNone
      }
      return yield* answerOf(worker, asked, onPartial).pipe(
        Effect.timeoutOrElse({ duration: Duration.times(longest, mostWaiting), orElse: () => Effect.fail(tooLong) }),
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) && size(asked) <= recycledAbove ? Effect.void : Pool.invalidate(pool, worker)
        ),
        Effect.asSome
      )
    }).pipe(
      Effect.scoped,
      Effect.flatMap(Option.match({ onNone: () => ask(question, size, onPartial), onSome: Effect.succeed }))
    )

  return { ask }
})
