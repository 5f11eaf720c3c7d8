/** The thread that reads files for `TextExtractor.ts`, one at a time. */
import { parentPort } from "node:worker_threads"
import * as FormatReader from "./FormatReader.ts"
import * as Format from "./Format.ts"
import type { Reply } from "../../workers/WorkerPool.ts"

const post = (reply: Reply<null, FormatReader.Partial>): void => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage(reply)
}

const answer = async (question: FormatReader.Question): Promise<void> => {
  const { bytes, cut, fromPart } = question
  if (cut || Format.of(bytes, question) !== "mail") {
    post({ partial: { _tag: "text", text: await FormatReader.text(bytes, question, cut), parts: [] } })
    return
  }
  const email = await FormatReader.mail(bytes, FormatReader.mostText, 0)
  let { room } = question
  if (fromPart === 0) {
    post({ partial: { _tag: "text", text: email.text, parts: email.parts } })
    room -= email.text.text?.length ?? 0
  }
  for (let index = fromPart; index < email.parts.length; index += 1) {
    const part = await email.read(index, room)
    room -= part.text?.length ?? 0
    post({ partial: { _tag: "part", part } })
  }
}

parentPort?.on("message", async (question: FormatReader.Question) => {
  post(
    await answer(question).then(
      () => ({ answer: null }),
      () => ({ failed: true as const })
    )
  )
})
