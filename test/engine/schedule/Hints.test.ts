import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Hint } from "../../../src/contract/Hints.ts"
import { IntegrationError, RateLimited, Transient, Unauthorized } from "../../../src/contract/IntegrationError.ts"
import { HintRouter } from "../../../src/engine/schedule/HintRouter.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import type { StoreError } from "../../../src/engine/store/StoreError.ts"
import { until } from "../../support/Moving.ts"
import { fault, MemorySource, only } from "../../support/MemorySource.ts"
import { connect, ids, layer } from "../../support/TestEngine.ts"

const polling = Layer.build(Scheduler.layer)

/** A source of five items whose stream of hints is fed by `hint`. */
const hinting = Effect.gen(function* () {
  const source = new MemorySource()
  source.addMany(5)
  const queue = yield* Queue.unbounded<Hint>()
  let opened = 0
  source.hints = Stream.suspend(() => {
    opened += 1
    return Stream.concat(Stream.make({}), Stream.fromQueue(queue))
  })
  return { source, opened: () => opened, hint: (hint: Hint) => Queue.offerUnsafe(queue, hint) }
})

const listings = (source: MemorySource, only: boolean) => source.hinted.filter((hinted) => hinted.only === only)

/** Waits until the stream is listening and a poll of everything has ended since. */
const settled = Effect.fnUntraced(function* (source: MemorySource) {
  yield* until(Effect.sync(() => source.hinted.some(({ isListening }) => isListening)))
})

