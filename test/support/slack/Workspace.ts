/**
 * A Slack workspace in memory, according to the Web API's documents: the actions of its people (post, reply, edit,
 * delete, react, share files), and the events that report them.
 */
import {
  type JsonObject,
  type Kind,
  type Message,
  type Posted,
  position,
  WorkspaceObjects
} from "./WorkspaceObjects.ts"

/** Seconds for which messages are kept in their order of arrival. */
const recently = 4 * 86_400

export class Workspace extends WorkspaceObjects {
  /** Seconds since 1970. Advances by one with each action. */
  now: number
  /** Messages that were less than four days old on arrival, for searches. */
  readonly recent: Array<Posted> = []
  #number = 0
  /** Called with each event in the form of the Events API (https://docs.slack.dev/reference/events). */
  onEvent: ((event: JsonObject) => void) | undefined

  constructor(now: number) {
    super()
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

  /** Returns a message in the form of events. */
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

  /** Changes a message as a link preview, or an app that updates its `attachments`, does: `edited` stays unchanged. */
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

  /** Deletes a message. A message with replies leaves a tombstone; any other message disappears. */
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
      // After its last reply is deleted, the tombstone disappears too.
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
      /** Bytes that a download returns instead of the file's. */
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
}
