/**
 * A Slack workspace in memory, as the Web API's documents describe it: what its people do (post, reply, edit, delete,
 * react, share files), and the objects that the API shows for it. Messages of a conversation are kept in the order of
 * their `ts`; a look-up is a binary search, so that 10,000 messages are cheap.
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
  /** Slack's word for why we can't read it; undefined while we can. */
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
  /** The media type that its bytes come with, if not `mimetype`. */
  readonly servedAs: string | undefined
  readonly served: Uint8Array
  /** Slack Connect: messages name its id only, and `files.info` says the rest. */
  readonly checkInfo: boolean
  /** The URL of a file that another host keeps. */
  readonly externalUrl: string | undefined
  deleted: boolean
  /**
   * A file that Slack names and does not give: one behind the limit of a free plan (zulip/zulip#12011,
   * sgratzl/slack_cleaner2#101), or one of Slack Connect that we may not see (zulip/zulip#23197).
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

/** Where `ts` stands, or would stand. A `ts` here always has ten digits before the point: its text sorts. */
export const position = (messages: ReadonlyArray<Message>, ts: string): number => {
  let [low, high] = [0, messages.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((messages[middle]?.ts ?? "") < ts) low = middle + 1
    else high = middle
  }
  return low
}

/** Seconds for which messages are kept in the order in which they came. */
const recently = 4 * 86_400

export class Workspace {
  readonly channels = new Map<string, Channel>()
  readonly files = new Map<string, File>()
  readonly users = new Map<string, User>()
  /** Seconds since 1970: moves on by one with each thing that happens. */
  now: number
  /** Messages that were less than four days old when they came: for searches. */
  readonly recent: Array<Posted> = []
  #number = 0
  #reads = 0
  /** Told of each event, as the Events API tells it (https://docs.slack.dev/reference/events). */
  onEvent: ((event: JsonObject) => void) | undefined
  /** Shows the fields that move while nothing has changed (how far we have read, member counts). */
  restless = false

  constructor(now: number) {
    this.now = now
    this.addUser("alice")
    this.addUser("bob")
  }

  tick(): string {
    this.now += 1
    return `${this.now}.${String(++this.#number % 1_000_000).padStart(6, "0")}`
  }

  addUser(name: string): string {
    const id = `U${String(this.users.size + 1).padStart(8, "0")}`
    this.users.set(id, { id, name, updated: this.now })
    return id
  }

  renameUser(id: string, name: string): void {
    const user = this.users.get(id)
    if (user === undefined) return
    Object.assign(user, { name, updated: user.updated + 1 })
    this.onEvent?.({ type: "user_change", user: this.userJson(user) })
  }

  addChannel(name: string, kind: Kind = "public_channel"): string {
    const id = `${kind === "im" ? "D" : kind === "public_channel" ? "C" : "G"}${String(this.channels.size + 1).padStart(8, "0")}`
    this.channels.set(id, {
      id,
      kind,
      name,
      archived: false,
      member: true,
      updated: this.now * 1000,
      closed: undefined,
      parents: [],
      threads: new Map()
    })
    this.onEvent?.({ type: "channel_created", channel: { id, name, created: this.now, creator: "U00000001" } })
    return id
  }

