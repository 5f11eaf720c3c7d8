/** Sums up the records of a mailbox's history: one change for each message. `History` reads them. */
import type { Patch } from "../../contract/Page.ts"
import type { HistoryRecord } from "./Resources.ts"

/** The scope of the connection, as far as labels decide it. */
export interface Scope {
  /** Labels whose messages are left out: Trash and Spam, unless they are asked for. */
  readonly excluded: ReadonlySet<string>
  /** Labels whose messages are never looked at: chats, unless they are asked for. */
  readonly ignored: ReadonlySet<string>
  /** Labels that a message must have. */
  readonly wanted: ReadonlyArray<string>
  /** New messages are found by listing at each poll: the history can't tell whether they match. */
  readonly needsListing: boolean
}

export interface Changes {
  /** Messages that may be new. */
  readonly candidates: ReadonlyArray<string>
  /** Those of the candidates that came back into the scope by their labels. */
  readonly returned: ReadonlyArray<string>
  readonly deleted: ReadonlyArray<string>
  readonly patches: ReadonlyArray<Patch>
  /** Messages left what is listed, or came back to it out of turn. */
  readonly shifted: boolean
}

type State = "candidate" | "returned" | "deleted"

/** Cuts records into pages: each has a bounded number of messages and ends at a whole record. */
export const chunks = (
  records: ReadonlyArray<HistoryRecord>,
  most: number
): ReadonlyArray<ReadonlyArray<HistoryRecord>> => {
  const result: Array<Array<HistoryRecord>> = []
  let room = 0
  for (const record of records) {
    const size =
      (record.messagesAdded?.length ?? 0) +
      (record.messagesDeleted?.length ?? 0) +
      (record.labelsAdded?.length ?? 0) +
      (record.labelsRemoved?.length ?? 0)
    const last = result.at(-1)
    if (last === undefined || size > room) {
      result.push([record])
      room = most - size
    } else {
      last.push(record)
      room -= size
    }
  }
  return result
}

/**
 * Folds records, oldest first. A message that is deleted for good or goes where it is excluded is `deleted`; one that
 * leaves there is a candidate again. Everything else about labels is a merge patch: true for an added one, null for a
 * removed one. Google gives a message's labels as they are now, not as they were then: they only rule candidates out.
 */
export const fold = (records: ReadonlyArray<HistoryRecord>, scope: Scope): Changes => {
  const seen = new Map<string, { state?: State; readonly labels: Map<string, true | null> }>()
  let shifted = false

  const entry = (id: string) => {
    const known = seen.get(id) ?? { labels: new Map<string, true | null>() }
    seen.set(id, known)
    return known
  }
  const isExcluded = (labelIds: ReadonlyArray<string> = []): boolean => labelIds.some((id) => scope.excluded.has(id))
  const matches = (labelIds: ReadonlyArray<string> | undefined): boolean =>
    labelIds === undefined ||
    (!isExcluded(labelIds) &&
      !labelIds.some((id) => scope.ignored.has(id)) &&
      scope.wanted.every((id) => labelIds.includes(id)))
  const offer = (message: { readonly id: string; readonly labelIds?: ReadonlyArray<string> }, state: State) => {
    if (matches(message.labelIds)) entry(message.id).state = state
  }
  const remove = (id: string) => {
    entry(id).state = "deleted"
    shifted = true
  }

  for (const record of records) {
    for (const { message } of record.messagesAdded ?? []) {
      // The one sign of a message's trashing may be an addition that carries the label. A message that arrives in Spam
      // looks the same; it was in no listing, so that no page shifts.
      if (isExcluded(message.labelIds)) entry(message.id).state = "deleted"
      else offer(message, "candidate")
    }
    for (const { message, labelIds = [] } of record.labelsAdded ?? []) {
      for (const id of labelIds) entry(message.id).labels.set(id, true)
      if (isExcluded(labelIds)) remove(message.id)
      else if (labelIds.some((id) => scope.wanted.includes(id))) {
        offer(message, "returned")
        shifted = true
      }
    }
    for (const { message, labelIds = [] } of record.labelsRemoved ?? []) {
      for (const id of labelIds) entry(message.id).labels.set(id, null)
      if (isExcluded(labelIds)) {
        offer(message, "returned")
        shifted = true
      } else if (labelIds.some((id) => scope.wanted.includes(id))) shifted = true
    }
    for (const { message } of record.messagesDeleted ?? []) remove(message.id)
  }

  const entries = [...seen]
  const inState = (wanted: State) => entries.flatMap(([id, { state }]) => (state === wanted ? [id] : []))
  const returned = scope.needsListing ? [] : inState("returned")
  return {
    candidates: scope.needsListing ? [] : [...inState("candidate"), ...returned],
    returned,
    deleted: inState("deleted"),
    // Also of what went to Trash: it may be back in records that are not read yet, and its labels with it.
    patches: entries.flatMap(([id, { labels }]) =>
      labels.size === 0 ? [] : [{ externalId: id, metadata: { labels: Object.fromEntries(labels) } }]
    ),
    shifted
  }
}
