/** Projects conversations, users, messages and files of Slack to rows. */
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as Projection from "../../contract/Projection.ts"
import { plainText } from "./PlainText.ts"
import { millisOf } from "./Timestamp.ts"

const channelName = {
  on: "channel_id",
  table: "slack_channel",
  prefix: "channels/",
  value: "name",
  description: "The conversation's current name."
}
const userName = {
  on: "user_id",
  table: "slack_user",
  prefix: "users/",
  value: "name",
  description: "The user's current name."
}

const channel: Projection.Table = {
  name: "slack_channel",
  description: "Slack's conversations: channels, group messages and direct messages.",
  columns: {
    channel_id: Projection.text("Slack's id, like C024BE91L."),
    name: Projection.text("The name; for a direct message, the id of the other user."),
    type: Projection.text("public_channel, private_channel, mpim (a group message) or im (a direct message)."),
    topic: Projection.text("The topic; null if there is none."),
    purpose: Projection.text("The purpose; null if there is none."),
    archived: Projection.boolean("True if it is archived."),
    created_at: Projection.timestamp("When it was created.")
  },
  indexes: ["channel_id"]
}

const user: Projection.Table = {
  name: "slack_user",
  description: "Slack's users, including bots and deactivated users.",
  columns: {
    user_id: Projection.text("Slack's id, like U024BE7LH."),
    name: Projection.text("The display name, else the real name, else the user name."),
    user_name: Projection.text("The user name."),
    real_name: Projection.text("The full name."),
    email: Projection.text("The email address in lower case; null if there is none, or if the token may not read it."),
    title: Projection.text("The job title; null if there is none."),
    bot: Projection.boolean("True for a bot."),
    deactivated: Projection.boolean("True if the account is deactivated.")
  },
  indexes: ["user_id"]
}

const message: Projection.Table = {
  name: "slack_message",
  description: "Slack's messages and replies, one row each. Deleted messages stay until they are purged.",
  columns: {
    channel_id: Projection.text("The conversation's `channel_id` in `mirror.slack_channel`."),
    user_id: Projection.text("The author's `user_id` in `mirror.slack_user`; null for some bots."),
    ts: Projection.text("Slack's timestamp of the message, unique in its conversation."),
    sent_at: Projection.timestamp("When it was sent."),
    thread_ts: Projection.text("The `ts` of the message that it replies to; null if it is not a reply."),
    subtype: Projection.text("Slack's subtype, like channel_join or bot_message; null for an ordinary message."),
    edited_at: Projection.timestamp("When it was last edited; null if it never was."),
    reply_count: Projection.integer("The number of replies in its thread."),
    reactions: Projection.texts("The names of its reactions, without colons, sorted."),
    reaction_count: Projection.integer("The number of reactions. A person who reacts with two emoji counts twice."),
    files: Projection.texts("The `file_id` of each of its files in `mirror.slack_file`.")
  },
  indexes: ["sent_at", "channel_id", "user_id", "thread_ts"],
  text: true,
  keepsDeleted: true,
  lookups: { channel_name: channelName, user_name: userName },
  search: { channel_name: "in", user_name: "from" }
}

const file: Projection.Table = {
  name: "slack_file",
  description: "Files that were shared in Slack.",
  columns: {
    file_id: Projection.text("Slack's id, like F2147483862."),
    name: Projection.text("The file name."),
    title: Projection.text("The title."),
    user_id: Projection.text("The user who shared it: `user_id` in `mirror.slack_user`."),
    size: Projection.integer("The size in bytes."),
    media_type: Projection.text("The media type."),
    created_at: Projection.timestamp("When it was shared.")
  },
  indexes: ["file_id", "created_at"],
  text: true,
  lookups: { user_name: userName },
  search: { user_name: "from" }
}

