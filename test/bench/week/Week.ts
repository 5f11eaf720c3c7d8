/** A week of a large Gmail account and of a large Slack workspace, in minutes. */
import * as Effect from "effect/Effect"
import { scaled } from "../Scale.ts"
import * as GmailWeek from "./GmailWeek.ts"
import * as SlackWeek from "./SlackWeek.ts"

export const run = Effect.gen(function* () {
  const gmail = yield* GmailWeek.run(scaled(200_000))
  const slack = yield* SlackWeek.run({
    channels: scaled(3_000),
    messages: scaled(2_000_000),
    threads: scaled(200_000),
    polls: SlackWeek.pollsADay
  })
  return [...gmail, ...slack]
})
