/** Slices of any length finish the sync, whatever the threads of a conversation are. */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { maxCheckpointBytes } from "../../../src/contract/Page.ts"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"

for (const conversations of [1, 2, 3]) {
  for (const pages of [3, 4, 5, 6, 7]) {
    it.effect(
      `a complete pass over long threads ends in slices of ${pages} pages, of ${conversations} conversations`,
      () =>
        Effect.gen(function* () {
          const server = yield* SlackServer.make()
          const slack = server.workspace
          server.maxLimit = 5
          const [first = "", ...others] = Array.from({ length: conversations }, (_, index) =>
            slack.addChannel(`c${index}`)
          )
          for (const other of others) slack.post(other, "alone")
          const parents = Array.from({ length: 3 }, (_, index) => slack.post(first, `parent ${index}`))
          for (const thread of parents)
            for (let reply = 0; reply < 7; reply += 1) slack.post(first, "reply", { thread })
          const alone = slack.post(first, "to be deleted")
          const model = new Model()
          const slice = Effect.gen(function* () {
            yield* TestClock.adjust("1 second")
            const session = yield* open(server, { sweepEvery: "1 millis" })
            return yield* model.run(session, { pages })
          }).pipe(Effect.scoped)
          const isMirrored = () => mirrored(model).size === expected(server).size
          for (let slices = 0; slices < 20 && !isMirrored(); slices += 1) yield* slice
          assert.deepStrictEqual(mirrored(model), expected(server))
          slack.delete(first, alone)
          // Only a complete pass proves that a message was deleted.
          for (let slices = 0; slices < 200 && !isMirrored(); slices += 1) yield* slice
          assert.deepStrictEqual(mirrored(model), expected(server))
        }).pipe(Effect.scoped)
    )
  }
}

/**
 * Makes a workspace of this many conversations, and a sync of it in slices of this many pages, with `gap` between
 * slices.
 */
const scene = Effect.fnUntraced(function* (conversations: number, pages: number, gap = Duration.millis(100)) {
  const server = yield* SlackServer.make()
  const slack = server.workspace
  const channels = Array.from({ length: conversations }, (_, index) => slack.addChannel(`c${index}`))
  const post = (text: string) => Effect.sync(() => channels.forEach((channel) => slack.post(channel, text)))
  const model = new Model()
  const slice = Effect.scoped(Effect.flatMap(open(server), (session) => model.run(session, { pages })))
  // A poll has at most two rounds, before and after its passes.
  const most = 5 * Math.ceil((conversations + 6) / pages)
  const sync = Effect.gen(function* () {
    yield* TestClock.adjust(Duration.minutes(1))
    for (let slices = 1; slices <= most; slices += 1) {
      if (!(yield* slice).isMoreLeft) return
      yield* TestClock.adjust(gap)
    }
    assert.fail(`${most} slices of ${pages} pages did not end a listing of ${conversations} conversations`)
  })
  return { post, slice, sync, check: () => assert.deepStrictEqual(mirrored(model), expected(server)) }
})

// A slice comes late if its connection waits for other connections, for downloads, or for quota.
for (const gap of [Duration.millis(100), Duration.minutes(1), Duration.minutes(10)]) {
  it.effect(
    `a poll ends in slices ${Duration.format(gap)} apart, however many conversations there are for a slice`,
    () =>
      Effect.gen(function* () {
        for (const [conversations, pages] of [
          ...Array.from({ length: 4 }, (_, index) => [index + 1, 2] as const),
          ...Array.from({ length: 8 }, (_, index) => [index + 1, 4] as const)
        ]) {
          const { check, post, sync } = yield* scene(conversations, pages, gap)
          for (let polls = 0; polls < 3; polls += 1) {
            yield* post(`poll ${polls}`)
            yield* sync
            check()
          }
        }
      }).pipe(Effect.scoped)
  )
}

for (const [following, responses] of [
  ["cursor", "that have a cursor and no has_more"],
  ["has_more", "that have has_more and no cursor"],
  ["endless", "of which even the last has has_more"]
] as const) {
  it.effect(`all messages are mirrored from responses ${responses}`, () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const slack = server.workspace
      server.maxLimit = 5
      server.following = following
      const channel = slack.addChannel("general")
      const thread = slack.post(channel, "parent")
      const replies = () => {
        for (let index = 0; index < 12; index += 1) slack.post(channel, `reply ${index}`, { thread })
      }
      replies()
      for (let index = 0; index < 22; index += 1) slack.post(channel, `message ${index}`)
      const model = new Model()
      const slice = Effect.fnUntraced(function* (options: Parameters<Model["run"]>[1]) {
        yield* TestClock.adjust("100 millis")
        return yield* Effect.scoped(Effect.flatMap(open(server), (session) => model.run(session, options)))
      })
      for (let slices = 1; (yield* slice({ pages: 3 })).isMoreLeft; slices += 1) assert.isBelow(slices, 20)
      assert.deepStrictEqual(mirrored(model), expected(server))
      replies()
      yield* slice({ hinted: { parts: [`${channel}/${thread}`], only: true, isListening: true } })
      assert.deepStrictEqual(mirrored(model), expected(server))
    }).pipe(Effect.scoped)
  )
}

