import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Etag from "effect/http/Etag"
import * as HttpPlatform from "effect/http/HttpPlatform"
import * as HttpApiTest from "effect/http-api/HttpApiTest"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { createHmac, randomUUID } from "node:crypto"
import * as Cursor from "../../../src/engine/feed/Cursor.ts"
import * as Feed from "../../../src/engine/feed/Feed.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../../src/testing/WholeStore.ts"
import { Vault } from "../../../src/engine/secrets/Vault.ts"
import { WebhookId, type WebhookState } from "../../../src/engine/model/Webhook.ts"
import { WebhookStore } from "../../../src/engine/store/WebhookStore.ts"
import * as Destination from "../../../src/engine/webhooks/Destination.ts"
import * as Dispatcher from "../../../src/engine/webhooks/Dispatcher.ts"
import { type Answer, SendError, Sender } from "../../../src/engine/webhooks/Sender.ts"
import { Api } from "../../../src/http/Api.ts"
import * as RequestErrors from "../../../src/http/RequestErrors.ts"
import * as Authenticated from "../../../src/http/security/Authenticated.ts"
import * as WebhookHandlers from "../../../src/http/webhooks/WebhookHandlers.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { deleteStaged, item, page, running as connected } from "../../stores/scenario.ts"

const url = "https://hooks.example/a"
const other = "https://hooks.example/b"

interface Sent {
  readonly url: string
  readonly id: string
  readonly at: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Endpoints that keep what they are sent. */
class Endpoints {
  readonly sent: Array<Sent> = []
  answer: (request: Sent) => Effect.Effect<number | Answer, SendError> = () => Effect.succeed(204)

  readonly layer = Layer.succeed(
    Sender,
    Sender.of({
      post: ({ body, headers, url }) =>
        Effect.gen({ self: this }, function* () {
          const request = { url, id: headers["webhook-id"] ?? "", at: yield* Clock.currentTimeMillis, headers, body }
          this.sent.push(request)
          const answer = yield* this.answer(request)
          return typeof answer === "number" ? { status: answer, retryAfter: undefined, text: null } : answer
        })
    })
  )

  to(url: string): ReadonlyArray<Sent> {
    return this.sent.filter((one) => one.url === url)
  }
}

const vault = Layer.succeed(
  Vault,
  Vault.of({
    seal: (secret) => Effect.sync(() => new TextEncoder().encode(JSON.stringify(secret))),
    unseal: (sealed) => Effect.sync(() => JSON.parse(new TextDecoder().decode(sealed)) as Schema.Json),
    keys: Effect.succeed({ current: "0011223344556677", former: [] })
  })
)

const address = Effect.runSync(Effect.fromResult(NetAddress.ipv4FromString("93.184.216.34")))
const zone = Dns.layerStatic({ records: { "hooks.example": [Dns.makeRecordUnsafe("A", { address })] } })

const api = HttpApiTest.groups(Api, ["webhooks"])
type Client = Effect.Success<typeof api>["webhooks"]

/** The API's webhooks, in process. */
class Webhooks extends Context.Service<Webhooks, Client>()("test/engine/webhooks/Webhooks") {
  static readonly layer = Layer.effect(
    Webhooks,
    Effect.map(api, ({ webhooks }) => webhooks)
  ).pipe(
    Layer.provide(WebhookHandlers.layer),
    Layer.provide([RequestErrors.layer, Authenticated.layer, HttpPlatform.layer]),
    Layer.provide([Etag.layerWeak, NodeServices.layer])
  )
}

/** A request about this webhook. */
const at = (webhook: string) => ({ params: { webhook } })

const layer = (endpoints: Endpoints) =>
  Layer.mergeAll(Webhooks.layer, Feed.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(Memory.layer, vault, endpoints.layer)),
    Layer.provide(Destination.layer),
    Layer.provide(zone),
    Layer.orDie
  )

const turn = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

/** Moves the clock in steps until the condition holds. */
const until = (condition: () => boolean, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    for (let steps = 0; steps < 20_000; steps += 1) {
      if (condition()) return
      yield* TestClock.adjust(step)
      yield* turn
    }
    return yield* Effect.die(new Error("it never came to be"))
  })

