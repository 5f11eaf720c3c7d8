/** A worker that does what each request asks, without limits of its own. */
import { serve } from "../../src/workers/WorkerProcess.ts"

const kept: Array<unknown> = []

const heap = (): never => {
  for (;;) kept.push({ text: String(kept.length).repeat(10) })
}

/** Grows an array beyond the memory limit: V8 aborts the process, and would do so in a thread too. */
const array = (): never => {
  for (;;) kept.push(1)
}

const buffers = (): never => {
  for (;;) kept.push(new Uint8Array(4_000_000).fill(1))
}

serve(async (question: string): Promise<string> => {
  if (question === "heap") return heap()
  if (question === "array") return array()
  if (question === "buffers") return buffers()
  if (question === "keep") for (let time = 0; time < 30; time += 1) kept.push(new Uint8Array(4_000_000).fill(1))
  if (question === "spin") for (;;);
  if (question === "wait") await new Promise((resolve) => setTimeout(resolve, 2000))
  if (question === "exit") return process.exit(3)
  if (question === "fail") throw new Error("as it was told")
  return question === "which worker" || question === "keep" ? String(process.pid) : question.toUpperCase()
})
