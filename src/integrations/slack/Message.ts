/**
 * Turns Slack's objects into content.
 *
 * A body is the JSON that Slack sent, with the names of each object sorted, so that equal JSON has equal bytes. Fields
 * that differ between two fetches of an unchanged message are stored in `volatile`, which is never compared, and not in
 * the body:
 *
 * - `last_read`, `unread_count`, `subscribed`, `is_starred`: how far the token's owner has read the thread;
 * - `root` and `parent_user_id`: the thread's parent in a reply. Only one of the methods that list replies returns
 *   them, and `root` changes with each later reply;
 * - `reply_users`, `is_locked` and a parent's own `thread_ts`: they change with the thread.
 *
 * Reactions and reply counts are metadata: if only they change, the row is patched, and the body stays. The revision is
 * a digest of the body, because unfurls and updates of `blocks` or attachments need not set `edited`; reactions and the
 * thread are appended to it. In a conversation, `num_members`, `priority`, `latest`, `last_read`, the unread counts,
 * `is_open` and `is_member` change without a change of the conversation. A file's URLs have no expiring signature.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Content, Metadata, Ref } from "../../contract/Content.ts"
import { millisOf } from "./Timestamp.ts"
import { digest, json, split } from "./CanonicalJson.ts"

const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const Count = Schema.optionalKey(Schema.NullOr(Schema.Finite))
const Flag = Schema.optionalKey(Schema.NullOr(Schema.Boolean))

export const File = Schema.Struct({
  id: Schema.String,
  name: Text,
  title: Text,
  mimetype: Text,
  mode: Text,
  size: Count,
  created: Count,
  timestamp: Count,
  updated: Count,
  file_access: Text,
  is_external: Flag,
  external_type: Text,
  user: Text,
  url_private: Text,
  url_private_download: Text
})
export type File = typeof File.Type

export const Message = Schema.Struct({
  ts: Schema.String.pipe(Schema.check(Schema.isPattern(/^\d{1,12}\.\d{1,9}$/))),
  thread_ts: Text,
  subtype: Text,
  user: Text,
  bot_id: Text,
  text: Text,
  edited: Schema.optionalKey(Schema.NullOr(Schema.Struct({ ts: Text, user: Text }))),
  reply_count: Count,
  latest_reply: Text,
  reactions: Schema.optionalKey(
    Schema.NullOr(Schema.Array(Schema.Struct({ name: Text, count: Count, users: Schema.optionalKey(Schema.Unknown) })))
  ),
  files: Schema.optionalKey(Schema.NullOr(Schema.Array(Schema.Unknown)))
})
/** The fields that Idem reads. The value itself has all fields that Slack sent. */
export type Message = typeof Message.Type

export const Channel = Schema.Struct({
  id: Schema.String,
  name: Text,
  user: Text,
  is_im: Flag,
  is_mpim: Flag,
  is_private: Flag,
  is_archived: Flag,
  is_member: Flag,
  created: Count,
  updated: Count
})
export type Channel = typeof Channel.Type

const User = Schema.Struct({
  id: Schema.String,
  name: Text,
  real_name: Text,
  deleted: Flag,
  is_bot: Flag,
  updated: Count
})
type User = typeof User.Type

export const isMessage = Schema.is(Message)
export const isChannel = Schema.is(Channel)
export const isUser = Schema.is(User)
const isFile = Schema.is(File)

/**
 * Returns the date of a number of seconds since 1970; undefined for 0, which means unknown, and for an impossible date.
 */
const dateOf = (seconds: number | null | undefined): DateTime.Utc | undefined =>
  seconds == null || seconds === 0 ? undefined : Option.getOrUndefined(DateTime.make(seconds * 1000))

export const messageId = (channel: string, ts: string): string => `${channel}/${ts}`

/** Returns true for a reply to another message. The parent of a thread has its own `ts` in `thread_ts`. */
const isReply = (message: Message): boolean => typeof message.thread_ts === "string" && message.thread_ts !== message.ts

/** Returns true for the placeholder of a deleted message whose thread still exists. */
export const isTombstone = (message: Message): boolean => message.subtype === "tombstone"

export const hasThread = (message: Message): boolean => !isReply(message) && (message.reply_count ?? 0) > 0

/** Returns the part of a revision that changes with the thread: empty without replies. */
const threadOf = (message: Message) =>
  hasThread(message) ? `|${message.latest_reply ?? ""}|${message.reply_count ?? 0}` : ""

/**
 * The suffix of a parent's revision whose thread was not listed completely. It never equals the revision of a complete
 * one.
 */
export const partial = "|partial"

const revisions = new WeakMap<Message, string>()

/**
 * Returns the revision: the digest of the body; for a thread's parent with `|latest_reply|reply_count`; with reactions,
 * their digest after `~`.
 */
export const revisionOf = (message: Message): string => {
  const known = revisions.get(message)
  if (known !== undefined) return known
  const reactions = (message.reactions ?? []).map((one) => `${one.name ?? ""}:${one.count ?? 0}`).sort()
  const suffix = reactions.length === 0 ? "" : `~${digest(reactions.join(","))}`
  const revision = `${digest(split(message, namesOutside(message)).body)}${threadOf(message)}${suffix}`
  revisions.set(message, revision)
  return revision
}

/** Returns true if two revisions have the same body. */
export const isSameBody = (a: string, b: string): boolean => a.split(/[|~]/)[0] === b.split(/[|~]/)[0]

