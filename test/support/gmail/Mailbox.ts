/**
 * A mailbox with Gmail's behaviour: messages newest first, labels, and a history of changes. All methods are
 * synchronous, so that a test changes the mailbox in one line. To support mailboxes of 100,000 messages, bodies are
 * made only when they are requested.
 */
import {
  isHidden,
  isOlder,
  type ListOptions,
  matcher,
  type NewMessage,
  type Position,
  rawOf,
  type StoredMessage
} from "./Messages.ts"

type Change = "messagesAdded" | "messagesDeleted" | "labelsAdded" | "labelsRemoved"

interface HistoryEntry {
  readonly id: bigint
  readonly change: Change
  readonly messageId: string
  readonly threadId: string
  readonly labelIds: ReadonlyArray<string>
}

/** A refused request; the server responds with Google's error. */
export class Refusal extends Error {
  readonly status: number
  readonly reason: string
  constructor(status: number, reason: string, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

const systemLabels = [
  "CHAT",
  "SENT",
  "INBOX",
  "IMPORTANT",
  "TRASH",
  "DRAFT",
  "SPAM",
  "CATEGORY_FORUMS",
  "CATEGORY_UPDATES",
  "CATEGORY_PERSONAL",
  "CATEGORY_PROMOTIONS",
  "CATEGORY_SOCIAL",
  "STARRED",
  "UNREAD"
]

export class Mailbox {
  readonly labels = new Map<string, string>(systemLabels.map((id) => [id, id]))
  private readonly byId = new Map<string, StoredMessage>()
  /** Oldest first, because appending the newest message is cheap. */
  private readonly ordered: Array<StoredMessage> = []
  private readonly entries: Array<HistoryEntry> = []
  private expiredUpTo = 0n
  private last = 1_000_000_000_000_000_000n
  private serial = 0x18c0_0000_0000
  private clock = Date.UTC(2026, 0, 1)
  private epoch = 0
  /**
   * Gmail's tokens name a position and remain valid after changes. An offset repeats and skips rows when messages come
   * and go.
   */
  pageTokens: "position" | "offset" = "position"
  /** The most entries on a page of messages or history. */
  pageLimit = 500
  /**
   * True if the history is newest first. Google documents it as oldest first
   * (https://developers.google.com/workspace/gmail/api/reference/rest/v1/users.history/list), which
   * googleapis/google-api-nodejs-client#3508 denies.
   */
  isHistoryReversed = false
  /**
   * Messages that no `q` finds yet: the search index lags the mailbox by seconds to days, while `messages.get` and the
   * counts of labels are right (anthropics/claude-code#82548, #76396, anthropics/claude-ai-mcp#239).
   */
  readonly unindexed = new Set<string>()
  /**
   * Messages that the history shows, but `messages.get` does not find yet, for seconds after their arrival
   * (byeokim/gmailpush#10, gauteh/lieer#2).
   */
  readonly unready = new Set<string>()

  /** The mailbox's current history id. */
  get historyId(): string {
    return this.last.toString()
  }

  get size(): number {
    return this.byId.size
  }

  get(id: string): StoredMessage | undefined {
    return this.byId.get(id)
  }

  /** The ids of the messages outside of Trash and Spam, newest first. */
  get ids(): ReadonlyArray<string> {
    return this.all.filter((message) => !isHidden(message)).map((message) => message.id)
  }

  get all(): ReadonlyArray<StoredMessage> {
    return this.ordered.toReversed()
  }

  /** Returns the ids of the newest messages, newest first. */
  newest(count: number): ReadonlyArray<string> {
    return this.ordered
      .slice(-count)
      .toReversed()
      .map(({ id }) => id)
  }

  /** Adds a message; by default it is the newest, in the inbox and unread. Returns its id. */
  add(message: NewMessage = {}): string {
    this.serial += 1
    this.clock += 60_000
    const id = message.id ?? this.serial.toString(16).padStart(16, "0")
    const stored: StoredMessage = {
      id,
      threadId: message.threadId ?? id,
      internalDate: message.internalDate ?? this.clock,
      raw: rawOf(id, message),
      labelIds: new Set(message.labelIds ?? ["INBOX", "UNREAD"]),
      historyId: 0n
    }
    for (const label of stored.labelIds) if (!this.labels.has(label)) this.labels.set(label, label)
    this.byId.set(id, stored)
    this.ordered.splice(this.place(stored), 0, stored)
    this.record("messagesAdded", stored, [])
    return id
  }

  /**
   * Adds this many messages, each newer than the one before, with bodies that are made on demand. Returns their ids.
   */
  fill(count: number, message: (index: number) => NewMessage = () => ({})): ReadonlyArray<string> {
    return Array.from({ length: count }, (_, index) => this.add(message(index)))
  }

  modify(id: string, change: { readonly add?: ReadonlyArray<string>; readonly remove?: ReadonlyArray<string> }): void {
    const message = this.byId.get(id)
    if (message === undefined) throw new Error(`no message ${id}`)
    const added = (change.add ?? []).filter((label) => !message.labelIds.has(label))
    const removed = (change.remove ?? []).filter((label) => message.labelIds.has(label))
    for (const label of added) {
      if (!this.labels.has(label)) this.labels.set(label, label)
      message.labelIds.add(label)
    }
    for (const label of removed) message.labelIds.delete(label)
    if (added.length > 0) this.record("labelsAdded", message, added)
    if (removed.length > 0) this.record("labelsRemoved", message, removed)
  }

  trash(id: string): void {
    this.modify(id, { add: ["TRASH"], remove: ["INBOX"] })
  }

  untrash(id: string): void {
    this.modify(id, { remove: ["TRASH"], add: ["INBOX"] })
  }

  /** Deletes a message permanently. */
  remove(id: string): void {
    const message = this.byId.get(id)
    if (message === undefined) throw new Error(`no message ${id}`)
    this.byId.delete(id)
    this.ordered.splice(this.place(message), 1)
    this.record("messagesDeleted", message, [])
  }

  /**
   * Saves a new draft, or again the draft with the message id `before`: each save replaces the draft's message with a
   * message of another id (taylorwilsdon/google_workspace_mcp#920).
   */
  saveDraft(before?: string): string {
    if (before !== undefined) this.remove(before)
    return this.add({ labelIds: ["DRAFT"], subject: "A draft" })
  }

  /** Forgets the history so far, as Gmail does after a week or sooner. */
  expireHistory(): void {
    this.last += 1n
    this.expiredUpTo = this.last
    this.entries.length = 0
  }

  /** Refuses the page tokens that were issued so far. */
  refusePageTokens(): void {
    this.epoch += 1
  }

  list(options: ListOptions) {
    for (const label of options.labelIds) {
      if (!this.labels.has(label)) throw new Refusal(400, "invalidArgument", `Invalid label: ${label}`)
    }
    const matches = matcher(options, this.unindexed)
    const token = options.pageToken === undefined ? undefined : this.readToken(options.pageToken)
    const found: Array<StoredMessage> = []
    let at = (token?.after === undefined ? this.ordered.length : this.place(token.after)) - 1
    let skip = token?.offset ?? 0
    let more = false
    for (; at >= 0; at--) {
      const message = this.ordered[at]
      if (message === undefined || !matches(message)) continue
      if (skip > 0) {
        skip -= 1
        continue
      }
      if (found.length === options.maxResults) {
        more = true
        break
      }
      found.push(message)
    }
    const last = found.at(-1)
    const next = !more || last === undefined ? undefined : this.writeToken(last, (token?.offset ?? 0) + found.length)
    return { found, next, estimate: options.query === undefined && options.labelIds.length === 0 ? this.size : 201 }
  }

  history(options: { start: bigint; labelId: string | undefined; maxResults: number; pageToken: string | undefined }) {
    if (options.start < this.expiredUpTo || options.start > this.last) {
      throw new Refusal(404, "notFound", "Requested entity was not found.")
    }
    const first = firstAfter(this.entries, options.start)
    let at = first
    // All pages show the history as it was at the first page.
    let end = this.entries.length
    if (options.pageToken !== undefined) {
      const [epoch, start, from, to] = options.pageToken.split(".")
      if (epoch !== String(this.epoch) || start !== String(options.start)) {
        throw new Refusal(400, "invalidArgument", "Invalid pageToken")
      }
      at = Number(from)
      end = Number(to)
    }
    const records = []
    for (; at < end && records.length < options.maxResults; at++) {
      const entry = this.entries[this.isHistoryReversed ? first + end - 1 - at : at]
      if (entry === undefined) continue
      const labelIds = [...(this.byId.get(entry.messageId)?.labelIds ?? [])]
      if (options.labelId !== undefined && !labelIds.includes(options.labelId)) continue
      const message = { id: entry.messageId, threadId: entry.threadId, ...(labelIds.length > 0 ? { labelIds } : {}) }
      const changed = entry.change.startsWith("labels") ? { message, labelIds: entry.labelIds } : { message }
      records.push({ id: entry.id.toString(), messages: [message], [entry.change]: [changed] })
    }
    return { records, next: at < end ? `${this.epoch}.${options.start}.${at}.${end}` : undefined }
  }

  private record(change: Change, message: StoredMessage, labelIds: ReadonlyArray<string>): void {
    // History ids are chronological, but not contiguous.
    this.last += 1n + (this.last % 5n)
    message.historyId = this.last
    this.entries.push({ id: this.last, change, messageId: message.id, threadId: message.threadId, labelIds })
  }

  /** Returns the number of older messages: the index of a message of this date and id, present or not. */
  private place(position: Position): number {
    let low = 0
    let high = this.ordered.length
    while (low < high) {
      const middle = (low + high) >> 1
      const there = this.ordered[middle]
      if (there !== undefined && isOlder(there, position)) low = middle + 1
      else high = middle
    }
    return low
  }

  private writeToken(last: StoredMessage, offset: number): string {
    return this.pageTokens === "offset" ? `${this.epoch}.o${offset}` : `${this.epoch}.${last.internalDate}.${last.id}`
  }

  private readToken(token: string): { readonly after?: Position; readonly offset?: number } {
    const [epoch, position, id] = token.split(".")
    if (epoch !== String(this.epoch) || position === undefined) {
      throw new Refusal(400, "invalidArgument", "Invalid pageToken")
    }
    return id === undefined ? { offset: Number(position.slice(1)) } : { after: { internalDate: Number(position), id } }
  }
}

const firstAfter = (entries: ReadonlyArray<HistoryEntry>, start: bigint): number => {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle]?.id ?? 0n) <= start) low = middle + 1
    else high = middle
  }
  return low
}
