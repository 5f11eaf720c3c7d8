/**
 * The contents of a Slack workspace, and their objects in the Web API. Messages of a conversation are sorted by `ts`; a
 * look-up is a binary search, so that 10,000 messages are cheap.
 */

type Json = null | boolean | number | string | Array<Json> | { [name: string]: Json }
export type JsonObject = { [name: string]: Json }
export type Kind = "public_channel" | "private_channel" | "im" | "mpim"

export interface Channel {
  readonly id: string
  readonly kind: Kind
  name: string
  archived: boolean
  member: boolean
  updated: number
  /** The error code if the token can't read the conversation; undefined if it can. */
  closed: string | undefined
  /** Parents and messages without a thread, oldest first. */
  readonly parents: Array<Message>
  /** Replies by their parent's `ts`, oldest first. */
  readonly threads: Map<string, Array<Message>>
}

export interface Message {
  readonly ts: string
  readonly user: string
  text: string
  edited: { user: string; ts: string } | undefined
  threadTs: string | undefined
  broadcast: boolean
  tombstone: boolean
  files: Array<string>
  attachments: Array<JsonObject>
  reactions: Map<string, Array<string>>
}

export interface File {
  readonly id: string
  readonly name: string
  readonly mimetype: string
  readonly body: Uint8Array
  readonly created: number
  /** The `Content-Type` of the bytes, if it differs from `mimetype`. */
  readonly servedAs: string | undefined
  readonly served: Uint8Array
  /** Slack Connect: messages have only the file's id, and `files.info` has the rest. */
  readonly checkInfo: boolean
  /** The URL of a file that is stored by another host. */
  readonly externalUrl: string | undefined
  deleted: boolean
  /**
   * The reason why Slack names a file without providing it: the file is beyond the limit of a free plan
   * (zulip/zulip#12011, sgratzl/slack_cleaner2#101), or belongs to Slack Connect and is not accessible
   * (zulip/zulip#23197).
   */
  withheld: "hidden_by_limit" | "access_denied" | undefined
}

/** A message with its conversation. */
export interface Posted {
  readonly channel: Channel
  readonly message: Message
}

export interface User {
  readonly id: string
  name: string
  updated: number
}

/**
 * Returns the index of `ts`, or the index at which it would be inserted. A `ts` here always has ten digits before the
 * point, so that it sorts as text.
 */
export const position = (messages: ReadonlyArray<Message>, ts: string): number => {
  let [low, high] = [0, messages.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((messages[middle]?.ts ?? "") < ts) low = middle + 1
    else high = middle
  }
  return low
}

export class WorkspaceObjects {
  readonly channels = new Map<string, Channel>()
  readonly files = new Map<string, File>()
  readonly users = new Map<string, User>()
  /** True if fields change although nothing was changed (the read position, member counts). */
  restless = false
  #reads = 0

  channel(id: string): Channel {
    const channel = this.channels.get(id)
    if (channel === undefined) throw new Error(`no channel ${id}`)
    return channel
  }

  /** Returns the message and the list that contains it. */
  find(channelId: string, ts: string): { readonly message: Message; readonly list: Array<Message> } | undefined {
    const channel = this.channel(channelId)
    for (const list of [channel.parents, ...channel.threads.values()]) {
      const message = list[position(list, ts)]
      if (message?.ts === ts) return { message, list }
    }
    return undefined
  }

  /**
   * Returns a message in the form of `conversations.history` (with `root` for a reply that was also sent to the
   * channel) or `conversations.replies`.
   */
  messageJson(channel: Channel, message: Message, fileUrl: (file: File) => string, inHistory: boolean): JsonObject {
    const replies = channel.threads.get(message.ts) ?? []
    const latest = replies.at(-1)
    const shown: JsonObject = {
      type: "message",
      user: message.tombstone ? "USLACKBOT" : message.user,
      text: message.text,
      ts: message.ts,
      team: "T00000001"
    }
    if (message.tombstone) Object.assign(shown, { subtype: "tombstone", hidden: true })
    if (message.attachments.length > 0) shown.attachments = message.attachments.map((one) => ({ ...one }))
    if (message.edited !== undefined) shown.edited = { ...message.edited }
    if (message.threadTs !== undefined) {
      shown.thread_ts = message.threadTs
      if (message.broadcast) {
        shown.subtype = "thread_broadcast"
        const root = inHistory ? this.find(channel.id, message.threadTs) : undefined
        if (root !== undefined) shown.root = this.messageJson(channel, root.message, fileUrl, false)
      } else {
        shown.parent_user_id = "U00000001"
      }
    }
    if (latest !== undefined) {
      const repliers = [...new Set(replies.map((reply) => reply.user))]
      Object.assign(shown, {
        thread_ts: message.ts,
        reply_count: replies.length,
        reply_users: repliers,
        reply_users_count: repliers.length,
        latest_reply: latest.ts,
        is_locked: false
      })
      if (this.restless) Object.assign(shown, { subscribed: true, last_read: `${++this.#reads}.000000` })
    }
    if (message.reactions.size > 0) {
      shown.reactions = Array.from(message.reactions, ([name, users]) => ({ name, users, count: users.length }))
    }
    if (message.files.length > 0) {
      shown.files = message.files.flatMap((id) => {
        const file = this.files.get(id)
        if (file === undefined) return []
        return [file.checkInfo && !file.deleted ? this.sharedFileJson(file) : this.fileJson(file, fileUrl)]
      })
      shown.upload = false
    }
    return shown
  }

  fileJson(file: File, fileUrl: (file: File) => string): JsonObject {
    if (file.deleted) return { id: file.id, mode: "tombstone" }
    if (file.withheld === "access_denied")
      return { id: file.id, created: 0, timestamp: 0, file_access: "access_denied" }
    if (file.withheld !== undefined) return { id: file.id, created: file.created, name: file.name, mode: file.withheld }
    const external = file.externalUrl !== undefined
    return {
      id: file.id,
      created: file.created,
      timestamp: file.created,
      name: file.name,
      title: file.name,
      mimetype: file.mimetype,
      user: "U00000001",
      mode: external ? "external" : "hosted",
      is_external: external,
      external_type: external ? "gdrive" : "",
      size: external ? 0 : file.body.length,
      url_private: file.externalUrl ?? fileUrl(file),
      ...(external ? {} : { url_private_download: fileUrl(file) })
    }
  }

  sharedFileJson(file: File): JsonObject {
    return { id: file.id, mode: "file_access", file_access: "check_file_info", created: 0, timestamp: 0, user: "" }
  }

  channelJson(channel: Channel): JsonObject {
    const direct = channel.kind === "im"
    return {
      id: channel.id,
      created: 1_600_000_000,
      updated: channel.updated,
      is_archived: channel.archived,
      is_im: direct,
      is_mpim: channel.kind === "mpim",
      is_private: channel.kind !== "public_channel",
      ...(direct
        ? { user: "U00000002", priority: this.restless ? ++this.#reads / 1000 : 0 }
        : {
            name: channel.name,
            is_member: channel.member,
            num_members: this.restless ? ++this.#reads : 2,
            topic: { value: "", creator: "", last_set: 0 }
          })
    }
  }

  userJson(user: User): JsonObject {
    return { id: user.id, name: user.name, real_name: user.name, deleted: false, is_bot: false, updated: user.updated }
  }
}
