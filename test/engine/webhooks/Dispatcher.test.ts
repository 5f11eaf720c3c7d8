import { assert, describe } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as Feed from "../../../src/engine/feed/Feed.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { WebhookStore } from "../../../src/engine/store/WebhookStore.ts"
import * as Dispatcher from "../../../src/engine/webhooks/Dispatcher.ts"
import { SendError } from "../../../src/engine/webhooks/Sender.ts"
import { item, running as connected } from "../../stores/scenario.ts"
import {
  url,
  other,
  Webhooks,
  at,
  until,
  pass,
  test,
  dispatcher,
  create,
  changesIn,
  signed,
  messages
} from "./Fixture.ts"

describe("delivering to webhooks", () => {
  test("two processes that both think they deliver send each message once, in order", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* create()
      yield* create({ url: other })
      endpoints.answer = () => Effect.as(Effect.sleep("100 millis"), 200)
      yield* dispatcher
      yield* dispatcher
      for (let n = 0; n < 10; n += 1) {
        yield* commit({ items: [item(`m${n}`)] })
        yield* pass("3 seconds")
      }
      yield* until(() => endpoints.sent.flatMap(changesIn).length === 20)
      for (const target of [url, other]) {
        const sent = endpoints.to(target)
        assert.strictEqual(new Set(sent.map(({ id }) => id)).size, sent.length)
        assert.deepStrictEqual(
          sent.flatMap(changesIn),
          Array.from({ length: 10 }, (_, n) => `m${n} stored`)
        )
      }
    }))

  test("two processes send a message once to an endpoint that takes 14 seconds to answer", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* create()
      endpoints.answer = () => Effect.as(Effect.sleep("14 seconds"), 200)
      yield* dispatcher
      yield* dispatcher
      yield* commit({ items: [item("a")] })
      yield* pass("1 minute")
      assert.deepStrictEqual(endpoints.sent.flatMap(changesIn), ["a stored"])
    }))

  test("an endpoint that never answers holds up no other", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      for (let n = 0; n < 40; n += 1) yield* create({ url: `https://hooks.example/slow/${n}` })
      yield* create()
      endpoints.answer = (request) => (request.url === url ? Effect.succeed(200) : Effect.never)
      yield* dispatcher
      for (let n = 0; n < 5; n += 1) {
        const from = yield* Clock.currentTimeMillis
        yield* commit({ items: [item(`m${n}`)] })
        yield* until(() => endpoints.to(url).length === n + 1)
        assert.isAtMost((yield* Clock.currentTimeMillis) - from, 5000)
      }
    }))

  test("is paused, resumed, re-aimed and removed while it delivers", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      const { webhook } = yield* create()
      yield* dispatcher
      yield* commit({ items: [item("a")] })
      yield* until(() => endpoints.sent.length === 1)
      yield* webhooks.change({ ...at(webhook.id), payload: { state: "paused" } })
      yield* pass("5 seconds")
      yield* commit({ items: [item("b")] })
      yield* pass("5 minutes", "5 seconds")
      assert.strictEqual(endpoints.sent.length, 1)
      yield* webhooks.change({ ...at(webhook.id), payload: { state: "active", url: other } })
      yield* until(() => endpoints.sent.length === 2)
      assert.deepStrictEqual(endpoints.to(other).flatMap(changesIn), ["b stored"])
      yield* webhooks.remove(at(webhook.id))
      yield* commit({ items: [item("c")] })
      yield* pass("5 minutes", "5 seconds")
      assert.strictEqual(endpoints.sent.length, 2)
      assert.strictEqual((yield* Effect.flip(webhooks.get(at(webhook.id))))._tag, "NotFoundProblem")
    }))

  test("sends a backlog without a pause between its messages", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: Array.from({ length: 250 }, (_, n) => item(`m${n}`)) })
      yield* create()
      yield* dispatcher
      // The clock stands still, so no fiber that sleeps goes on.
      yield* until(() => endpoints.sent.length === 3, 0)
      assert.strictEqual(endpoints.sent.flatMap(changesIn).length, 250)
    }))

  test("goes on after the database fails, and after a defect, and logs why", (endpoints) => {
    const lines: Array<string> = []
    const logger = Logger.make(({ logLevel, message }) => void lines.push(`${logLevel}: ${String(message)}`))
    return Effect.gen(function* () {
      const store = yield* WebhookStore
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      const failure = (message: string) => new StoreError({ message, cause: message })
      const looks = [Effect.fail(failure("cannot list the webhooks"))]
      const steps = [Effect.fail(failure("cannot read the webhook")), Effect.die("a defect")]
      const failing = WebhookStore.of({
        ...store,
        deliveryStates: Effect.suspend(() => looks.shift() ?? store.deliveryStates),
        deliveryState: (id) => Effect.suspend(() => steps.shift() ?? store.deliveryState(id))
      })
      yield* Effect.forkChild(Effect.provideService(Dispatcher.run, WebhookStore, failing))
      yield* until(() => endpoints.sent.length === 1)
      assert.deepStrictEqual([...looks, ...steps], [])
      assert.deepStrictEqual(lines, [
        "Warn: cannot list the webhooks",
        "Warn: cannot read the webhook",
        `Error: the webhook ${webhook.id} failed with a defect, and goes on`
      ])
    }).pipe(Effect.provide(Logger.layer([logger])))
  })

  test("asks the database once about a webhook that was paused", () =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const webhooks = yield* Webhooks
      const { webhook } = yield* create()
      let asked = 0
      const counted = WebhookStore.of({
        ...store,
        deliveryState: (id) => Effect.suspend(() => ((asked += 1), store.deliveryState(id)))
      })
      yield* Effect.forkChild(Effect.provideService(Dispatcher.run, WebhookStore, counted))
      yield* pass("5 seconds")
      assert.isAbove(asked, 0)
      asked = 0
      yield* webhooks.change({ ...at(webhook.id), payload: { state: "paused" } })
      yield* pass("5 minutes")
      // The fiber of the webhook ends once it has read that the webhook is paused.
      assert.strictEqual(asked, 1)
    }))

  test("asks the database little while nothing changes, whatever the number of webhooks", () =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const webhookStore = yield* WebhookStore
      for (let n = 0; n < 20; n += 1) yield* create({ from: "now" })
      let asked = 0
      const count = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.andThen(
          Effect.sync(() => (asked += 1)),
          effect
        )
      const countedStore: WholeStore = {
        ...store,
        changes: (query) => count(store.changes(query)),
        changed: (from) => count(store.changed(from))
      }
      const countedWebhooks = WebhookStore.of({
        ...webhookStore,
        deliveryStates: count(webhookStore.deliveryStates),
        deliveryState: (id) => count(webhookStore.deliveryState(id)),
        enqueue: (...args) => count(webhookStore.enqueue(...args))
      })
      const feed = yield* Feed.make().pipe(Effect.provide(wholeStoreLayer(countedStore)))
      yield* Effect.forkChild(
        Dispatcher.run.pipe(
          Effect.provideService(Feed.Feed, feed),
          Effect.provideService(WebhookStore, countedWebhooks)
        )
      )
      yield* pass("2 minutes")
      asked = 0
      yield* pass("10 minutes")
      // A look every two seconds, the feed's query every second, and each webhook's two a minute.
      assert.isAtMost(asked / 600, 0.5 + 1 + (20 * 2) / 60 + 0.1)
    }).pipe(Effect.scoped))
})

