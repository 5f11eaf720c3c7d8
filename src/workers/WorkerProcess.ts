/** The program's side of `WorkerPool.ts`: a process that answers questions, one at a time. */
import { Worker } from "node:worker_threads"
import type { Reply } from "./WorkerPool.ts"

/**
 * Ends the process, from a thread that goes on while the process reads, once its memory exceeds the bound or nobody is
 * left to end it. A bound of V8's heap counts no buffers.
 */
const watch = `
const most = Number(process.argv[2])
const parent = process.ppid
setInterval(() => {
  if (process.memoryUsage.rss() > most || process.ppid !== parent) process.kill(process.pid, "SIGKILL")
}, 100)
`

/** Answers each question by `answer`, which may post parts of the answer ahead. One that rejects has no answer. */
export const serve = <Question, Answer, Partial = never>(
  answer: (question: Question, post: (partial: Partial) => void) => Promise<Answer>
): void => {
  const reply = (message: Reply<Answer, Partial>): void => {
    process.send?.(message)
  }
  // The process that asked decides when this one ends, also on Ctrl-C in a terminal, which signals both.
  process.on("SIGINT", () => undefined).on("SIGTERM", () => undefined)
  process.on("disconnect", () => process.exit())
  new Worker(watch, { eval: true, argv: process.argv.slice(2), execArgv: [], resourceLimits: {} }).unref()
  process.on("message", async (question: Question) => {
    reply(
      await answer(question, (partial) => reply({ partial })).then(
        (found) => ({ answer: found }),
        () => ({ failed: true as const })
      )
    )
  })
}
