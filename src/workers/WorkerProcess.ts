/** The program's side of `WorkerPool.ts`: a process that answers questions, one at a time. */
import * as Module from "node:module"
import { Worker } from "node:worker_threads"
import type { Reply } from "./WorkerPool.ts"

/**
 * Ends the process if a question exceeds its limit of memory or of processor time, or if the parent process has ended.
 * Runs in a thread, which continues while the process is busy. V8's own heap limit does not include buffers. The
 * counter that the threads share is odd while a question is being answered.
 */
const watch = `
const { workerData: turn } = require("node:worker_threads")
const [mostBytes, mostMillis] = process.argv.slice(2).map(Number)
const parent = process.ppid
let seen = 0
let begun
setInterval(() => {
  if (process.memoryUsage.rss() > mostBytes || process.ppid !== parent) process.kill(process.pid, "SIGKILL")
  if (turn[0] !== seen) begun = process.cpuUsage()
  seen = turn[0]
  if (seen % 2 === 0) return
  const { system, user } = process.cpuUsage(begun)
  if ((system + user) / 1000 > mostMillis) process.kill(process.pid, "SIGVTALRM")
}, 100)
`

/**
 * Answers each question with `answer`, which may post parts of the answer first. A rejection is reported as a failure.
 */
export const serve = <Question, Answer, Partial = never>(
  answer: (question: Question, post: (partial: Partial) => void) => Promise<Answer>
): void => {
  const reply = (message: Reply<Answer, Partial>): void => {
    process.send?.(message)
  }
  // The parent process decides when this one ends, even on Ctrl-C in a terminal, which signals both.
  process.on("SIGINT", () => undefined).on("SIGTERM", () => undefined)
  process.on("disconnect", () => process.exit())
  const turn = new Int32Array(new SharedArrayBuffer(4))
  const bounds = process.argv.slice(2)
  const keptBytes = Number(bounds[2])
  new Worker(watch, { eval: true, argv: bounds, workerData: turn, execArgv: [], resourceLimits: {} }).unref()
  process.on("message", async (question: Question) => {
    Atomics.add(turn, 0, 1)
    const last = await answer(question, (partial) => reply({ partial })).then(
      (found) => ({ answer: found, isLarge: process.memoryUsage.rss() > keptBytes }),
      () => ({ failed: true as const })
    )
    // Keeps the compiled code for the next worker. Node would do so at the end of the process, but a worker may be
    // killed once it has answered.
    if (turn[0] === 1) Module.flushCompileCache()
    reply(last)
    Atomics.add(turn, 0, 1)
  })
}