describe("hints", () => {
  it.effect("bring the poll of the hinted parts forward, and leave the schedule as it is", () =>
    Effect.gen(function* () {
      const { hint, source } = yield* hinting
      yield* Effect.gen(function* () {
        const connection = yield* connect({ token: "hints" })
        const store = yield* ConnectionStore
        yield* polling
        yield* settled(source)
        const due = Effect.map(store.connections, ([row]) => row?.nextPollAt.epochMilliseconds)
        const before = yield* due
        const full = listings(source, false).length
        source.add("new")
        source.add("unhinted")
        hint({ part: "new" })
        hint({ part: "new" })
        const hintedAt = yield* Clock.currentTimeMillis
        yield* until(Effect.map(ids(connection), (there) => there.includes("new")))
        assert.isAtMost((yield* Clock.currentTimeMillis) - hintedAt, 2000)
        assert.deepStrictEqual(
          listings(source, true).map(({ parts }) => parts),
          [["new"]]
        )
        assert.notInclude(yield* ids(connection), "unhinted")
        assert.strictEqual(listings(source, false).length, full)
        assert.strictEqual(yield* due, before)
        yield* until(Effect.map(ids(connection), (there) => there.includes("unhinted")))
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  it.effect("that never end take half of the time at most, and scheduled polls go on", () =>
    Effect.gen(function* () {
      const { hint, source } = yield* hinting
      yield* Effect.gen(function* () {
        const connection = yield* connect({ token: "hints" })
        yield* polling
        yield* settled(source)
        const full = listings(source, false).length
        const early = listings(source, true).length
        const storm = Effect.gen(function* () {
          for (let round = 0; round < 120; round += 1) {
            for (let part = 0; part < 5; part += 1) hint({ part: `forged ${round} ${part}` })
            yield* TestClock.adjust("3 seconds")
          }
        })
        yield* storm
        const minutes = 6
        assert.isAtMost(listings(source, true).length - early, minutes * 30)
        assert.isAtLeast(listings(source, false).length - full, 1)
        assert.strictEqual((yield* ids(connection)).length, 5)
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  it.effect("cause a poll of all parts once they name too many", () =>
    Effect.gen(function* () {
      const { hint, source } = yield* hinting
      yield* Effect.gen(function* () {
        yield* connect({ token: "hints" })
        yield* polling
        yield* settled(source)
        yield* TestClock.adjust("61 seconds")
        const full = listings(source, false).length
        for (let part = 0; part < 5000; part += 1) hint({ part: `part ${part}` })
        yield* TestClock.adjust("3 seconds")
        assert.strictEqual(listings(source, false).length, full + 1)
        assert.isFalse(source.hinted.at(-1)?.isListening)
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  it.effect("that a poll did not use are passed to the next poll", () =>
    Effect.gen(function* () {
      const { hint, source } = yield* hinting
      yield* Effect.gen(function* () {
        const connection = yield* connect({ token: "hints" })
        yield* polling
        yield* settled(source)
        source.add("new")
        source.unlisted.add("new")
        source.log.splice(0)
        source.answer = only("look", fault(new Transient({ message: "away" })))
        hint({ part: "new" })
        yield* until(Effect.sync(() => listings(source, true).length >= 1))
        yield* until(Effect.sync(() => source.hinted.at(-1)?.only === false))
        assert.deepStrictEqual(source.hinted.at(-1)?.parts, ["new"])
        assert.strictEqual((yield* ids(connection)).length, 5)
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  it.effect("wait for the scheduled poll after a failure, and while the source asks to wait", () =>
    Effect.gen(function* () {
      for (const reason of [
        new Transient({ message: "away" }),
        new RateLimited({ message: "later", retryAfter: Duration.minutes(30) })
      ]) {
        const { hint, source } = yield* hinting
        yield* Effect.gen(function* () {
          const connection = yield* connect({ token: "hints" })
          const store = yield* ConnectionStore
          yield* polling
          yield* settled(source)
          source.answer = only("look", fault(reason))
          hint({ part: "new" })
          yield* until(
            Effect.map(store.connection(connection.id), (found) => {
              const { askedWaitUntil, failures } = Option.getOrThrow(found)
              return failures > 0 || askedWaitUntil !== null
            })
          )
          source.answer = () => Effect.void
          const early = listings(source, true).length
          hint({ part: "other" })
          yield* until(Effect.sync(() => source.hinted.at(-1)?.only === false))
          assert.strictEqual(listings(source, true).length, early)
          assert.includeMembers([...(source.hinted.at(-1)?.parts ?? [])], ["new", "other"])
        }).pipe(Effect.scoped, Effect.provide(layer(source)))
      }
    })
  )

  it.effect("reopen their stream with back-off, and a poll looks everywhere after each interruption", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      source.addMany(5)
      const openings: Array<number> = []
      source.hints = Stream.unwrap(
        Effect.map(Clock.currentTimeMillis, (now) => {
          openings.push(now)
          return openings.length < 8
            ? Stream.fail(new IntegrationError({ reason: new Transient({ message: "away" }) }))
            : Stream.concat(Stream.make({}), Stream.never)
        })
      )
      yield* Effect.gen(function* () {
        yield* connect({ token: "hints" })
        yield* polling
        yield* until(Effect.sync(() => source.hinted.length > 0))
        yield* settled(source)
        assert.strictEqual(openings.length, 8)
        const gaps = openings.slice(1).map((at, index) => at - (openings[index] ?? 0))
        assert.isAtLeast(gaps.at(-1) ?? 0, 40_000)
        for (const gap of gaps) assert.isAtMost(gap, Duration.toMillis("6 minutes"))
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  /** Polls a connection whose stream is `faulty` three times. Runs `check` while that is a problem of it. */
  const recoversFrom = (
    faulty: MemorySource["hints"],
    check: (row: Effect.Effect<Connection, StoreError>) => Effect.Effect<void, StoreError>
  ) =>
    Effect.gen(function* () {
      const { source } = yield* hinting
      let openings = 0
      const hints = source.hints
      source.hints = Stream.suspend(() => (++openings <= 3 ? faulty : hints))
      yield* Effect.gen(function* () {
        const connection = yield* connect({ token: "hints" })
        const store = yield* ConnectionStore
        const row = Effect.map(store.connection(connection.id), Option.getOrThrow)
        yield* polling
        yield* until(Effect.map(row, ({ problems }) => problems.hints !== undefined))
        yield* check(row)
        yield* settled(source)
        yield* until(Effect.map(row, (now) => now.problems.hints === undefined))
        assert.strictEqual(openings, 4)
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })

  it.effect("that the source refuses are a problem of the connection, and polls go on, until the stream listens", () =>
    recoversFrom(
      Stream.fail(new IntegrationError({ reason: new Unauthorized({ message: "open: invalid_auth" }) })),
      Effect.fnUntraced(function* (row) {
        const { lastCheckedAt, name, paused, problems } = yield* row
        assert.include(problems.hints, "open: invalid_auth")
        assert.include(problems.hints, `idem connect memory --name ${name}`)
        assert.deepStrictEqual([paused, problems.current], [null, []])
        yield* until(Effect.map(row, (now) => now.lastCheckedAt !== null && now.lastCheckedAt !== lastCheckedAt))
      })
    )
  )

  for (const [name, faulty, message] of [
    ["throws", Stream.die(new RangeError("s3cret")), "the integration threw RangeError"],
    ["fails with a text", Stream.fail("s3cret" as never), "the integration failed with a string"],
    ["interrupts itself", Stream.fromEffect(Effect.interrupt), "the integration interrupted itself"],
    ["emits undefined", Stream.succeed(undefined as never), "a hint must be an object"]
  ] as const) {
    it.effect(`are a problem of the connection if the integration's stream ${name}, and it is opened again`, () =>
      recoversFrom(
        faulty,
        Effect.fnUntraced(function* (row) {
          const { problems } = yield* row
          assert.include(problems.hints, `its events can't be read (${message}`)
          assert.notInclude(problems.hints, "s3cret")
        })
      )
    )
  }

  it.effect("end while a person has paused the connection, and begin again with new credentials", () =>
    Effect.gen(function* () {
      const { opened, source } = yield* hinting
      const open = yield* Ref.make(0)
      const hints = source.hints
      source.hints = Stream.unwrap(
        Effect.as(
          Effect.acquireRelease(
            Ref.update(open, (n) => n + 1),
            () => Ref.update(open, (n) => n - 1)
          ),
          hints
        )
      )
      yield* Effect.gen(function* () {
        const connection = yield* connect({ token: "hints" })
        const store = yield* ConnectionStore
        yield* polling
        yield* settled(source)
        assert.deepStrictEqual([yield* Ref.get(open), opened()], [1, 1])
        yield* store.setPaused(connection.id, "by a person")
        yield* TestClock.adjust("31 seconds")
        assert.strictEqual(yield* Ref.get(open), 0)
        yield* store.setPaused(connection.id, null)
        yield* until(Effect.map(Ref.get(open), (count) => count === 1))
        yield* connect({ token: "hints, newer" })
        yield* until(Effect.sync(() => opened() === 3))
        yield* connect({ token: "none" })
        yield* until(Effect.map(Ref.get(open), (count) => count === 0))
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )

  it.effect("of an account reach each of its connections, and no other", () =>
    Effect.gen(function* () {
      const { source } = yield* hinting
      source.account = "team/anna"
      yield* Effect.gen(function* () {
        yield* connect({ name: "anna" })
        const context = yield* polling
        yield* until(Effect.sync(() => source.hinted.length === 1))
        const offer = (account: string) => Context.get(context, HintRouter).offer({ domain: "memory", account }, "part")
        yield* offer("tea")
        yield* offer("team/ann")
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(listings(source, true), [])
        yield* offer("team")
        yield* TestClock.adjust("3 seconds")
        assert.deepStrictEqual(listings(source, true), [{ parts: ["part"], only: true, isListening: false }])
      }).pipe(Effect.scoped, Effect.provide(layer(source)))
    })
  )
})
