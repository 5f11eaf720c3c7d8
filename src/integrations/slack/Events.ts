/**
 * Turns events of Slack's Events API into hints. The parts of hints:
 *
 * - `C…`: the conversation has new messages;
 * - `C…/ts`: this message, or the thread that it begins, has changed;
 * - `C…/ts/thread`: this reply to `thread` was deleted;
 * - `channels`: conversations were created, removed or renamed; `users/U…` and `files/F…`: these have changed.
 *
 * An event names its workspaces (https://docs.slack.dev/apis/events-api): `team_id`, `enterprise_id` for an app that a
 * whole organization has installed, and one of its `authorizations`.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Hint } from "../../contract/Hints.ts"

const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const Place = Schema.optionalKey(Schema.NullOr(Schema.Struct({ ts: Text, thread_ts: Text })))
/** Events name a conversation, a user or a file by its id, or by an object with its id. */
const Named = Schema.optionalKey(Schema.NullOr(Schema.Union([Schema.String, Schema.Struct({ id: Schema.String })])))

const Event = Schema.Struct({
  type: Schema.String,
  subtype: Text,
  channel: Named,
  user: Named,
  file_id: Text,
  ts: Text,
  thread_ts: Text,
  deleted_ts: Text,
  message: Place,
  previous_message: Place,
  item: Schema.optionalKey(Schema.NullOr(Schema.Struct({ type: Text, channel: Text, ts: Text })))
})
type Event = typeof Event.Type

const Callback = Schema.Struct({
  type: Schema.String,
  team_id: Text,
  enterprise_id: Text,
  authorizations: Schema.optionalKey(
    Schema.NullOr(Schema.Array(Schema.Struct({ team_id: Text, enterprise_id: Text })))
  ),
  event: Schema.optionalKey(Event)
})
const decode = Schema.decodeUnknownOption(Callback)

const idOf = (named: Event["channel"] | undefined): string | undefined =>
  (typeof named === "string" ? named : named?.id) ?? undefined

/** Matches events that change the list of conversations. */
const ofDirectory =
  /^(channel|group|im|mpim)_(created|joined|left|rename|archive|unarchive|deleted|open|close|shared|unshared|id_changed)$|^member_(joined|left)_channel$/

const ofMessage = (event: Event): ReadonlyArray<string> => {
  const channel = idOf(event.channel)
  if (channel === undefined) return []
  const { message, previous_message: before, thread_ts: thread, ts } = event
  switch (event.subtype) {
    case "message_changed":
    case "message_replied":
      return typeof message?.ts === "string" ? [`${channel}/${message.ts}`] : [channel]
    case "message_deleted": {
      const deleted = event.deleted_ts ?? before?.ts
      if (typeof deleted !== "string") return [channel]
      const parent = before?.thread_ts
      return [
        typeof parent === "string" && parent !== deleted ? `${channel}/${deleted}/${parent}` : `${channel}/${deleted}`
      ]
    }
    case "thread_broadcast":
      return typeof thread === "string" ? [channel, `${channel}/${thread}`] : [channel]
    default:
      return [typeof thread === "string" && thread !== ts ? `${channel}/${thread}` : channel]
  }
}

const partsOf = (event: Event): ReadonlyArray<string> => {
  const { file_id: file, item, type } = event
  if (type === "message") return ofMessage(event)
  if (type === "reaction_added" || type === "reaction_removed") {
    const { channel, ts } = item ?? {}
    return typeof channel === "string" && typeof ts === "string" ? [`${channel}/${ts}`] : []
  }
  const user = idOf(event.user)
  if (type === "user_change" || type === "team_join") return user === undefined ? [] : [`users/${user}`]
  if (type === "file_change" || type === "file_deleted") return typeof file === "string" ? [`files/${file}`] : []
  return ofDirectory.test(type) ? ["channels"] : []
}

/** Returns the hints of one callback; empty if it can't be read or does not concern content. */
export const hintsOf = (payload: unknown): ReadonlyArray<Hint> => {
  const callback = Option.getOrUndefined(decode(payload))
  if (callback === undefined) return []
  const { authorizations, enterprise_id, event, team_id, type } = callback
  const named = [team_id, enterprise_id, ...(authorizations ?? []).flatMap((one) => [one.team_id, one.enterprise_id])]
  const accounts = [...new Set(named.filter((name) => typeof name === "string" && name !== ""))]
  // Slack drops events of a workspace with more than 30,000 an hour, and reports that.
  if (type === "app_rate_limited") return accounts.map((account) => ({ account: account ?? undefined }))
  if (event === undefined) return []
  return accounts.flatMap((account) => partsOf(event).map((part) => ({ account: account ?? undefined, part })))
}
