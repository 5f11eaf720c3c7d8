/** The thread that reads emails for `EmailReader.ts`, one at a time. */
import { parentPort } from "node:worker_threads"
import * as EmailRenderer from "./EmailRenderer.ts"

interface Request {
  readonly bytes: Uint8Array
  readonly question: EmailRenderer.Question
}

parentPort?.on("message", async ({ bytes, question }: Request) => {
  const reply = await EmailRenderer.answer(bytes, question).then(
    (answer) => ({ answer }),
    () => ({ failed: true })
  )
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(reply)
})
