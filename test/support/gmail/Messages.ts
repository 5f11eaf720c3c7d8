/** Messages of a mailbox: their stored fields, their order, and which of them a listing finds. */

export interface StoredMessage {
  readonly id: string
  readonly threadId: string
  /** Milliseconds since 1970. */
  readonly internalDate: number
  readonly raw: () => Uint8Array
  readonly labelIds: Set<string>
  historyId: bigint
}

export interface Position {
  readonly internalDate: number
  readonly id: string
}

export interface NewMessage {
  readonly id?: string | undefined
  readonly threadId?: string | undefined
  readonly internalDate?: number | undefined
  readonly raw?: string | Uint8Array | (() => Uint8Array) | undefined
  readonly subject?: string | undefined
  readonly labelIds?: ReadonlyArray<string> | undefined
}

export interface ListOptions {
  readonly labelIds: ReadonlyArray<string>
  readonly query: string | undefined
  readonly includeSpamTrash: boolean
  readonly maxResults: number
  readonly pageToken: string | undefined
}

/** Compares by date, and by id if the dates are equal. */
export const isOlder = (a: Position, b: Position): boolean =>
  a.internalDate === b.internalDate ? a.id < b.id : a.internalDate < b.internalDate

export const isHidden = (message: StoredMessage): boolean =>
  message.labelIds.has("TRASH") || message.labelIds.has("SPAM")

/** Returns the test for messages that `messages.list` finds, apart from those that are not in the search index yet. */
export const matcher = (
  options: ListOptions,
  unindexed: ReadonlySet<string>
): ((message: StoredMessage) => boolean) => {
  const terms = (options.query ?? "").replaceAll(/[()]/g, " ").split(/\s+/).filter(Boolean)
  const anywhere = options.includeSpamTrash || terms.includes("in:anywhere")
  const tests = terms.flatMap((term): Array<(message: StoredMessage) => boolean> => {
    const [name, value = ""] = term.split(/:(.*)/s)
    switch (name) {
      case "in":
        return []
      case "after":
        return [(message) => message.internalDate >= Number(value) * 1000]
      case "before":
        return [(message) => message.internalDate < Number(value) * 1000]
      case "-label":
        return [(message) => !message.labelIds.has(value === "chats" ? "CHAT" : value)]
      case "label":
        return [(message) => message.labelIds.has(value)]
      default:
        return [(message) => new TextDecoder("latin1").decode(message.raw()).includes(value === "" ? term : value)]
    }
  })
  return (message) =>
    (options.query === undefined || !unindexed.has(message.id)) &&
    (anywhere || !isHidden(message) || options.labelIds.some((label) => label === "TRASH" || label === "SPAM")) &&
    options.labelIds.every((label) => message.labelIds.has(label)) &&
    tests.every((test) => test(message))
}

const encoder = new TextEncoder()

const plainMessage = (id: string, subject: string): Uint8Array =>
  encoder.encode(
    [
      "From: Ann Sender <ann@example.com>",
      "To: me@example.com",
      `Subject: ${subject}`,
      `Message-ID: <${id}@example.com>`,
      "Date: Thu, 01 Jan 2026 00:00:00 +0000",
      "MIME-Version: 1.0",
      "Content-Type: text/plain; charset=utf-8",
      "",
      `The body of ${id}.`,
      ""
    ].join("\r\n")
  )

/** Returns the bytes of an added message, which are made on demand. */
export const rawOf = (id: string, { raw, subject = `Message ${id}` }: NewMessage): (() => Uint8Array) =>
  typeof raw === "function"
    ? raw
    : () => (raw === undefined ? plainMessage(id, subject) : typeof raw === "string" ? encoder.encode(raw) : raw)
