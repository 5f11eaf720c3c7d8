/** A thread that does what it is asked to, whatever that costs. */
import { parentPort, threadId } from "node:worker_threads"

const kept: Array<unknown> = []

const heap = (): void => {
  for (;;) kept.push({ text: String(kept.length).repeat(10) })
}

/** Takes memory outside the heap, and lets the loop turn meanwhile. */
const buffers = (): void => {
  if (kept.length < 2000) kept.push(new Uint8Array(4_000_000).fill(1))
  setTimeout(buffers, 1)
}

const reply = (message: unknown): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(message)
}

parentPort?.on("message", (question: string) => {
  if (question === "heap") heap()
  else if (question === "buffers") buffers()
  else if (question === "spin") for (;;);
  else if (question === "exit") process.exit(3)
  else if (question === "fail") reply({ failed: true })
  else if (question.startsWith("which thread")) reply({ answer: String(threadId) })
  else reply({ answer: question.toUpperCase() })
})
