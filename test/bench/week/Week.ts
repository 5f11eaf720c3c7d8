/** A week of a large Gmail account, and of a large Slack workspace, on virtual time. */
import { scaled } from "../Scale.ts"
import * as GmailWeek from "./GmailWeek.ts"
import * as SlackWeek from "./SlackWeek.ts"

export const gmail = GmailWeek.run(scaled(200_000))

export const slack = SlackWeek.run({
  channels: scaled(3_000),
  messages: scaled(2_000_000),
  threads: scaled(200_000),
  polls: SlackWeek.pollsADay
})
