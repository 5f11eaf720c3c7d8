/** Combines the records of a mailbox's history into one change for each message. `History` reads the records. */
import type { Patch } from "../../contract/Page.ts"
import type { HistoryRecord } from "./Resources.ts"

/** The part of the connection's scope that labels decide. */
export interface Scope {
  /** The labels of messages that are left out: Trash and Spam, unless they are included. */
  readonly excluded: ReadonlySet<string>
  /** The labels of messages that are ignored: chats, unless they are included. */
  readonly ignored: ReadonlySet<string>
  /** Labels that a message must have. */
  readonly wanted: ReadonlyArray<string>
  /** True if each poll finds new messages by a listing, because the history does not show whether they match. */
  readonly needsListing: boolean
}

export interface Changes {
  /** Messages that may be new. */
  readonly candidates: ReadonlyArray<string>
  /** The candidates that came back into the scope because their labels changed. */
  readonly returned: ReadonlyArray<string>
  readonly deleted: ReadonlyArray<string>
  readonly patches: ReadonlyArray<Patch>
  /** True if messages left the listing, or returned to it. */
  readonly shifted: boolean
}

type State = "candidate" | "returned" | "deleted"

/** Splits records into pages. Each page has a bounded number of messages, and ends at a whole record. */
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
 * Combines records, oldest first. A message that is deleted for good, or gets an excluded label, is `deleted`; a
 * message that loses it is a candidate again. Other changes of labels become a merge patch: true for an added label,
 * null for a removed one.
 *
 * The labels that Google returns with a message are its present ones. They rule out candidates, and changes that were
 * undone since: if the history comes newest first, the record of the undoing was on an earlier page
 * (googleapis/google-api-nodejs-client#3508).
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

  for (const record of records) {
    for (const { message } of record.messagesAdded ?? []) {
      // An addition that carries the label may be the only sign that a message was moved to Trash. A message that
      // arrives in Spam looks the same; it was in no listing, so pages do not shift.
      if (isExcluded(message.labelIds)) entry(message.id).state = "deleted"
      else offer(message, "candidate")
    }
    for (const { message, labelIds = [] } of record.labelsAdded ?? []) {
      const added = labelIds.filter((id) => message.labelIds?.includes(id) ?? true)
      for (const id of added) entry(message.id).labels.set(id, true)
      if (isExcluded(added)) entry(message.id).state = "deleted"
      if (isExcluded(labelIds)) shifted = true
      else if (labelIds.some((id) => scope.wanted.includes(id))) {
        offer(message, "returned")
        shifted = true
      }
    }
    for (const { message, labelIds = [] } of record.labelsRemoved ?? []) {
      const removed = labelIds.filter((id) => !(message.labelIds?.includes(id) ?? false))
      for (const id of removed) entry(message.id).labels.set(id, null)
      if (isExcluded(labelIds)) {
        offer(message, "returned")
        shifted = true
      } else if (labelIds.some((id) => scope.wanted.includes(id))) shifted = true
    }
    for (const { message } of record.messagesDeleted ?? []) {
      entry(message.id).state = "deleted"
      shifted = true
    }
  }

  const entries = [...seen]
  const inState = (wanted: State) => entries.flatMap(([id, { state }]) => (state === wanted ? [id] : []))
  const returned = scope.needsListing ? [] : inState("returned")
  return {
    candidates: scope.needsListing ? [] : [...inState("candidate"), ...returned],
    returned,
    deleted: inState("deleted"),
    // Patches also include messages in Trash: a message may have returned in later records, and its labels with it.
    patches: entries.flatMap(([id, { labels }]) =>
      labels.size === 0 ? [] : [{ externalId: id, metadata: { labels: Object.fromEntries(labels) } }]
    ),
    shifted
  }
}
