/** Search finds new messages and late replies in all conversations at once, but proves nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as SlackServer from "../../support/SlackServer.ts"
import { expected, mirrored, Model, open } from "../../support/slack/Model.ts"

const now = 1_700_000_000
const day = 86_400

interface Options {
  readonly token?: "user" | "bot"
  readonly channels?: ReadonlyArray<string>
}

/** A synced workspace of 250 conversations. All but one are dormant, and `old` is a thread from months ago. */
const synced = (options: Options = {}) =>
  Effect.gen(function* () {
    yield* TestClock.setTime(now * 1000)
    const server = yield* SlackServer.make({ now: now - 10_000 })
    const { workspace } = server
    const busy = workspace.addChannel("busy")
    const old = workspace.post(busy, "old", { ts: `${now - 90 * day}.000100` })
    workspace.post(busy, "old reply", { ts: `${now - 89 * day}.000100`, thread: old })
    for (let index = 0; index < 300; index++) {
      workspace.post(busy, `message ${index}`, { ts: `${now - 80 * day + index}.000100` })
    }
    const dormant = Array.from({ length: 249 }, (_, index) => workspace.addChannel(`dormant-${index}`))
    for (const channel of dormant) workspace.post(channel, "hello", { ts: `${now - 40 * day}.000100` })
    const model = new Model()
    const { channels, token = "user" } = options
    const session = yield* open(server, channels === undefined ? {} : { channels: [...channels] }, undefined, {
      token: token === "user" ? server.userToken : server.token
    })
    yield* model.run(session)
    yield* model.run(session)
    workspace.now = now
    server.forget()
    /** Polls, some minutes after the last poll. */
    const poll = Effect.gen(function* () {
      yield* TestClock.adjust("5 minutes")
      workspace.now += 300
      server.forget()
      return yield* model.run(session)
    })
    /** Returns a conversation that the last poll visited; 100 others come before it in the next rounds. */
    const visited = () =>
      server.requests.findLast(({ method }) => method === "conversations.history")?.args["channel"] ?? ""
    const isMirrored = () => assert.deepStrictEqual([...mirrored(model)].sort(), [...expected(server)].sort())
    return { busy, dormant, isMirrored, model, old, poll, server, session, visited, workspace }
  })

