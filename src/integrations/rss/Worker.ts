/** The thread that reads feeds for `FeedReader.ts`, one at a time. */
import { parentPort } from "node:worker_threads"
import type { Reply } from "../../workers/WorkerPool.ts"
import { pack } from "./EntryPages.ts"
import { NoFeed, parse } from "./Feed.ts"
import type { Answer, Question } from "./FeedReader.ts"

const answer = ({ bytes, mediaType, url }: Question): Reply<Answer> => {
  try {
    const entries = parse(bytes, mediaType, new URL(url))
    return { answer: { pages: pack(entries), count: entries.length } }
  } catch (error) {
    return error instanceof NoFeed ? { answer: { problem: error.message } } : { failed: true }
  }
}

parentPort?.on("message", (question: Question) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(answer(question))
})
