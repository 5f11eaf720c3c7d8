/** Which changes follow from the records of a history, and how they are divided into pages. */
import { assert, describe, it } from "@effect/vitest"
import * as HistoryChanges from "../../../src/integrations/gmail/HistoryChanges.ts"
import type { HistoryRecord } from "../../../src/integrations/gmail/Resources.ts"

const message = (id: string, labelIds?: ReadonlyArray<string>) => ({
  message: { id, threadId: id, ...(labelIds === undefined ? {} : { labelIds }) }
})

describe("the pages of a history", () => {
  const kinds = ["messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"] as const

  /** A record with this number of messages in each of its lists. */
  const record = (id: number, counts: ReadonlyArray<number>): HistoryRecord => ({
    id: String(id),
    ...Object.fromEntries(
      kinds.flatMap((kind, at) => {
        const messages = Array.from({ length: counts[at] ?? 0 }, (_, index) => message(`${id} ${index}`))
        return messages.length === 0 ? [] : [[kind, messages]]
      })
    )
  })
  const sizeOf = (one: HistoryRecord) => kinds.reduce((sum, kind) => sum + (one[kind]?.length ?? 0), 0)
  const total = (records: ReadonlyArray<HistoryRecord>) => records.reduce((sum, one) => sum + sizeOf(one), 0)

  it("are as few as possible, have at most so many messages, and end at a whole record", () => {
    const most = 6
    const counts = [[], [1], [0, 2], [0, 0, 2], [0, 0, 0, 1], [1, 1, 1, 3], [2, 2, 2, 2], [1], [1, 1], [], [3], [0, 3]]
    const records = counts.map((each, index) => record(index, each))
    const pages = HistoryChanges.chunks(records, most)
    assert.deepStrictEqual(pages.flat(), records)
    for (const [index, page] of pages.entries()) {
      assert.isTrue(total(page) <= most || page.length === 1, `page ${index}`)
      const [next] = pages[index + 1] ?? []
      if (next !== undefined) assert.isAbove(total(page) + sizeOf(next), most, `page ${index}`)
    }
  })
})

describe("the changes of a history", () => {
  const scope: HistoryChanges.Scope = {
    excluded: new Set(["TRASH", "SPAM"]),
    ignored: new Set(["CHAT"]),
    wanted: ["Work"],
    needsListing: false
  }
  const fold = (record: Omit<HistoryRecord, "id">, more: Partial<HistoryChanges.Scope> = {}) =>
    HistoryChanges.fold([{ id: "1", ...record }], { ...scope, ...more })
  const one = (labelIds: ReadonlyArray<string>, moved: ReadonlyArray<string>) => [
    { ...message("a", labelIds), labelIds: moved }
  ]

  // Pages of a listing shift if a message before them leaves the listing, or returns to it.
  const shifts: ReadonlyArray<readonly [string, Omit<HistoryRecord, "id">, boolean]> = [
    ["a new message", { messagesAdded: [message("a", ["Work"])] }, false],
    ["a message that arrives in Spam", { messagesAdded: [message("a", ["Work", "SPAM"])] }, false],
    ["a deleted message", { messagesDeleted: [message("a")] }, true],
    ["a message that moves to Trash", { labelsAdded: one(["Work", "TRASH"], ["UNREAD", "TRASH"]) }, true],
    ["a message that leaves Trash", { labelsRemoved: one(["Work"], ["UNREAD", "TRASH"]) }, true],
    ["a message that gets a wanted label", { labelsAdded: one(["Work"], ["UNREAD", "Work"]) }, true],
    ["a message that loses a wanted label", { labelsRemoved: one([], ["UNREAD", "Work"]) }, true],
    ["a message that gets another label", { labelsAdded: one(["Work", "UNREAD"], ["UNREAD"]) }, false],
    ["a message that loses another label", { labelsRemoved: one(["Work"], ["UNREAD"]) }, false],
    ["a record without labels", { labelsAdded: [message("a")], labelsRemoved: [message("b")] }, false]
  ]
  for (const [name, record, shifted] of shifts) {
    it(`${shifted ? "shift" : "do not shift"} the pages of a listing: ${name}`, () => {
      assert.strictEqual(fold(record).shifted, shifted)
    })
  }

  it("return a message that gets a wanted label, or leaves Trash, unless it is a chat", () => {
    const returned = (record: Omit<HistoryRecord, "id">) => fold(record).returned
    assert.deepStrictEqual(returned({ labelsAdded: one(["Work"], ["UNREAD", "Work"]) }), ["a"])
    assert.deepStrictEqual(returned({ labelsRemoved: one(["Work"], ["UNREAD", "TRASH"]) }), ["a"])
    assert.deepStrictEqual(returned({ labelsAdded: one(["Work", "CHAT"], ["Work"]) }), [])
    assert.deepStrictEqual(returned({ labelsAdded: one(["Work"], ["UNREAD"]) }), [])
  })

  it("are patches and deletions alone, if a listing finds new messages", () => {
    const record = {
      messagesAdded: [message("a", ["Work"])],
      labelsAdded: [{ ...message("b", ["Work"]), labelIds: ["Work"] }],
      messagesDeleted: [message("c")]
    }
    assert.deepStrictEqual(fold(record, { needsListing: true }), {
      candidates: [],
      returned: [],
      deleted: ["c"],
      patches: [{ externalId: "b", metadata: { labels: { Work: true } } }],
      shifted: true
    })
  })
})
