/** The process that reads feeds for `FeedReader.ts`, one at a time. */
import { serve } from "../../workers/WorkerProcess.ts"
import { pack } from "./EntryPages.ts"
import { NoFeed, parse } from "./FeedParser.ts"
import type { Answer, Question } from "./FeedReader.ts"

serve(async ({ bytes, mediaType, url }: Question): Promise<Answer> => {
  try {
    const { entries, ...about } = parse(bytes, mediaType, new URL(url))
    return { ...about, pages: pack(entries), count: entries.length }
  } catch (error) {
    if (error instanceof NoFeed) return { problem: error.message }
    throw error
  }
})