const Note = Schema.Struct({ value: Schema.optionalKey(Schema.NullOr(Schema.String)) })
const ChannelBody = Schema.Struct({ topic: Schema.optionalKey(Note), purpose: Schema.optionalKey(Note) })
const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const UserBody = Schema.Struct({
  profile: Schema.optionalKey(Schema.Struct({ display_name: Text, real_name: Text, email: Text, title: Text }))
})
const asChannel = Schema.decodeUnknownOption(ChannelBody)
const asUser = Schema.decodeUnknownOption(UserBody)
const asReactions = Schema.decodeUnknownOption(
  Schema.Array(Schema.Struct({ name: Schema.String, count: Schema.optionalKey(Schema.Int) }))
)
const asTexts = Schema.decodeUnknownOption(Schema.Array(Schema.String))
const orUndefined = <A>(found: { readonly _tag: "None" } | { readonly _tag: "Some"; readonly value: A }) =>
  found._tag === "Some" ? found.value : undefined

const countOf = (value: unknown): number => (typeof value === "number" && Number.isSafeInteger(value) ? value : 0)

/** Returns the time of a `ts`; null if it is malformed, or after the year 9999. */
const timeOf = (ts: unknown): string | null =>
  typeof ts === "string" && /^\d{1,11}\.\d{1,9}$/.test(ts)
    ? DateTime.formatIso(DateTime.makeUnsafe(millisOf(ts)))
    : null

/** Returns the part of the external id after its last slash. */
const lastOf = (externalId: string) => externalId.slice(externalId.lastIndexOf("/") + 1)

const project = (content: Projection.ProjectedContent): Projection.Projected => {
  const { externalId, json, metadata } = content
  switch (content.kind) {
    case "channel": {
      const body = orUndefined(asChannel(json))
      const row = {
        channel_id: lastOf(externalId),
        name: Projection.textOf(metadata.name) ?? Projection.textOf(metadata.user),
        type: Projection.textOf(metadata.type),
        topic: Projection.textOf(body?.topic?.value),
        purpose: Projection.textOf(body?.purpose?.value),
        archived: metadata.archived === true,
        created_at: Projection.isoOf(content.occurredAt)
      }
      return { rows: [{ table: "slack_channel", row }] }
    }
    case "user": {
      const profile = orUndefined(asUser(json))?.profile
      const row = {
        user_id: lastOf(externalId),
        name:
          Projection.textOf(profile?.display_name) ??
          Projection.textOf(profile?.real_name) ??
          Projection.textOf(metadata.realName) ??
          Projection.textOf(metadata.name),
        user_name: Projection.textOf(metadata.name),
        real_name: Projection.textOf(profile?.real_name) ?? Projection.textOf(metadata.realName),
        email: Projection.textOf(profile?.email)?.toLowerCase() ?? null,
        title: Projection.textOf(profile?.title),
        bot: metadata.bot === true,
        deactivated: metadata.deactivated === true
      }
      return { rows: [{ table: "slack_user", row }] }
    }
    case "message": {
      const reactions = orUndefined(asReactions(metadata.reactions)) ?? []
      const row = {
        channel_id: Projection.textOf(metadata.channel),
        user_id: Projection.textOf(metadata.user),
        ts: Projection.textOf(metadata.ts),
        sent_at: Projection.isoOf(content.occurredAt),
        thread_ts: Projection.textOf(metadata.threadTs),
        subtype: Projection.textOf(metadata.subtype),
        edited_at: timeOf(metadata.editedTs),
        reply_count: countOf(metadata.replyCount),
        reactions: reactions.map(({ name }) => name).toSorted(),
        reaction_count: reactions.reduce((sum, { count = 0 }) => sum + count, 0),
        files: orUndefined(asTexts(metadata.files)) ?? []
      }
      return { rows: [{ table: "slack_message", row }], text: { _tag: "given", text: plainText(json) } }
    }
    case "file": {
      const name = Projection.textOf(metadata.name)
      const row = {
        file_id: lastOf(externalId),
        name,
        title: content.title,
        user_id: Projection.textOf(metadata.user),
        size: content.size,
        media_type: content.mediaType,
        created_at: Projection.isoOf(content.occurredAt)
      }
      return { rows: [{ table: "slack_file", row }], text: { _tag: "extracted", fileName: name ?? content.title } }
    }
    default:
      return Projection.none.project(content)
  }
}

export const projection: Projection.Projection = {
  version: 1,
  tables: [channel, user, message, file],
  readsJson: ({ kind }) => kind !== "file",
  project
}
