/**
 * Reads emails, each in a thread of its own: whoever wrote one may have made it so that reading it takes minutes or all
 * memory (a hundred thousand elements within each other do), and meanwhile this process must go on. The thread has
 * bounds, and none of the environment's secrets.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Path from "node:path"
import { Worker } from "node:worker_threads"
import type * as EmailRenderer from "./EmailRenderer.ts"

/** The email could not be read within the bounds, or not at all. */
export class Unreadable extends Schema.TaggedError<Unreadable>()("Unreadable", { message: Schema.String }) {}

/** How long reading one may take, its thread's start included. */
const longest = Duration.seconds(10)

const megabytes = 384

// As this file is: source here, and JavaScript in a package.
const program = Path.join(import.meta.dirname, `Worker${Path.extname(import.meta.filename)}`)

/** What the question asks of the email that these bytes are. */
export const ask = <Q extends EmailRenderer.Question>(
  bytes: Uint8Array,
  question: Q
): Effect.Effect<EmailRenderer.Answers[Q["_tag"]], Unreadable> =>
  Effect.callback<EmailRenderer.Answers[Q["_tag"]], Unreadable>((resume) => {
    const worker = new Worker(program, {
      workerData: { bytes, question },
      env: {},
      execArgv: [],
      resourceLimits: { maxOldGenerationSizeMb: megabytes }
    })
    const fail = (message: string) => resume(Effect.fail(new Unreadable({ message })))
    // The answer's type follows from the question's.
    worker.once("message", (answer: EmailRenderer.Answers[Q["_tag"]]) => resume(Effect.succeed(answer)))
    worker.once("error", () => fail("it can't be read as an email"))
    worker.once("exit", () => fail("it can't be read as an email"))
    return Effect.promise(() => worker.terminate())
  }).pipe(
    Effect.timeoutOrElse({
      duration: longest,
      orElse: () => Effect.fail(new Unreadable({ message: `reading it took longer than ${Duration.format(longest)}` }))
    })
  )
