/**
 * Detects whether Slack delivers events. An open socket does not prove it: Slack switches off the subscriptions of an
 * app that acknowledged under 5 % of its events within an hour
 * (https://docs.slack.dev/reference/events/app_rate_limited), for example after an hour in which it did not run
 * (bolt-js#2105). Its socket is then greeted and pinged as before, and gets no events (hermes-agent#38847,
 * openclaw#17847). An event without a subscription, or one that another program with the same app token received, does
 * not come either.
 *
 * So polls rely on events after one has come over the open stream. After a message without an event, they stop relying
 * on events until the next one comes.
 */
import * as Duration from "effect/Duration"
import type { Hinted } from "../../contract/Hints.ts"
import type { Problem } from "../../contract/Page.ts"
import { millisOf } from "./Timestamp.ts"
import { type State, update } from "./State.ts"

/** Events come within seconds, and repetitions after one and five minutes (https://docs.slack.dev/apis/events-api). */
const deliveredWithin = Duration.toMillis("6 minutes")

/** Records the hints since the last poll. Returns true if polls may rely on events. */
export const begin = (state: State, { isListening, parts }: Hinted, now: number): boolean => {
  if (isListening) {
    state.events =
      parts.length > 0 ? { since: state.events?.since ?? now, heardAt: now } : (state.events ?? { since: now })
  } else delete state.events
  for (const part of parts) {
    const [channel = ""] = part.split("/")
    update(state, channel, { isUnheard: undefined })
  }
  return state.events?.heardAt !== undefined
}

/** Records a new message for which no hint came. */
export const onUnhinted = (state: State, channel: string, ts: string, now: number): void => {
  const { events } = state
  const at = millisOf(ts)
  if (events === undefined || at <= events.since || at >= now - deliveredWithin) return
  update(state, channel, { isUnheard: true })
  if (at > (events.heardAt ?? 0)) state.events = { since: events.since, isMissing: true }
}

export const problems = ({ events }: State): ReadonlyArray<Problem> =>
  events?.isMissing === true
    ? [
        {
          place: "events",
          message:
            "Slack accepts the app-level token and sends no events, so polls go on without them: " +
            "check Event Subscriptions of your Slack app, and other programs with this token"
        }
      ]
    : []