/** Lets this much time pass in steps. */
const pass = (by: Duration.Input, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(by))
    while ((yield* Clock.currentTimeMillis) < end) {
      yield* TestClock.adjust(step)
      yield* turn
    }
  })

const test = <A, E>(
  name: string,
  body: (endpoints: Endpoints) => Effect.Effect<A, E, Layer.Success<ReturnType<typeof layer>>>
) => {
  const endpoints = new Endpoints()
  it.effect(name, () => body(endpoints).pipe(Effect.provide(layer(endpoints))))
}

/** A process that delivers, until it is interrupted. */
const dispatcher = Effect.forkChild(Dispatcher.run)

/** A dispatcher that can be started again. */
const process = Effect.map(dispatcher, (fiber) => ({ fiber }))
type Process = Effect.Success<typeof process>

/** Lets time pass while nobody delivers: that way days cost nothing. */
const restarted = Effect.fnUntraced(function* (running: Process, away: Duration.Duration) {
  yield* Fiber.interrupt(running.fiber)
  yield* TestClock.adjust(away)
  running.fiber = yield* dispatcher
})

const create = (input: Partial<Parameters<Client["create"]>[0]["payload"]> = {}) =>
  Webhooks.use((webhooks) =>
    Effect.map(webhooks.create({ payload: { url, from: "beginning", ...input } }), ({ secret, ...webhook }) => ({
      webhook,
      secret: Redacted.make(secret)
    }))
  )

/** The ids and kinds of change in a message. */
const told = ({ body }: Sent): ReadonlyArray<string> => {
  const { data } = JSON.parse(body) as {
    readonly data: {
      readonly changes: ReadonlyArray<{ readonly change: string; readonly content: { readonly externalId: string } }>
    }
  }
  return data.changes.map(({ change, content }) => `${content.externalId} ${change}`)
}

