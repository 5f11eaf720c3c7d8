/** Reads emails and Markdown files in worker processes with bounds on time and memory (see `WorkerPool.ts`). */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as WorkerPool from "../../workers/WorkerPool.ts"
import type * as EmailRenderer from "./EmailRenderer.ts"

interface Request {
  readonly bytes: Uint8Array
  readonly question: EmailRenderer.Question
}

// The worker's file has the same extension as this file: .ts in the repository, .js in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

/** Makes a reader whose workers end with the scope. */
export const make = Effect.gen(function* () {
  const pool = yield* WorkerPool.make<Request, EmailRenderer.Answers[EmailRenderer.Question["_tag"]]>({
    program,
    atOnce: 2,
    longest: Duration.seconds(10),
    megabytes: 384
  })

  /**
   * Answers a question about an email. Its bytes are read once a worker is free, so that few are in memory at a time.
   */
  const ask = <Q extends EmailRenderer.Question, E>(
    email: Effect.Effect<Uint8Array, E>,
    question: Q
  ): Effect.Effect<EmailRenderer.Answers[Q["_tag"]], WorkerPool.WorkerFailed | E> =>
    pool
      .ask(
        Effect.map(email, (bytes) => ({ bytes, question })),
        ({ bytes }) => bytes.length
      )
      // The question determines the type of the answer.
      .pipe(Effect.map((answer) => answer as EmailRenderer.Answers[Q["_tag"]]))

  return { ask }
})
