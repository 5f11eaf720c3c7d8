/** Whether polls rely on Slack's events. */
import { assert, describe, it } from "@effect/vitest"
import type { Hinted } from "../../../src/contract/Hints.ts"
import * as EventDelivery from "../../../src/integrations/slack/EventDelivery.ts"
import type { State } from "../../../src/integrations/slack/State.ts"
import { tsOf } from "../../../src/integrations/slack/Timestamp.ts"

const minute = 60_000
const begun = 100 * minute

/** A workspace with one conversation, and the result of each step. */
const makeState = () => {
  const state = {
    conversations: new Map([["C1", { archived: false, part: {} }]]),
    moved: new Map()
  } as unknown as State
  return {
    state,
    isUnheard: () => state.conversations.get("C1")?.part.isUnheard === true,
    /** Begins a poll with these hints. Returns whether it relies on events. */
    begin: (at: number, parts: ReadonlyArray<string> = [], isListening = true) =>
      EventDelivery.begin(state, { isListening, parts } as Hinted, at),
    /** Finds a message of this time without a hint, in a poll an hour later. */
    unhinted: (at: number, now = at + 60 * minute) => EventDelivery.onUnhinted(state, "C1", tsOf(at), now),
    problems: () => EventDelivery.problems(state).length
  }
}

describe("a poll", () => {
  it("relies on events once one has come over the open stream, and until the stream ends", () => {
    const { begin } = makeState()
    assert.isFalse(begin(begun))
    assert.isTrue(begin(begun + minute, ["C1"]))
    assert.isTrue(begin(begun + 2 * minute))
    assert.isFalse(begin(begun + 3 * minute, [], false))
    assert.isFalse(begin(begun + 4 * minute))
    assert.isFalse(begin(begun + 5 * minute, ["C1"], false))
  })

  it("stops relying on events after a message without one, until the next event", () => {
    const { begin, isUnheard, problems, state, unhinted } = makeState()
    begin(begun, ["C1"])
    unhinted(begun + minute)
    assert.isFalse(begin(begun + 70 * minute))
    assert.deepStrictEqual([problems(), isUnheard()], [1, true])
    assert.match(EventDelivery.problems(state)[0]?.message ?? "", /check Event Subscriptions/)
    assert.isTrue(begin(begun + 80 * minute, ["C1/1.0"]))
    assert.deepStrictEqual([problems(), isUnheard()], [0, false])
    // A message that is no newer than the last event was missed once, and events come again.
    unhinted(begun + 80 * minute)
    assert.isTrue(begin(begun + 81 * minute))
    assert.deepStrictEqual([problems(), isUnheard()], [0, true])
    // An event of another conversation says nothing of this one.
    begin(begun + 90 * minute, ["C2"])
    assert.isTrue(isUnheard())
  })

  it("expects no event for a message before the stream, nor for one of the last minutes", () => {
    const { begin, isUnheard, problems, unhinted } = makeState()
    begin(begun)
    unhinted(begun)
    unhinted(begun + minute, begun + 7 * minute)
    assert.deepStrictEqual([problems(), isUnheard()], [0, false])
    unhinted(begun + minute, begun + 7 * minute + 1)
    assert.deepStrictEqual([problems(), isUnheard()], [1, true])
  })

  it("expects events since the stream began, and not since the first event", () => {
    const { begin, isUnheard, unhinted } = makeState()
    begin(begun)
    begin(begun + 10 * minute, ["C1"])
    unhinted(begun + 5 * minute)
    assert.isTrue(isUnheard())
  })

  it("misses nothing without a stream", () => {
    const { isUnheard, problems, unhinted } = makeState()
    unhinted(begun)
    assert.deepStrictEqual([problems(), isUnheard()], [0, false])
  })
})