describe("what a person asks of webhooks", () => {
  test("a test message is sent at once, and its answer is told", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { secret, webhook } = yield* create()
      const ok = yield* webhooks.ping(at(webhook.id))
      assert.deepStrictEqual([ok.delivered, ok.status, ok.error], [true, 204, null])
      const [sent] = endpoints.sent
      assert.strictEqual(sent?.id, ok.message)
      assert.deepStrictEqual((JSON.parse(sent?.body ?? "") as { type: string; data: unknown }).data, {
        webhook: webhook.id
      })
      assert.strictEqual(sent?.headers["webhook-signature"], sent === undefined ? "" : signed(sent, secret))
      endpoints.answer = () => Effect.succeed(302)
      const redirected = yield* webhooks.ping(at(webhook.id))
      assert.deepStrictEqual([redirected.delivered, redirected.status], [false, 302])
      endpoints.answer = () => Effect.fail(new SendError({ message: "nothing listens there" }))
      const away = yield* webhooks.ping(at(webhook.id))
      assert.deepStrictEqual([away.delivered, away.status, away.error], [false, null, "nothing listens there"])
      assert.strictEqual((yield* messages(webhook.id)).length, 0)
    }))

  test("another secret signs at once, and the one before it for a day", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { secret, webhook } = yield* create()
      const rotated = yield* webhooks.rotate({ ...at(webhook.id), payload: null })
      assert.notStrictEqual(rotated.secret, Redacted.value(secret))
      const signatures = Effect.map(webhooks.ping(at(webhook.id)), () =>
        (endpoints.sent.at(-1)?.headers["webhook-signature"] ?? "").split(" ")
      )
      assert.strictEqual((yield* signatures).length, 2)
      yield* TestClock.adjust("25 hours")
      assert.strictEqual((yield* signatures).length, 1)
      const wrong = Redacted.make("whsec_short")
      assert.strictEqual(
        (yield* Effect.flip(webhooks.rotate({ ...at(webhook.id), payload: { secret: wrong } })))._tag,
        "UsageProblem"
      )
    }))

  test("wrong input is refused with the field's name, and stored is nothing", () =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const refused = (input: Parameters<typeof create>[0]) => Effect.flip(create(input))
      for (const to of ["http://hooks.example/", "https://127.0.0.1/", "https://nowhere.example/", "nonsense"]) {
        assert.strictEqual((yield* refused({ url: to }))._tag, "UsageProblem")
      }
      assert.include((yield* refused({ url: "https://10.0.0.1/" })).message, "url: 10.0.0.1 is, or resolves to")
      assert.include((yield* refused({ secret: Redacted.make("x") })).message, "secret:")
      const absent = yield* refused({ connection: "nobody" })
      assert.deepStrictEqual([absent._tag, absent.message.startsWith("connection: ")], ["NotFoundProblem", true])
      assert.deepStrictEqual(yield* webhooks.list({}), { webhooks: [] })
      for (let n = 0; n < 100; n += 1) yield* create()
      assert.strictEqual((yield* refused({}))._tag, "ConflictProblem")
    }))

  test("a connection that is removed leaves its webhook, which tells nothing more", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const webhooks = yield* Webhooks
      const { commit, id } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create({ connection: id })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* store.disconnect(id, true)
      yield* pass("3 minutes")
      assert.strictEqual(endpoints.sent.length, 1)
      const row = yield* webhooks.get(at(webhook.id))
      assert.deepStrictEqual([row.state, row.connection], ["active", id])
      assert.isTrue(Option.isSome(DateTime.make(row.createdAt)))
    }))
})