  /** A message as events show it. */
  #eventOf(channelId: string, message: Message): JsonObject {
    return this.messageJson(this.channel(channelId), message, () => "https://files.slack.com/", false)
  }

  #changed(channelId: string, message: Message): void {
    const ts = this.tick()
    this.onEvent?.({
      type: "message",
      subtype: "message_changed",
      hidden: true,
      channel: channelId,
      ts,
      event_ts: ts,
      message: this.#eventOf(channelId, message)
    })
  }

  channel(id: string): Channel {
    const channel = this.channels.get(id)
    if (channel === undefined) throw new Error(`no channel ${id}`)
    return channel
  }

  /** The message and the list that it stands in. */
  find(channelId: string, ts: string): { readonly message: Message; readonly list: Array<Message> } | undefined {
    const channel = this.channel(channelId)
    for (const list of [channel.parents, ...channel.threads.values()]) {
      const message = list[position(list, ts)]
      if (message?.ts === ts) return { message, list }
    }
    return undefined
  }

  post(
    channelId: string,
    text: string,
    options: { ts?: string; thread?: string; user?: string; files?: Array<string>; broadcast?: boolean } = {}
  ): string {
    const channel = this.channel(channelId)
    const ts = options.ts ?? this.tick()
    let list = channel.parents
    if (options.thread !== undefined) {
      list = channel.threads.get(options.thread) ?? []
      channel.threads.set(options.thread, list)
    }
    list.splice(position(list, ts), 0, {
      ts,
      user: options.user ?? "U00000001",
      text,
      edited: undefined,
      threadTs: options.thread,
      broadcast: options.broadcast ?? false,
      tombstone: false,
      files: options.files ?? [],
      attachments: [],
      reactions: new Map()
    })
    const posted = list[position(list, ts)]
    if (posted !== undefined && Number(ts) > this.now - recently) this.recent.push({ channel, message: posted })
    if (posted !== undefined && this.onEvent !== undefined) {
      this.onEvent?.({ ...this.#eventOf(channelId, posted), channel: channelId, event_ts: ts, channel_type: "channel" })
    }
    return ts
  }

  /** As Slack adds a preview of a link, or an app updates its `attachments`: `edited` stays as it was. */
  unfurl(channelId: string, ts: string, title: string): void {
    const found = this.find(channelId, ts)
    if (found === undefined) return
    found.message.attachments = [{ id: 1, title, fallback: title }]
    this.#changed(channelId, found.message)
  }

  edit(channelId: string, ts: string, text: string): void {
    const found = this.find(channelId, ts)
    if (found !== undefined) {
      Object.assign(found.message, { text, edited: { user: found.message.user, ts: this.tick() } })
      this.#changed(channelId, found.message)
    }
  }

  react(channelId: string, ts: string, name: string): void {
    this.find(channelId, ts)?.message.reactions.set(name, ["U00000002"])
    const item = { type: "message", channel: channelId, ts }
    this.onEvent?.({ type: "reaction_added", user: "U00000002", reaction: name, item_user: "U00000001", item })
  }

  /** A message that has replies leaves a tombstone; any other one vanishes. */
  delete(channelId: string, ts: string): void {
    const channel = this.channel(channelId)
    const found = this.find(channelId, ts)
    if (found === undefined) return
    const previous = this.onEvent === undefined ? {} : this.#eventOf(channelId, found.message)
    if ((channel.threads.get(ts)?.length ?? 0) > 0) {
      Object.assign(found.message, { tombstone: true, text: "This message was deleted.", files: [], edited: undefined })
      this.#changed(channelId, found.message)
      return
    }
    found.list.splice(position(found.list, ts), 1)
    const thread = found.message.threadTs
    if (thread !== undefined && found.list.length === 0) {
      channel.threads.delete(thread)
      const parent = this.find(channelId, thread)
      // With its last reply gone, nothing holds the tombstone any more.
      if (parent?.message.tombstone === true) parent.list.splice(position(parent.list, thread), 1)
    }
    this.onEvent?.({
      type: "message",
      subtype: "message_deleted",
      hidden: true,
      channel: channelId,
      ts: this.tick(),
      deleted_ts: ts,
      previous_message: previous
    })
  }

  addFile(
    name: string,
    body: Uint8Array,
    options: {
      externalUrl?: string
      mimetype?: string
      servedAs?: string
      /** Bytes that a download gives instead of the file's. */
      served?: Uint8Array
      checkInfo?: boolean
      created?: number
    } = {}
  ): string {
    const id = `F${String(this.files.size + 1).padStart(8, "0")}`
    this.files.set(id, {
      id,
      name,
      body,
      mimetype: options.mimetype ?? "text/plain",
      created: options.created ?? this.now,
      servedAs: options.servedAs,
      served: options.served ?? body,
      checkInfo: options.checkInfo ?? false,
      externalUrl: options.externalUrl,
      deleted: false,
      withheld: undefined
    })
    return id
  }

  /** As `conversations.history` shows it (`root` with a reply that was also sent to the channel), or `.replies`. */
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
