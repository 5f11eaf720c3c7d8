import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SyncTask from "../../src/contract/SyncTask.ts"

const at = (iso: string): DateTime.Utc => DateTime.makeUnsafe(iso)
const since = at("2026-01-02T00:00:00Z")
const until = at("2026-01-05T00:00:00Z")
const { poll } = SyncTask

describe("a sync task", () => {
  it("of a scheduled poll is live, and asks for nothing", () => {
    assert.deepStrictEqual(poll, { force: false, forceIds: [], dryRun: false })
    assert.isTrue(SyncTask.isLive(poll))
    assert.isFalse(SyncTask.idsOnly(poll))
  })

  it("keeps a checkpoint of its own if it forces anything or has a window", () => {
    for (const task of [{ force: true }, { forceIds: ["a"] }, { window: { since } }, { window: { until } }]) {
      assert.isFalse(SyncTask.isLive({ ...poll, ...task }))
    }
    assert.isTrue(SyncTask.isLive({ ...poll, dryRun: true }))
  })

  it("lists nothing only if it asks for ids and for nothing else", () => {
    assert.isTrue(SyncTask.idsOnly({ ...poll, forceIds: ["a"] }))
    assert.isFalse(SyncTask.idsOnly({ ...poll, forceIds: ["a"], force: true }))
    assert.isFalse(SyncTask.idsOnly({ ...poll, forceIds: ["a"], window: { since } }))
    assert.isFalse(SyncTask.idsOnly({ ...poll, force: true }))
  })

  it("has a window that includes its beginning and excludes its end", () => {
    const holds = (window: SyncTask.Window | undefined, time: DateTime.Utc | undefined) =>
      SyncTask.inWindow({ ...poll, ...(window === undefined ? {} : { window }) }, time)
    const before = at("2026-01-01T23:59:59.999Z")
    const last = at("2026-01-04T23:59:59.999Z")
    const both = { since, until }
    assert.deepStrictEqual(
      [before, since, last, until].map((time) => holds(both, time)),
      [false, true, true, false]
    )
    assert.deepStrictEqual(
      [before, since, until].map((time) => holds({ since }, time)),
      [false, true, true]
    )
    assert.deepStrictEqual(
      [before, last, until].map((time) => holds({ until }, time)),
      [true, true, false]
    )
    assert.isTrue(holds(undefined, before))
    // An item without a known time is in every window.
    assert.isTrue(holds(both, undefined))
  })

  it.effect("is decoded with its window, and not without a field that it needs", () =>
    Effect.gen(function* () {
      const decode = Schema.decodeUnknownEffect(SyncTask.SyncTask)
      const window = { since: "2026-01-02T00:00:00.000Z", until: "2026-01-05T00:00:00.000Z" }
      const given = { force: true, forceIds: ["a"], window, dryRun: false }
      const task = yield* decode(given)
      assert.deepStrictEqual(task, { force: true, forceIds: ["a"], window: { since, until }, dryRun: false })
      for (const name of ["force", "forceIds", "dryRun"] as const) {
        assert.strictEqual((yield* Effect.exit(decode({ ...given, [name]: undefined })))._tag, "Failure", name)
      }
      assert.strictEqual((yield* Effect.exit(decode({ ...given, forceIds: ["a\u0000"] })))._tag, "Failure")
    })
  )
})