// Slack may return fewer conversations than requested: https://docs.slack.dev/reference/methods/conversations.list
for (const pages of [2, 4]) {
  it.effect(`conversations are found that Slack lists in more answers than a slice of ${pages} pages has`, () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const slack = server.workspace
      server.maxLimit = 3
      const model = new Model()
      const sliceOf = Effect.fnUntraced(function* (model: Model, options: Parameters<Model["run"]>[1] = {}) {
        yield* TestClock.adjust("100 millis")
        return yield* Effect.scoped(
          Effect.flatMap(open(server), (session) => model.run(session, { pages, ...options }))
        )
      })
      const slice = sliceOf(model)
      const poll = Effect.gen(function* () {
        let slices = 1
        while ((yield* slice).isMoreLeft) assert.isBelow((slices += 1), 100)
        assert.deepStrictEqual(mirrored(model), expected(server))
      })
      for (let index = 0; index < 10; index += 1) slack.post(slack.addChannel(`c${index}`), "hello")
      yield* poll
      for (let index = 10; index < 16; index += 1) slack.post(slack.addChannel(`c${index}`), "hello")
      yield* poll
      assert.lengthOf(model.ids("channels/"), 16)
      // The cursor of the interrupted listing is forgotten.
      slack.post(slack.addChannel("last"), "hello")
      yield* slice
      server.cursorEpoch += 1
      yield* poll
      // Hints wait for a later slice if the present slice continues the listing.
      yield* slice
      const parts = model.ids("C").slice(0, 1)
      yield* sliceOf(model, { hinted: { parts, only: true, isListening: false } })
      yield* poll
      const asked = server.requests.filter(({ method }) => method === "conversations.replies")
      assert.deepStrictEqual([...new Set(asked.map(({ args }) => `${args["channel"]}/${args["ts"]}`))], parts)
      const copy = new Model()
      const task = { ...SyncTask.poll, force: true }
      let slices = 1
      while ((yield* sliceOf(copy, { task, checkpoint: "own" })).isMoreLeft) assert.isBelow((slices += 1), 100)
      assert.deepStrictEqual(mirrored(copy), expected(server))
    }).pipe(Effect.scoped)
  )
}

it.effect("conversations that are named by the thousand fit into the checkpoint of a listing that is cut off", () =>
  Effect.gen(function* () {
    const server = yield* SlackServer.make()
    const slack = server.workspace
    server.maxLimit = 1
    for (const name of ["general", "random", "team"]) slack.post(slack.addChannel(name), "hello")
    const channels = [
      "#general",
      "team",
      ...Array.from({ length: 5000 }, (_, index) => `a-channel-without-end-${index}`)
    ]
    const model = new Model()
    let problems: ReadonlyArray<string> = []
    for (let slices = 0; problems.length === 0; slices += 1) {
      assert.isBelow(slices, 100)
      yield* TestClock.adjust("100 millis")
      const { pages } = yield* Effect.scoped(
        Effect.flatMap(open(server, { channels }), (session) => model.run(session, { pages: 1 }))
      )
      problems = pages.flatMap((page) => (page.problems ?? []).map(({ place }) => place))
    }
    assert.deepStrictEqual(problems, channels.slice(2))
    assert.isAtMost(model.largest, maxCheckpointBytes)
  }).pipe(Effect.scoped)
)

it.effect("a round that was begun by a process whose clock is ahead comes to an end, and the next one visits all", () =>
  Effect.gen(function* () {
    const { check, post, slice, sync } = yield* scene(9, 4)
    yield* post("first")
    const present = yield* Clock.currentTimeMillis
    yield* TestClock.adjust(Duration.hours(5))
    yield* slice
    yield* TestClock.setTime(present)
    yield* sync
    check()
    yield* post("second")
    yield* sync
    check()
  }).pipe(Effect.scoped)
)

it.effect("a poll ends that two processes list in turn, the clock of one of which is an hour ahead", () =>
  Effect.gen(function* () {
    const { check, post, slice } = yield* scene(9, 4)
    yield* post("first")
    const right = yield* Clock.currentTimeMillis
    let slices = 0
    for (let isMoreLeft = true; isMoreLeft; slices += 1) {
      assert.isBelow(slices, 40)
      yield* TestClock.setTime(right + slices * 1000 + (slices % 2 === 0 ? Duration.toMillis("1 hour") : 0))
      isMoreLeft = (yield* slice).isMoreLeft
    }
    check()
  }).pipe(Effect.scoped)
)

for (const pages of [1, 2, 3, 4, 5, 6, 7]) {
  it.effect(`a backfill comes to its end in slices of ${pages} pages that are a minute apart`, () =>
    Effect.gen(function* () {
      const server = yield* SlackServer.make()
      const slack = server.workspace
      server.maxLimit = 5
      const channels = Array.from({ length: 3 }, (_, index) => slack.addChannel(`c${index}`))
      for (const channel of channels) {
        for (let index = 0; index < 30; index += 1) slack.post(channel, `message ${index}`)
      }
      const model = new Model()
      const slice = Effect.gen(function* () {
        yield* TestClock.adjust("1 minute")
        yield* Effect.scoped(Effect.flatMap(open(server), (session) => model.run(session, { pages })))
      })
      const sync = Effect.gen(function* () {
        for (let slices = 0; mirrored(model).size < expected(server).size; slices += 1) {
          assert.isBelow(slices, 300)
          yield* slice
        }
      })
      yield* sync
      for (const channel of channels) slack.post(channel, "new")
      yield* sync
      assert.deepStrictEqual(mirrored(model), expected(server))
    }).pipe(Effect.scoped)
  )
}
