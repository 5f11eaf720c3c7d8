/** The state of a conversation after a pass over its history. */
import { assert, describe, it } from "@effect/vitest"
import type { Conversation, Place } from "../../../src/integrations/slack/Checkpoint.ts"
import { noTally, tallied } from "../../../src/integrations/slack/DeletionSigns.ts"
import * as HistoryPasses from "../../../src/integrations/slack/HistoryPasses.ts"
import type { Message } from "../../../src/integrations/slack/Message.ts"
import type { State } from "../../../src/integrations/slack/State.ts"

const top = "30.000000"
const startedAt = 40_000
const tallyOf = (messages: ReadonlyArray<string>, upTo = top) => messages.reduce(tallied, noTally(upTo))

/** Reads these messages, a page each, and ends at this place. Returns the conversation's state. */
const read = (
  before: Conversation,
  messages: ReadonlyArray<string>,
  last: Place = { at: messages.at(-1) ?? "0.0" }
) => {
  const state = {
    conversations: new Map([["C1", { archived: false, part: before }]]),
    moved: new Map()
  } as unknown as State
  HistoryPasses.beginHistory(state, "C1", startedAt, top)
  for (const at of messages) HistoryPasses.moveHistory(state, "C1", { place: { at }, history: [at] })
  HistoryPasses.moveHistory(state, "C1", { place: last, history: [], end: "read" })
  return state.conversations.get("C1")?.part
}

const messages = ["29.000000", "20.000000", "10.000000"]
const whole = { historyAt: startedAt, tally: tallyOf(messages), oldest: "10.000000" }

describe("a pass over a history", () => {
  it("leaves a tally, and the oldest message that it found", () => {
    assert.deepStrictEqual(read({}, messages), whole)
    assert.deepStrictEqual(read({}, [], {}), { historyAt: startedAt, tally: noTally(top), oldest: "40.000000" })
  })

  it("marks the conversation if the last pass counted other messages up to the same time", () => {
    const before = { tally: tallyOf(["20.000000", "10.000000"], "25.000000"), oldest: "10.000000" }
    assert.deepStrictEqual(read(before, messages), whole)
    // A message was deleted; or one was deleted, and another one is shown again.
    const suspect = { ...whole, suspect: true }
    const deleted = { tally: tallyOf(["20.000000", "15.000000", "10.000000"], "25.000000") }
    assert.deepStrictEqual(read(deleted, messages), suspect)
    assert.deepStrictEqual(read({ tally: tallyOf(["15.000000", "10.000000"], "25.000000") }, messages), suspect)
    // A mark stays until a complete pass.
    assert.deepStrictEqual(read({ ...before, suspect: true }, messages), suspect)
  })

  it("proves nothing if it could not read everything", () => {
    const before = { tally: tallyOf(["15.000000"], "25.000000"), oldest: "5.000000" }
    const broken = { at: "10.000000", broken: true }
    assert.deepStrictEqual(read(before, messages, broken), { historyAt: startedAt, oldest: "5.000000" })
    assert.deepStrictEqual(read({ ...before, suspect: true }, messages, broken), {
      historyAt: startedAt,
      oldest: "5.000000",
      suspect: true
    })
  })

  it("goes on where it was interrupted, with its own time", () => {
    const state = {
      conversations: new Map([["C1", { archived: false, part: {} }]]),
      moved: new Map()
    } as unknown as State
    HistoryPasses.beginHistory(state, "C1", startedAt, top)
    HistoryPasses.moveHistory(state, "C1", { place: { at: "20.000000" }, history: ["20.000000"] })
    HistoryPasses.beginHistory(state, "C1", 50_000, "50.000000")
    assert.deepStrictEqual(state.conversations.get("C1")?.part.history, {
      place: { at: "20.000000" },
      startedAt,
      seen: noTally("0.0"),
      now: tallyOf(["20.000000"])
    })
  })

  it("has a floor once it was read as a whole", () => {
    assert.isUndefined(HistoryPasses.floorOf({}))
    assert.strictEqual(HistoryPasses.floorOf({ historyAt: 1 }), "0.0")
    assert.strictEqual(HistoryPasses.floorOf({ historyAt: 1, oldest: "10.0" }), "10.0")
  })

  it("remembers the newest message of all", () => {
    const state = {} as State
    const see = (...seen: ReadonlyArray<string>) => {
      HistoryPasses.recordSeen(
        state,
        seen.map((ts) => ({ ts }) as Message)
      )
      return state.seen
    }
    assert.deepStrictEqual(
      [see(), see("9.0", "10.0", "8.0"), see("9.0"), see("11.0")],
      [undefined, "10.0", "10.0", "11.0"]
    )
  })
})
