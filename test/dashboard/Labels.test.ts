import { assert, it } from "@effect/vitest"
import type { Status } from "../../src/dashboard/Api.ts"
import * as Labels from "../../src/dashboard/Labels.ts"

const now = new Date("2026-01-10T00:00:00Z")

const healthy: Status = {
  name: "mail",
  id: "01900000-0000-7000-8000-000000000000",
  domain: "gmail",
  account: "me@example.com",
  state: "idle",
  paused: null,
  every: "5 minutes",
  problems: [],
  lastCheckedAt: "2026-01-09T23:59:00Z",
  nextPollAt: "2026-01-10T00:04:00Z",
  askedToWaitUntil: null,
  failures: 0,
  holder: null,
  config: {},
  memberOf: null,
  members: null,
  createdAt: "2026-01-01T00:00:00Z",
  totals: { stored: 1, failed: 0, dead: 0, deferred: 0, deleted: 0, bytes: 1, deletionsHeld: 0 },
  ledger: 0,
  leftOut: [],
  lastRun: null,
  progress: null,
  estimate: null,
  unitsPerMinute: null,
  unfinished: []
}

it("problems, a pause, held deletions, dead items and a source that was never checked need a person", () => {
  const needs = (change: Partial<Status>) => Labels.needs({ ...healthy, ...change }, now).map(({ text }) => text)
  const totals = (change: Partial<Status["totals"]>) => ({ totals: { ...healthy.totals, ...change } })
  assert.deepStrictEqual(needs({ problems: [{ place: "/a", message: "refused" }] }), ["1 place not listed"])
  assert.deepStrictEqual(needs({ state: "paused", paused: "the token was revoked" }), ["paused: the next step"])
  assert.deepStrictEqual(needs(totals({ deletionsHeld: 2 })), ["2 deletions to approve"])
  assert.deepStrictEqual(needs(totals({ dead: 1 })), ["1 dead item"])
  assert.deepStrictEqual(needs({ lastCheckedAt: null }), ["never checked"])
})

it("what goes on by itself, what a person paused, and a connection's first minutes need nobody", () => {
  const needs = (change: Partial<Status>) => Labels.needs({ ...healthy, ...change }, now)
  assert.deepStrictEqual(needs({}), [])
  assert.deepStrictEqual(needs({ totals: { ...healthy.totals, failed: 3, deferred: 2 }, failures: 1 }), [])
  assert.deepStrictEqual(needs({ state: "paused", paused: "by a person" }), [])
  assert.deepStrictEqual(needs({ lastCheckedAt: null, state: "running" }), [])
  assert.deepStrictEqual(needs({ lastCheckedAt: null, createdAt: "2026-01-09T23:55:00Z" }), [])
})

it("a connection's state and a run's status are named as on the command line", () => {
  assert.strictEqual(Labels.stateOf(healthy).text, "Idle")
  assert.strictEqual(Labels.runStatus.partial.text, "Partial")
})

it("who wrote a content is its sender, or its author and channel", () => {
  const of = (row: Partial<Parameters<typeof Labels.fromOf>[0]>) =>
    Labels.fromOf({ from: null, in: null, metadata: {}, ...row })
  assert.strictEqual(of({ from: "Ada <ada@example.com>" }), "Ada <ada@example.com>")
  assert.strictEqual(of({ from: "Bob", in: "general", metadata: { threadTs: "1.0" } }), "Bob in #general (reply)")
  assert.strictEqual(of({}), "–")
})