/** Returns the replies that a stored revision counts; undefined if it counts none, or not all of them. */
export const repliesOf = (revision: string): { readonly latest: string; readonly count: number } | undefined => {
  if (revision.endsWith(partial)) return undefined
  const [, latest, count] = (revision.split("~")[0] ?? "").split("|")
  return latest === undefined || count === undefined ? undefined : { latest, count: Number(count) }
}

/** Returns the fields without those that Slack left out. */
const present = (fields: Record<string, Schema.Json | null | undefined>): Metadata =>
  Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => (value === undefined || value === null ? [] : [[name, value]]))
  )

const moving = new Set([
  "last_read",
  "unread_count",
  "subscribed",
  "is_starred",
  "root",
  "parent_user_id",
  "reply_users",
  "reply_users_count",
  "is_locked",
  "reply_count",
  "latest_reply",
  "reactions"
])
const movingOfParent = new Set([...moving, "thread_ts"])

/** Returns the names of the fields that are not part of the body. */
const namesOutside = (message: Message) => (isReply(message) ? moving : movingOfParent)

const decodeReactions = Schema.decodeUnknownOption(Schema.Array(Schema.Json))

/** Returns the metadata that other people change, as a patch: null removes a name. */
export const statePatch = (message: Message): Metadata => ({
  replyCount: message.reply_count || null,
  latestReply: message.latest_reply ?? null,
  reactions: (message.reactions ?? []).length === 0 ? null : Option.getOrNull(decodeReactions(message.reactions))
})

export const filesOf = (message: Message): ReadonlyArray<File> => (message.files ?? []).filter((file) => isFile(file))

export const messageContent = (channel: string, message: Message): Content => ({
  kind: "message",
  title: message.text?.split("\n", 1)[0]?.slice(0, 1000) || undefined,
  occurredAt: DateTime.makeUnsafe(millisOf(message.ts)),
  mediaType: "application/json",
  metadata: present({
    channel,
    ts: message.ts,
    user: message.user,
    botId: message.bot_id,
    subtype: message.subtype,
    threadTs: isReply(message) ? message.thread_ts : undefined,
    editedTs: message.edited?.ts,
    files: message.files === undefined ? undefined : filesOf(message).map((file) => file.id),
    ...statePatch(message)
  }),
  ...split(message, namesOutside(message))
})

/** Returns a file's ref, if it has bytes or a page of its own. A deleted file has none; see `isDeletedFile`. */
export const fileRef = (file: File): Ref => ({ externalId: `files/${file.id}`, revision: fileRevision(file) })

/** Returns a file's revision; undefined if its message has only its id. */
const fileRevision = (file: File): string | undefined => {
  if (isInfoOnly(file)) return undefined
  const time = file.updated ?? file.timestamp ?? file.created
  return typeof time === "number" ? `${time}|${file.size ?? ""}` : undefined
}

export const isDeletedFile = (file: File): boolean => file.mode === "tombstone"

/** Returns true for a file of Slack Connect that a message names by id only: `files.info` returns its other fields. */
export const isInfoOnly = (file: File): boolean => file.file_access === "check_file_info"

/**
 * Returns true for files that Slack names but withholds, and that are not deleted: beyond the limit of a free plan
 * (zulip/zulip#12011, sgratzl/slack_cleaner2#101), or of Slack Connect without access (zulip/zulip#23197).
 */
export const isWithheldFile = ({ file_access: access, mode }: File): boolean =>
  mode === "hidden_by_limit" || access === "access_denied" || access === "file_not_found"

export const fileContent = (file: File, body: Content["body"], mediaType: string | undefined): Content => ({
  kind: "file",
  title: (file.title ?? file.name ?? file.id).slice(0, 1000),
  occurredAt: dateOf(file.created),
  mediaType,
  metadata: present({
    name: file.name,
    user: file.user,
    size: file.size,
    mode: file.mode,
    external: file.is_external === true ? (file.external_type ?? true) : undefined
  }),
  body,
  revision: fileRevision(file)
})

const movingOfChannel = new Set([
  "num_members",
  "priority",
  "latest",
  "last_read",
  "unread_count",
  "unread_count_display",
  "is_open",
  "is_member"
])

const channelName = (channel: Channel) => channel.name ?? channel.user ?? channel.id

export const channelContent = (channel: Channel): Content => ({
  kind: "channel",
  title: channelName(channel).slice(0, 1000),
  occurredAt: dateOf(channel.created),
  mediaType: "application/json",
  metadata: present({
    name: channel.name,
    user: channel.user,
    type: channel.is_im ? "im" : channel.is_mpim ? "mpim" : channel.is_private ? "private_channel" : "public_channel",
    archived: channel.is_archived ?? false
  }),
  ...split(channel, movingOfChannel)
})

/** `updated` is in milliseconds, and changes with a topic or a setting. Archiving may not change it. */
export const channelRef = (channel: Channel): Ref => {
  const content = channelContent(channel)
  const revision =
    typeof channel.updated === "number"
      ? `${channel.updated}|${channelName(channel)}|${channel.is_archived === true ? "archived" : ""}`
      : digest(split(channel, movingOfChannel).body)
  return { externalId: `channels/${channel.id}`, revision, content }
}

export const userContent = (user: User): Content => ({
  kind: "user",
  title: (user.real_name ?? user.name ?? user.id).slice(0, 1000),
  mediaType: "application/json",
  metadata: present({ name: user.name, realName: user.real_name, bot: user.is_bot, deactivated: user.deleted }),
  body: json(user)
})

export const userRef = (user: User): Ref => {
  const content = userContent(user)
  const revision = typeof user.updated === "number" ? String(user.updated) : digest(json(user))
  return { externalId: `users/${user.id}`, revision, content }
}
