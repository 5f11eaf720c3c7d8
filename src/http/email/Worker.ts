/** The thread that reads one email (`EmailReader.ts`): answers what it was started with, and ends. */
import { parentPort, workerData } from "node:worker_threads"
import * as EmailRenderer from "./EmailRenderer.ts"

const { bytes, question } = workerData as { readonly bytes: Uint8Array; readonly question: EmailRenderer.Question }

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
parentPort?.postMessage(await EmailRenderer.answer(bytes, question))
