/**
 * Runs worker processes that read untrusted bytes. A malicious file can take minutes or all memory to read, for example
 * with a hundred thousand nested elements, and must not block this process. A worker has bounds on time and memory, and
 * no access to secrets in the environment; a worker that exceeds its bounds is ended. Threads would not be enough: V8
 * ends the whole process if a single allocation of a thread exceeds its bound (nodejs/node#47224). Workers are kept for
 * a while, because starting one takes longer than reading most files.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pool from "effect/Pool"
import * as Schema from "effect/Schema"
import { type ChildProcess, fork, type Serializable } from "node:child_process"
import * as Module from "node:module"

/** The worker gave no answer: it exceeded a bound, or it could not read its input. */
export class WorkerFailed extends Schema.TaggedError<WorkerFailed>()("WorkerFailed", {
  reason: Schema.Literals(["time", "memory", "unreadable"]),
  message: Schema.String
}) {}

/** A message of a worker: a part of the answer, the whole answer, or a failure. */
export type Reply<Answer, Partial = never> =
  | { readonly partial: Partial }
  | Answered<Answer>
  | { readonly failed: true }

interface Answered<Answer> {
  readonly answer: Answer
  /** True if the worker has grown beyond the memory that an idle one may keep. */
  readonly isLarge: boolean
}

export interface Options {
  /** The path of the worker's program, which calls `WorkerProcess.serve`. */
  readonly program: string
  /** The number of workers at the same time. Each holds its input in memory several times over. */
  readonly atOnce: number
  /**
   * The most processor time that an answer may take. Unlike elapsed time, it does not depend on how busy the machine
   * is.
   */
  readonly longest: Duration.Duration
  /**
   * The limit of a worker's heap. The limit of the whole process is three times that, plus the memory of Node itself.
   */
  readonly megabytes: number
}

const megabyte = 1024 * 1024

/** How long an idle worker is kept. */
const keptWarm = Duration.minutes(10)

/** The limit of elapsed time for an answer, as a multiple of its processor time. */
const mostWaiting = 10

/** The megabytes that Node and the programs use before they read anything. */
const ownMegabytes = 160

/** A worker is replaced if an answer leaves it with more than its own megabytes and this share of its heap's limit. */
const keptShare = 1 / 4

/**
 * Returns true if the process ran out of memory: V8 aborts it if its heap is full; the worker itself, or the system,
 * kills it if it uses too much memory.
 */
const isOutOfMemory = (code: number | null, signal: string | null): boolean =>
  signal === "SIGABRT" || signal === "SIGKILL" || code === 134

/** The signal that ends a worker which has taken too much processor time. */
const timeSignal = "SIGVTALRM"

const hasEnded = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null

/** Makes a pool whose workers end with the scope. `ask` sends a question to a free worker, and waits for its answer. */
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
      const mostMegabytes = 3 * megabytes + ownMegabytes
      const keptMegabytes = keptShare * megabytes + ownMegabytes
      const bounds = [mostMegabytes * megabyte, Duration.toMillis(longest), keptMegabytes * megabyte]
      const compileCache = Module.getCompileCacheDir()
      const worker = fork(program, bounds.map(String), {
        env: compileCache === undefined ? {} : { NODE_COMPILE_CACHE: compileCache },
        execArgv: [`--max-old-space-size=${megabytes}`],
        serialization: "advanced",
        stdio: ["ignore", "ignore", "ignore", "ipc"]
      })
      // If the system can't start another process, that is reported later: `ask` checks whether the worker is alive.
      return worker.on("error", () => undefined)
    }),
    (worker) => Effect.sync(() => worker.kill("SIGKILL"))
  )
  const pool = yield* Pool.makeWithTTL({ acquire: start, min: 0, max: atOnce, timeToLive: keptWarm })

  const answerOf = (worker: ChildProcess, question: Question, onPartial: (partial: Partial) => void) =>
    Effect.callback<Answered<Answer>, WorkerFailed>((resume) => {
      const detach = () => {
        worker.off("message", replied).off("error", failed).off("exit", exited)
      }
      const end = (result: Effect.Effect<Answered<Answer>, WorkerFailed>) => {
        detach()
        resume(result)
      }
      const exited = (code: number | null, signal: string | null) =>
        end(Effect.fail(signal === timeSignal ? tooLong : isOutOfMemory(code, signal) ? tooMuch : unreadable))
      // The worker could not be started, or has ended: the file itself may be readable.
      const failed = () => end(Effect.fail(tooMuch))
      const replied = (message: unknown) => {
        // The message comes from our own program.
        const reply = message as Reply<Answer, Partial>
        if ("partial" in reply) return onPartial(reply.partial)
        end("failed" in reply ? Effect.fail(unreadable) : Effect.succeed(reply))
      }
      worker.on("message", replied).on("error", failed).on("exit", exited)
      worker.send(question, (error) => {
        if (error !== null) failed()
      })
      return Effect.sync(detach)
    })

  /**
   * Asks a worker. `question` is evaluated once a worker is free, so that few questions are in memory at a time.
   */
  const ask = <E>(
    question: Effect.Effect<Question, E>,
    onPartial: (partial: Partial) => void = () => undefined
  ): Effect.Effect<Answer, E | WorkerFailed> =>
    Effect.gen(function* () {
      const worker = yield* Pool.get(pool)
      const asked = yield* question
      if (worker.pid === undefined || hasEnded(worker)) {
        yield* Pool.invalidate(pool, worker)
        // The worker could not be started, or ended while it was idle, for example by the system.
        return yield* worker.pid === undefined ? Effect.fail(tooMuch) : Effect.succeedNone
      }
      return yield* answerOf(worker, asked, onPartial).pipe(
        Effect.timeoutOrElse({ duration: Duration.times(longest, mostWaiting), orElse: () => Effect.fail(tooLong) }),
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) && !exit.value.isLarge ? Effect.void : Pool.invalidate(pool, worker)
        ),
        Effect.map(({ answer }) => Option.some(answer))
      )
    }).pipe(
      Effect.scoped,
      Effect.flatMap(Option.match({ onNone: () => ask(question, onPartial), onSome: Effect.succeed }))
    )

  return { ask }
})
