/** The process that reads emails for `EmailHandlers.ts`, one at a time. */
import { serve } from "../../workers/WorkerProcess.ts"
import * as EmailRenderer from "./EmailRenderer.ts"

interface Request {
  readonly bytes: Uint8Array
  readonly question: EmailRenderer.Question
}

serve(({ bytes, question }: Request) => EmailRenderer.answer(bytes, question))
