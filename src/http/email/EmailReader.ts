/**
 * Reads emails in worker threads. An email can be made so that reading it takes minutes or all memory, for example by a
 * hundred thousand nested elements, and this process must go on meanwhile. A thread has bounds of time and memory, and
 * no access to the environment's secrets. Threads stay warm for a while, because starting one takes longer than reading
 * most emails.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pool from "effect/Pool"
import * as Schema from "effect/Schema"
import * as Path from "node:path"
import { Worker } from "node:worker_threads"
import type * as EmailRenderer from "./EmailRenderer.ts"

/** The email could not be read within the bounds, or not at all. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { message: Schema.String }) {}

/** How long reading one email may take, the start of a thread included. */
const longest = Duration.seconds(10)

const megabytes = 384

/** Emails that are read at the same time. Each is held in memory several times over. */
const atOnce = 2

/** How long an idle thread is kept. */
const keptWarm = Duration.minutes(10)

/** A thread that has read an email of more bytes is replaced, because its heap stays large. */
const recycledAbove = 1_000_000

// As this file is: TypeScript here, and JavaScript in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

const thread = Effect.acquireRelease(
  Effect.sync(
    () => new Worker(program, { env: {}, execArgv: [], resourceLimits: { maxOldGenerationSizeMb: megabytes } })
  ),
  (worker) => Effect.promise(() => worker.terminate())
)

const unreadable = new Unreadable({ message: "it cannot be read as an email" })

/** Sends a question to a thread that is free, and waits for its answer. */
const answerOf = <Q extends EmailRenderer.Question>(worker: Worker, bytes: Uint8Array, question: Q) =>
  Effect.callback<EmailRenderer.Answers[Q["_tag"]], Unreadable>((resume) => {
    const detach = () => {
      worker.off("message", replied).off("error", failed).off("exit", failed)
    }
    const failed = () => {
      detach()
      resume(Effect.fail(unreadable))
    }
    // The type of the answer follows from the question's.
    const replied = (reply: { readonly answer: EmailRenderer.Answers[Q["_tag"]] } | { readonly failed: true }) => {
      if ("failed" in reply) return failed()
      detach()
      resume(Effect.succeed(reply.answer))
    }
    worker.on("message", replied).on("error", failed).on("exit", failed)
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    worker.postMessage({ bytes, question })
    return Effect.sync(detach)
  })

/** A reader whose threads end with the scope. */
export const make = Effect.gen(function* () {
  const pool = yield* Pool.makeWithTTL({ acquire: thread, min: 0, max: atOnce, timeToLive: keptWarm })

  /** Answers a question about an email. Its bytes are taken once a thread is free, so that few are held at a time. */
  const ask = <Q extends EmailRenderer.Question, E>(email: Effect.Effect<Uint8Array, E>, question: Q) =>
    Effect.gen(function* () {
      const worker = yield* Pool.get(pool)
      const bytes = yield* email
      return yield* answerOf(worker, bytes, question).pipe(
        Effect.timeoutOrElse({
          duration: longest,
          orElse: () =>
            Effect.fail(new Unreadable({ message: `reading it took longer than ${Duration.format(longest)}` }))
        }),
        Effect.onExit((exit) =>
          Exit.isSuccess(exit) && bytes.length <= recycledAbove ? Effect.void : Pool.invalidate(pool, worker)
        )
      )
    }).pipe(Effect.scoped)

  return { ask }
})
