/** The process that reads files for `TextExtractor.ts`, one at a time. */
import { serve } from "../../workers/WorkerProcess.ts"
import * as Format from "./Format.ts"
import * as FormatReader from "./FormatReader.ts"

serve(async (question: FormatReader.Question, post: (partial: FormatReader.Partial) => void): Promise<null> => {
  const { bytes, cut, fromPart } = question
  if (Format.of(bytes, question) !== "mail") {
    post({ _tag: "text", text: await FormatReader.text(bytes, question, cut), parts: [] })
    return null
  }
  const email = await FormatReader.mail(bytes, FormatReader.mostText, 0, cut)
  let { room } = question
  if (fromPart === 0) {
    post({ _tag: "text", text: email.text, parts: email.parts })
    room -= email.text.text?.length ?? 0
  }
  for (let index = fromPart; index < email.parts.length; index += 1) {
    const part = await email.read(index, room)
    room -= part.text?.length ?? 0
    post({ _tag: "part", part })
  }
  return null
})