/** The signature of a message, by HMAC itself. */
const signed = ({ body, headers }: Sent, secret: Redacted.Redacted): string => {
  const key = Buffer.from(Redacted.value(secret).slice("whsec_".length), "base64")
  const content = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`
}

const messages = (id: string, state?: "pending" | "delivered" | "dead") =>
  Webhooks.use((webhooks) =>
    Effect.map(
      webhooks.messages({ ...at(id), query: { limit: 100, ...(state === undefined ? {} : { state }) } }),
      (page) => page.messages
    )
  )

/** How long until its pending message is sent again, once the last attempt is written. */
const untilNext = Effect.fnUntraced(function* (id: string) {
  yield* pass("2 seconds")
  const [pending] = yield* messages(id, "pending")
  return (pending?.nextAttemptAt?.epochMilliseconds ?? 0) - (yield* Clock.currentTimeMillis)
})

const minutes = (count: number) => count * 60_000

describe("delivering to webhooks", () => {
  test("tells what changes, in order, signed, from now on or from the beginning", (endpoints) =>
    Effect.gen(function* () {
      const { commit, id } = yield* connected()
      yield* commit({ items: [item("a")] })
      const all = yield* create()
      const fresh = yield* create({ url: other, from: "now" })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* commit({ items: [item("b"), item("c")] })
      yield* commit({ items: [item("a", { text: "changed" })] })
      yield* until(() => endpoints.to(other).length > 0 && endpoints.to(url).length > 1)
      yield* pass("1 minute")
      assert.deepStrictEqual(endpoints.to(url).flatMap(told), ["a stored", "b stored", "c stored", "a updated"])
      assert.deepStrictEqual(endpoints.to(other).flatMap(told), ["b stored", "c stored", "a updated"])
      for (const sent of endpoints.to(url)) {
        assert.strictEqual(sent.headers["webhook-signature"], signed(sent, all.secret))
      }
      for (const sent of endpoints.to(other)) {
        assert.strictEqual(sent.headers["webhook-signature"], signed(sent, fresh.secret))
      }
      const [first] = endpoints.to(url)
      const body = JSON.parse(first?.body ?? "") as {
        readonly type: string
        readonly timestamp: string
        readonly data: { readonly cursor: string; readonly changes: ReadonlyArray<{ readonly connection: string }> }
      }
      assert.deepStrictEqual([body.type, body.data.changes[0]?.connection], ["content.changed", id])
      assert.match(body.timestamp, /^\d{4}-\d\d-\d\dT.*Z$/)
      const feed = yield* Feed.Feed
      const rest = yield* feed.changes({ after: body.data.cursor, limit: 100, wait: Duration.zero })
      assert.deepStrictEqual(
        rest.changes.map(({ content }) => content.externalId),
        ["b", "c", "a"]
      )
    }))

  test("a message has one body at every attempt, though its content changes meanwhile", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: [item("a", { title: "first" })] })
      yield* create()
      endpoints.answer = () => Effect.succeed(500)
      yield* dispatcher
      yield* until(() => endpoints.to(url).length > 0)
      yield* commit({ items: [item("a", { title: "second", revision: "2" })] })
      endpoints.answer = () => Effect.succeed(204)
      yield* until(() => endpoints.to(url).length > 2)
      const [failed, again, next] = endpoints.to(url)
      assert.include(failed?.body, "first")
      assert.strictEqual(again?.body, failed?.body)
      assert.include(next?.body, "second")
    }))

  test("a purge and a disconnection reach messages that wait and dead letters", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const [one, two] = [yield* connected(), yield* connected()]
      yield* one.commit({ items: [item("a", { title: "secret title" }), item("b", { title: "kept title" })] })
      yield* two.commit({ items: [item("c", { title: "another title" })] })
      yield* create()
      yield* create({ url: other, connection: two.id })
      endpoints.answer = () => Effect.succeed(500)
      yield* dispatcher
      yield* until(() => endpoints.to(url).length > 0 && endpoints.to(other).length > 0)
      assert.include(endpoints.to(url)[0]?.body, "secret title")
      yield* one.commit({ page: page({ deleted: ["a"] }) })
      yield* deleteStaged(one.fence)
      yield* store.purge(one.id, DateTime.add(yield* DateTime.now, { minutes: 1 }))
      yield* store.disconnect(two.id, true)
      const before = endpoints.to(url).length
      endpoints.answer = () => Effect.succeed(204)
      yield* until(() => endpoints.to(url).length > before)
      const sent = endpoints.to(url)[before]
      assert.deepStrictEqual(sent === undefined ? [] : told(sent), ["a stored", "b stored"])
      assert.include(sent?.body, "kept title")
      for (const text of ["secret title", "another title", two.id]) assert.notInclude(sent?.body, text)
    }))

  test("tells a hundred changes in a message, and only those that were asked for", (endpoints) =>
    Effect.gen(function* () {
      const [one, two] = [yield* connected(), yield* connected()]
      yield* one.commit({ items: Array.from({ length: 250 }, (_, n) => item(`m${String(n).padStart(3, "0")}`)) })
      yield* two.commit({ items: [item("x")] })
      yield* create({ connection: one.name })
      yield* create({ url: other, connection: two.id, changes: ["updated"] })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 3)
      yield* two.commit({ items: [item("x", { text: "changed" }), item("y")] })
      yield* until(() => endpoints.to(other).length === 1)
      assert.deepStrictEqual(
        endpoints.to(url).map((sent) => told(sent).length),
        [100, 100, 50]
      )
      assert.strictEqual(new Set(endpoints.to(url).flatMap(told)).size, 250)
      assert.deepStrictEqual(endpoints.to(other).flatMap(told), ["x updated"])
    }))

  test("sends by the filter of now, also where it was changed while there was nothing to send", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit, fence } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create({ changes: ["stored"] })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* pass("5 seconds")
      yield* webhooks.change({ ...at(webhook.id), payload: { changes: ["stored", "deleted"] } })
      yield* commit({ page: page({ deleted: ["a"] }) })
      yield* deleteStaged(fence)
      yield* pass("5 seconds")
      assert.deepStrictEqual(endpoints.sent.flatMap(told), ["a stored", "a deleted"])
      yield* webhooks.change({ ...at(webhook.id), payload: { changes: ["updated"] } })
      yield* commit({ items: [item("b")] })
      yield* pass("5 seconds")
      assert.strictEqual(endpoints.sent.length, 2)
    }))

  test("sends content by its latest change of the kinds that were asked for", (endpoints) =>
    Effect.gen(function* () {
      const { commit, fence } = yield* connected()
      const patch = (externalId: string, n: number) =>
        commit({ page: page({ patches: [{ externalId, metadata: { n } }] }) })
      const away = Effect.fnUntraced(function* (externalId: string) {
        yield* commit({ page: page({ deleted: [externalId] }) })
        yield* deleteStaged(fence)
      })
      yield* commit({ items: [item("a"), item("b"), item("c"), item("d")] })
      yield* patch("a", 1)
      yield* away("b")
      yield* away("c")
      yield* commit({ items: [item("c")] })
      const urls = ["stored", "stored+deleted", "no-updates", "updated"].map((name) => `https://hooks.example/${name}`)
      const [stored = "", both = "", noUpdates = "", updated = ""] = urls
      yield* create({ url: stored, changes: ["stored"] })
      yield* create({ url: both, changes: ["stored", "deleted"] })
      yield* create({ url: noUpdates, changes: ["stored", "deleted", "undeleted"] })
      yield* create({ url: updated, changes: ["updated"] })
      endpoints.answer = () => Effect.succeed(500)
      yield* dispatcher
      yield* until(() => urls.every((url) => endpoints.to(url).length > 0))
      // While the first message is repeated, e and f become new, and c and d are updated.
      yield* patch("d", 1)
      yield* away("c")
      yield* commit({ items: [item("c"), item("e"), item("f")] })
      for (const id of ["c", "e", "f"]) yield* patch(id, 1)
      yield* away("f")
      endpoints.answer = () => Effect.succeed(200)
      yield* pass("1 minute")
      const messagesTo = (url: string) =>
        Array.from(new Map(endpoints.to(url).map((one) => [one.id, told(one).toSorted()])).values())
      assert.deepStrictEqual(urls.map(messagesTo), [
        [["a stored", "c stored", "d stored"], ["e stored"]],
        [
          ["a stored", "b deleted", "c stored", "d stored"],
          ["e stored", "f deleted"]
        ],
        [
          ["a stored", "b deleted", "c undeleted", "d stored"],
          ["c undeleted", "e stored", "f deleted"]
        ],
        [["a updated"], ["c updated", "d updated", "e updated"]]
      ])
      const before = endpoints.sent.length
      yield* patch("e", 2)
      yield* pass("5 seconds")
      assert.deepStrictEqual(endpoints.sent.slice(before).flatMap(told), ["e updated"])
    }))

  test("tries again for three days under one id, holds what comes later, gives up, and goes on", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () =>
        Effect.succeed({ status: endpoints.sent.length > 10 ? 200 : 500, retryAfter: undefined, text: "sorry" })
      const running = yield* process
      yield* until(() => endpoints.sent.length === 1)
      yield* commit({ items: [item("b")] })
      yield* commit({ items: [item("b", { text: "twice" })] })
      const waits = [1 / 12, 5, 30, 120, 300, 600, 840, 1200, 1440].map(minutes)
      for (const [index, about] of waits.entries()) {
        const wait = yield* untilNext(webhook.id)
        assert.isTrue(wait >= about * 0.8 - 10_000 && wait <= about * 1.2, `${wait} is not about ${about}`)
        assert.strictEqual(endpoints.sent.length, index + 1)
        yield* restarted(running, Duration.millis(wait))
        yield* until(() => endpoints.sent.length >= index + 2)
      }
      const attempts = endpoints.sent.slice(0, 10)
      assert.strictEqual(new Set(attempts.map(({ id }) => id)).size, 1)
      assert.strictEqual(new Set(attempts.map(({ body }) => body)).size, 1)
      yield* until(() => endpoints.sent.length === 11)
      assert.deepStrictEqual(told(endpoints.sent[10] ?? assert.fail()), ["b updated"])
      yield* pass("10 seconds")
      const [dead] = yield* messages(webhook.id, "dead")
      assert.deepStrictEqual(
        [dead?.id, dead?.attempts, dead?.status, dead?.error, dead?.answer, dead?.nextAttemptAt],
        [endpoints.sent[0]?.id, 10, 500, "it answered 500", "sorry", null]
      )
      assert.strictEqual((yield* webhooks.get(at(webhook.id))).dead, 1)

      yield* webhooks.redeliver({ params: { webhook: webhook.id, message: dead?.id ?? "" } })
      yield* until(() => endpoints.sent.length === 12)
      assert.deepStrictEqual([endpoints.sent[11]?.id, endpoints.sent[11]?.body], [dead?.id, endpoints.sent[0]?.body])
      yield* pass("5 seconds")
      assert.strictEqual((yield* messages(webhook.id, "delivered")).length, 2)
      assert.strictEqual(
        (yield* Effect.flip(webhooks.redeliver({ params: { webhook: webhook.id, message: dead?.id ?? "" } })))._tag,
        "ConflictProblem"
      )
      assert.strictEqual(
        (yield* Effect.flip(webhooks.redeliver({ params: { webhook: webhook.id, message: randomUUID() } })))._tag,
        "NotFoundProblem"
      )
    }))

  test("waits as long as the endpoint asks for, but a day at most", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      const asked = [Duration.minutes(10), Duration.days(30), Duration.seconds(1)]
      endpoints.answer = () => Effect.succeed({ status: 503, retryAfter: asked[endpoints.sent.length - 1], text: null })
      const running = yield* process
      // Less than the schedule's is no reason to hurry.
      for (const [index, wait] of [minutes(10), minutes(24 * 60), minutes(24)].entries()) {
        yield* until(() => endpoints.sent.length === index + 1)
        const found = yield* untilNext(webhook.id)
        assert.isAtLeast(found, wait - 10_000)
        assert.isAtMost(found, Math.max(wait, minutes(36)))
        yield* restarted(running, Duration.millis(found))
      }
    }))

  test("disables a webhook whose endpoint is gone, and goes on with the same message once it is activated", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.succeed(410)
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* pass("1 hour", "10 seconds")
      assert.strictEqual(endpoints.sent.length, 1)
      const disabled = yield* webhooks.get(at(webhook.id))
      assert.deepStrictEqual([disabled.state, disabled.pending], ["disabled", 1])
      assert.include(disabled.reason, "410")
      endpoints.answer = () => Effect.succeed(200)
      const active = yield* webhooks.change({ ...at(webhook.id), payload: { state: "active" } })
      assert.deepStrictEqual([active.state, active.reason], ["active", null])
      yield* until(() => endpoints.sent.length === 2)
      assert.strictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
    }))

  test("disables a webhook that failed for five days, and loses nothing", (endpoints) =>
    Effect.gen(function* () {
      const webhooks = yield* Webhooks
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.fail(new SendError({ message: "nothing listens there" }))
      const running = yield* process
      yield* until(() => endpoints.sent.length === 1)
      yield* commit({ items: [item("b")] })
      for (let attempts = 1; attempts < 10; attempts += 1) {
        yield* restarted(running, Duration.millis(yield* untilNext(webhook.id)))
        yield* until(() => endpoints.sent.length >= attempts + 1)
      }
      yield* until(() => endpoints.sent.length === 11)
      // The attempts so far took two and a half to four days.
      yield* restarted(running, Duration.days(3))
      yield* until(() => endpoints.sent.length === 12)
      yield* pass("10 seconds")
      const disabled = yield* webhooks.get(at(webhook.id))
      assert.deepStrictEqual([disabled.state, disabled.pending, disabled.dead], ["disabled", 1, 1])
      const before = endpoints.sent.length
      yield* restarted(running, Duration.days(2))
      yield* pass("1 minute")
      assert.strictEqual(endpoints.sent.length, before)
      endpoints.answer = () => Effect.succeed(200)
      yield* webhooks.change({ ...at(webhook.id), payload: { state: "active" } })
      assert.deepStrictEqual(yield* webhooks.redeliverAll(at(webhook.id)), { redelivered: 1 })
      yield* until(() => endpoints.sent.length === before + 2)
      assert.deepStrictEqual(endpoints.sent.slice(before).flatMap(told), ["b stored", "a stored"])
    }))

  test("sends what a killed process may have sent again, under the same id", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WebhookStore
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      yield* create()
      // A dispatcher that dies between sending and recording writes nothing more.
      const dead = yield* Deferred.make<WebhookState>()
      const dying = WebhookStore.of({
        ...store,
        recordAttempt: () => Deferred.await(dead),
        releaseClaim: () => Effect.void
      })
      const first = yield* Effect.forkChild(Effect.provideService(Dispatcher.run, WebhookStore, dying))
      yield* until(() => endpoints.sent.length === 1)
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 2)
      assert.deepStrictEqual(endpoints.sent[1]?.body, endpoints.sent[0]?.body)
      assert.deepStrictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
      yield* pass("2 minutes")
      assert.strictEqual(endpoints.sent.length, 2)
      yield* Deferred.succeed(dead, "active")
      yield* Fiber.interrupt(first)
    }))

  test("a process that stops gives its message back, and the next sends it at once", (endpoints) =>
    Effect.gen(function* () {
      const { commit } = yield* connected()
      yield* commit({ items: [item("a")] })
      const { webhook } = yield* create()
      endpoints.answer = () => Effect.never
      const first = yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      yield* Fiber.interrupt(first)
      const [pending] = yield* messages(webhook.id, "pending")
      assert.strictEqual(pending?.attempts, 0)
      endpoints.answer = () => Effect.succeed(200)
      const from = yield* Clock.currentTimeMillis
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 2)
      assert.isAtMost((yield* Clock.currentTimeMillis) - from, 3000)
      assert.strictEqual(endpoints.sent[1]?.id, endpoints.sent[0]?.id)
    }))

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
      yield* until(() => endpoints.sent.flatMap(told).length === 20)
      for (const target of [url, other]) {
        const sent = endpoints.to(target)
        assert.strictEqual(new Set(sent.map(({ id }) => id)).size, sent.length)
        assert.deepStrictEqual(
          sent.flatMap(told),
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
      assert.deepStrictEqual(endpoints.sent.flatMap(told), ["a stored"])
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
      assert.deepStrictEqual(endpoints.to(other).flatMap(told), ["b stored"])
      yield* webhooks.remove(at(webhook.id))
      yield* commit({ items: [item("c")] })
      yield* pass("5 minutes", "5 seconds")
      assert.strictEqual(endpoints.sent.length, 2)
      assert.strictEqual((yield* Effect.flip(webhooks.get(at(webhook.id))))._tag, "NotFoundProblem")
    }))

  test("begins again with all that is stored where its cursor is of an epoch that is over", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const webhookStore = yield* WebhookStore
      const { commit } = yield* connected()
      yield* commit({ items: [item("a"), item("b")] })
      const epoch = { ...(yield* store.epoch), id: randomUUID() }
      const webhookId = WebhookId.make(randomUUID())
      const secret = new TextEncoder().encode(
        JSON.stringify({ current: `whsec_${Buffer.alloc(32).toString("base64")}`, previous: null })
      )
      yield* webhookStore.create({
        id: webhookId,
        name: "restored",
        url,
        connectionId: null,
        changes: null,
        secret,
        cursor: Cursor.ofChange(epoch, undefined, { transaction: 999n, row: null })
      })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      assert.deepStrictEqual(endpoints.sent.flatMap(told), ["a stored", "b stored"])
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
      // A look every two seconds, the feed's question every second, and each webhook's own once a minute.
      assert.isAtMost(asked / 600, 0.5 + 1 + (20 * 3) / 60 + 0.1)
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
      assert.include((yield* refused({ url: "https://10.0.0.1/" })).message, "url: 10.0.0.1 is, or leads to")
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
