import { assert, describe } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import * as Cursor from "../../../src/engine/feed/Cursor.ts"
import * as Feed from "../../../src/engine/feed/Feed.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { WebhookId } from "../../../src/engine/model/Webhook.ts"
import { create as createStored } from "../../stores/webhookFixture.ts"
import { deleteStaged, item, page, running as connected } from "../../stores/scenario.ts"
import { url, other, Webhooks, at, until, pass, test, dispatcher, create, changesIn, signed } from "./Fixture.ts"

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
      assert.deepStrictEqual(endpoints.to(url).flatMap(changesIn), ["a stored", "b stored", "c stored", "a updated"])
      assert.deepStrictEqual(endpoints.to(other).flatMap(changesIn), ["b stored", "c stored", "a updated"])
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
      const [one, two, three] = [yield* connected(), yield* connected(), yield* connected()]
      yield* one.commit({ items: [item("a", { title: "secret title" }), item("b", { title: "kept title" })] })
      yield* two.commit({ items: [item("c", { title: "another title" })] })
      yield* three.commit({ items: [item("d", { title: "title of others" })] })
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
      assert.deepStrictEqual(sent === undefined ? [] : changesIn(sent), ["a stored", "b stored", "d stored"])
      for (const text of ["kept title", "title of others"]) assert.include(sent?.body, text)
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
        endpoints.to(url).map((sent) => changesIn(sent).length),
        [100, 100, 50]
      )
      assert.strictEqual(new Set(endpoints.to(url).flatMap(changesIn)).size, 250)
      assert.deepStrictEqual(endpoints.to(other).flatMap(changesIn), ["x updated"])
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
      assert.deepStrictEqual(endpoints.sent.flatMap(changesIn), ["a stored", "a deleted"])
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
      // While the first message is being repeated, e and f are created, and c and d are updated.
      yield* patch("d", 1)
      yield* away("c")
      yield* commit({ items: [item("c"), item("e"), item("f")] })
      for (const id of ["c", "e", "f"]) yield* patch(id, 1)
      yield* away("f")
      endpoints.answer = () => Effect.succeed(200)
      yield* pass("1 minute")
      const messagesTo = (url: string) =>
        Array.from(new Map(endpoints.to(url).map((one) => [one.id, changesIn(one).toSorted()])).values())
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
      assert.deepStrictEqual(endpoints.sent.slice(before).flatMap(changesIn), ["e updated"])
    }))

  test("begins again with all that is stored where its cursor is of an epoch that is over", (endpoints) =>
    Effect.gen(function* () {
      const store = yield* WholeStore
      const { commit } = yield* connected()
      yield* commit({ items: [item("a"), item("b")] })
      const epoch = { ...(yield* store.epoch), id: randomUUID() }
      const webhookId = WebhookId.make(randomUUID())
      const secret = new TextEncoder().encode(
        JSON.stringify({ current: `whsec_${Buffer.alloc(32).toString("base64")}`, previous: null })
      )
      const cursor = Cursor.ofChange(epoch, undefined, { transaction: 999n, row: null })
      yield* createStored({ id: webhookId, url, secret, cursor })
      yield* dispatcher
      yield* until(() => endpoints.sent.length === 1)
      assert.deepStrictEqual(endpoints.sent.flatMap(changesIn), ["a stored", "b stored"])
    }))
})
