import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Integration from "../../src/contract/Integration.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { connect, engineOver, sync } from "../support/TestEngine.ts"

/** An integration with one item. Its session has these values. */
const defined = (values: object, quota = { unitsPerMinute: 1_000_000 }) => {
  const refs = [{ externalId: "a" }]
  const page = { listed: refs, download: refs, checkpoint: { after: "a" } }
  const session = {
    account: Effect.succeed("me"),
    estimate: Effect.succeed({ unitsPerItem: 1 }),
    list: () => Stream.succeed(page),
    download: () => Effect.succeed({ kind: "note", metadata: {}, body: new Uint8Array(1) }),
    ...values
  }
  return Integration.make({
    domain: "memory",
    config: Schema.Struct({}),
    credentials: Schema.Struct({ token: Schema.String }),
    checkpoint: Schema.Struct({ after: Schema.String }),
    scope: [],
    quota: () => quota,
    open: () => ("open" in session ? (session.open as never) : Effect.succeed(session))
  })
}

describe("a value of a session that is not of its type", () => {
  const listings: ReadonlyArray<readonly [string, object, RegExp]> = [
    ["a page that is null", { list: () => Stream.succeed(null) }, /^memory, page 1: it must be an object$/],
    [
      "a part that is null",
      { list: () => Stream.succeed({ listed: [], download: [], checkpoint: { after: "" }, parts: [null] }) },
      /^memory, page 1: `parts` must be an array of objects$/
    ],
    [
      "parts that are no array",
      { list: () => Stream.succeed({ listed: [], download: [], checkpoint: { after: "" }, parts: { a: {} } }) },
      /^memory, page 1: `parts` must be an array of objects$/
    ],
    ["a promise for a listing", { list: () => Promise.resolve([]) }, /^`list` must be a Stream$/]
  ]
  for (const [name, values, message] of listings) {
    it.effect(`fails the run: ${name}`, () =>
      Effect.gen(function* () {
        const { error } = yield* sync(yield* connect())
        assert.strictEqual(error?.reason, "Malformed")
        assert.match(error?.message ?? "", message)
      }).pipe(Effect.provide(engineOver(Memory.layer, defined(values))))
    )
  }

  for (const units of [Number.NaN, -1, Number.POSITIVE_INFINITY, undefined]) {
    it.effect(`fails the run, and spends nothing of the quota: ${units} units of a call`, () => {
      const integration = Integration.make({
        domain: "memory",
        config: Schema.Struct({}),
        credentials: Schema.Struct({ token: Schema.String }),
        checkpoint: Schema.Null,
        scope: [],
        quota: () => ({ unitsPerMinute: 60 }),
        open: ({ call }) =>
          Effect.succeed({
            account: Effect.succeed("me"),
            estimate: call("count", 1, Effect.succeed({ unitsPerItem: 1 })),
            list: () => Stream.fromEffect(call("notes.list", units as number, Effect.die("called"))),
            download: () => Effect.die("none")
          })
      })
      return Effect.gen(function* () {
        const { counts, error } = yield* sync(yield* connect())
        assert.deepInclude(error, { reason: "Malformed", message: "the units of notes.list must be a number from 0" })
        assert.deepInclude(counts, { apiCalls: 0, quotaUnits: 0 })
        yield* connect()
      }).pipe(Effect.provide(engineOver(Memory.layer, integration)))
    })
  }

  for (const unitsPerMinute of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    it.effect(`creates no connection: a quota of ${unitsPerMinute} units a minute`, () =>
      Effect.gen(function* () {
        const cause = yield* Effect.flip(Effect.sandbox(connect()))
        assert.include(Cause.pretty(cause), "memory: `quota` must give `unitsPerMinute`, a number above 0")
        assert.deepStrictEqual(yield* (yield* WholeStore).connections, [])
      }).pipe(Effect.provide(engineOver(Memory.layer, defined({}, { unitsPerMinute }))))
    )
  }

  it.effect("fails its item: a promise for a download", () =>
    Effect.gen(function* () {
      const connection = yield* connect()
      assert.deepInclude((yield* sync(connection)).counts, { listed: 1, failed: 1 })
      const [row] = yield* (yield* WholeStore).ledger(connection.id, { limit: 1 })
      assert.strictEqual(row?.message, "`download` must be an Effect")
    }).pipe(Effect.provide(engineOver(Memory.layer, defined({ download: () => Promise.resolve({}) }))))
  )

  const reached: ReadonlyArray<readonly [string, object, RegExp]> = [
    ["an account that is a number", { account: Effect.succeed(5) }, /^`account`: it must be a text$/],
    ["an empty account", { account: Effect.succeed("") }, /^`account`: it may not be empty$/],
    ["an account that is a text", { account: "me" }, /^`account` must be an Effect$/],
    ["an account that fails with a text", { account: Effect.fail("s3cret") }, /^the integration failed with a string/],
    ["an account that interrupts itself", { account: Effect.interrupt }, /^the integration interrupted itself/],
    ["an estimate that is absent", { estimate: Effect.succeed(undefined) }, /^`estimate` must give `unitsPerItem`/],
    [
      "an estimate that is no number",
      { estimate: Effect.succeed({ items: Number.NaN, unitsPerItem: 1 }) },
      /^`estimate` must give `unitsPerItem`/
    ],
    ...[{ bytesPerItem: -1 }, { items: "7" }, { leftOut: "drafts" }, { unitsPerItem: undefined }].map(
      (values) =>
        [
          `an estimate with ${JSON.stringify(values)}`,
          { estimate: Effect.succeed({ unitsPerItem: 1, ...values }) },
          /^`estimate` must give `unitsPerItem`/
        ] as const
    ),
    ["an estimate that dies", { estimate: Effect.die(new RangeError("s3cret")) }, /^the integration threw RangeError/],
    ["a promise for a session", { open: Promise.resolve({}) }, /^`open` must be an Effect$/],
    ["a session that is undefined", { open: Effect.succeed(undefined) }, /^`open` must return a session$/]
  ]
  for (const [name, values, message] of reached) {
    it.effect(`refuses the connection, and creates none: ${name}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(connect())
        assert.deepInclude(error, { _tag: "SourceError", reason: "Malformed" })
        assert.match(error.message, message)
        assert.deepStrictEqual(yield* (yield* WholeStore).connections, [])
      }).pipe(Effect.provide(engineOver(Memory.layer, defined(values))))
    )
  }

  it.effect("fails the run, and names the field: a checkpoint that does not fit its schema", () => {
    const list = () => Stream.succeed({ listed: [], download: [], checkpoint: { after: 1 as never } })
    return Effect.gen(function* () {
      const { error } = yield* sync(yield* connect())
      assert.strictEqual(error?.reason, "Malformed")
      assert.match(error?.message ?? "", /^memory, page 1: the checkpoint does not fit its schema: .*string.*"after"/s)
    }).pipe(Effect.provide(engineOver(Memory.layer, defined({ list }))))
  })
})