describe("search", () => {
  it.effect("brings a message of a dormant conversation and a late reply with the next poll, for a call", () =>
    Effect.gen(function* () {
      const { busy, isMirrored, old, poll, server, visited, workspace } = yield* synced()
      yield* poll
      const idle = server.count()
      const last = visited()
      workspace.post(last, "new")
      workspace.post(last, "and close to it")
      workspace.post(busy, "late", { thread: old })
      yield* poll
      isMirrored()
      assert.strictEqual(server.count("search.messages"), 1)
      assert.isAtMost(server.count(), idle + 3)
      // Search results that are stored already cost no further calls.
      yield* poll
      assert.strictEqual(server.count("search.messages"), 1)
      assert.isAtMost(server.count(), idle + 1)
    })
  )

  it.effect("brings the messages of more conversations than a slice has pages", () =>
    Effect.gen(function* () {
      const { isMirrored, model, poll, server, session, workspace } = yield* synced()
      yield* poll
      const asked = server.requests.filter(({ method }) => method === "conversations.history")
      const last = new Set(asked.slice(-12).map(({ args }) => args["channel"] ?? ""))
      assert.isAtLeast(last.size, 6)
      for (const channel of last) workspace.post(channel, "new")
      yield* TestClock.adjust("5 minutes")
      workspace.now += 300
      let slices = 1
      while ((yield* model.run(session, { pages: 4 })).isMoreLeft) assert.isBelow((slices += 1), 100)
      isMirrored()
    })
  )

  it.effect("is what brings them: a bot's token, which may not search, waits for visits and sweeps", () =>
    Effect.gen(function* () {
      const { busy, model, old, poll, server, visited, workspace } = yield* synced({ token: "bot" })
      yield* poll
      const last = visited()
      const ids = [`${last}/${workspace.post(last, "new")}`, `${busy}/${workspace.post(busy, "late", { thread: old })}`]
      yield* poll
      assert.strictEqual(server.count("search.messages"), 0)
      assert.deepStrictEqual(
        ids.filter((id) => model.rows.has(id)),
        []
      )
    })
  )

  it.effect("finds what its index held back, up to an hour later", () =>
    Effect.gen(function* () {
      const { busy, isMirrored, model, old, poll, server, workspace } = yield* synced()
      server.search.lag = 240
      workspace.now += 290
      const late = workspace.post(busy, "late", { thread: old })
      workspace.now = now
      yield* poll
      assert.isFalse(model.rows.has(`${busy}/${late}`))
      yield* poll
      isMirrored()
    })
  )

  it.effect("without its scope is tried once a day, and changes nothing else", () =>
    Effect.gen(function* () {
      const { dormant, isMirrored, poll, server, workspace } = yield* synced()
      server.search.hasScope = false
      const searches: Array<number> = []
      for (let round = 0; round < 3; round++) {
        workspace.post(dormant[round] ?? "", "new")
        assert.deepStrictEqual((yield* poll).problems, [])
        searches.push(server.count("search.messages"))
      }
      assert.deepStrictEqual(searches, [1, 0, 0])
      server.search.hasScope = true
      yield* TestClock.adjust("1 day")
      workspace.now += day
      yield* poll
      assert.strictEqual(server.count("search.messages"), 1)
      isMirrored()
    })
  )

  it.effect("keeps what it found for the visits, though a later search is refused", () =>
    Effect.gen(function* () {
      const { isMirrored, model, poll, server, session, workspace } = yield* synced()
      yield* poll
      const asked = server.requests.filter(({ method }) => method === "conversations.history")
      const last = new Set(asked.slice(-12).map(({ args }) => args["channel"] ?? ""))
      for (const channel of last) workspace.post(channel, "new")
      yield* TestClock.adjust("5 minutes")
      workspace.now += 300
      yield* model.run(session, { pages: 4 })
      server.search.hasScope = false
      server.forget()
      yield* poll
      assert.strictEqual(server.count("search.messages"), 1)
      isMirrored()
    })
  )

  it.effect("fails no poll: Slack's refusal of the method, and its trouble, are left to the other calls", () =>
    Effect.gen(function* () {
      const { dormant, isMirrored, poll, server, workspace } = yield* synced()
      for (const error of ["internal_error", "ratelimited", "not_allowed_token_type", "method_deprecated"]) {
        server.fail("search.messages", { error })
        workspace.post(dormant[0] ?? "", error)
        assert.deepStrictEqual((yield* poll).problems, [])
        assert.strictEqual(server.count("search.messages"), 1, error)
        yield* TestClock.adjust("25 hours")
        workspace.now += 25 * 3600
      }
      isMirrored()
    })
  )

  it.effect("brings nothing from conversations that are not mirrored", () =>
    Effect.gen(function* () {
      const { busy, dormant, model, poll, server, workspace } = yield* synced({ channels: ["busy"] })
      workspace.post(dormant[0] ?? "", "not wanted")
      yield* poll
      assert.strictEqual(server.count("search.messages"), 1)
      assert.deepStrictEqual(
        model.ids().filter((id) => id.startsWith("C") && !id.startsWith(busy)),
        []
      )
    })
  )

  it.effect("reads 1,000 hits at most", () =>
    Effect.gen(function* () {
      const { dormant, poll, server, workspace } = yield* synced()
      for (let index = 0; index < 1500; index++) {
        workspace.post(dormant[index % 100] ?? "", "many", { ts: `${now + 60}.${String(index).padStart(6, "0")}` })
      }
      // Of messages that are close to each other, the index returns one.
      for (let index = 0; index < 100; index++) {
        for (let minute = 0; minute < 12; minute++) {
          workspace.post(dormant[index] ?? "", "more", { ts: `${now + 70 + minute * 10}.000200` })
        }
      }
      yield* poll
      assert.strictEqual(server.count("search.messages"), 10)
    })
  )
})
