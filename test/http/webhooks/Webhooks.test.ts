import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Webhook } from "standardwebhooks"
import { layer, TestServer, token } from "../../support/HttpServer.ts"
import * as Receiver from "../../support/Receiver.ts"

const live = { excludeTestServices: true } as const
const env = { IDEM_API_TOKEN: token, IDEM_WEBHOOK_ALLOW: "127.0.0.1" }

interface Made {
  readonly id: string
  readonly secret: string
  readonly state: string
}

it.layer(layer({ env }), live)("webhooks over HTTP", (it) => {
  const create = Effect.fnUntraced(function* (url: string) {
    const { ask } = yield* TestServer
    const { json, status } = yield* ask("/webhooks", { method: "POST", body: { url } })
    assert.strictEqual(status, 201)
    return json as Made
  })

  it.effect("a secret is shown when it is made, and never again", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const receiver = yield* Receiver.make
      const { id, secret, ...made } = yield* create(receiver.url)
      assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
      const one = yield* ask(`/webhooks/${id}`)
      assert.deepStrictEqual(one.json, { id, ...made })
      const all = yield* ask("/webhooks")
      assert.notInclude(one.text + all.text, secret)
      const rotated = yield* ask(`/webhooks/${id}/rotate`, { method: "POST" })
      assert.strictEqual(rotated.status, 200)
      assert.notStrictEqual((rotated.json as Made).secret, secret)
      const given = `whsec_${Buffer.alloc(24, 7).toString("base64")}`
      const again = yield* ask(`/webhooks/${id}/rotate`, { method: "POST", body: { secret: given } })
      assert.strictEqual((again.json as Made).secret, given)
    }).pipe(Effect.scoped)
  )

  it.effect("a test message arrives, and its signature is right", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const receiver = yield* Receiver.make
      const { id, secret } = yield* create(receiver.url)
      const pinged = yield* ask(`/webhooks/${id}/ping`, { method: "POST" })
      assert.strictEqual((pinged.json as { readonly delivered: boolean }).delivered, true)
      const [received] = receiver.received
      const body = new Webhook(secret).verify(received?.body ?? "", received?.headers as Record<string, string>)
      assert.deepInclude(body as object, { type: "webhook.ping", data: { webhook: id } })
    }).pipe(Effect.scoped)
  )

  it.effect("it is changed, paused, resumed and removed", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { id } = yield* create("http://127.0.0.1:9/hook")
      const change = (body: unknown) => ask(`/webhooks/${id}`, { method: "PATCH", body })
      const changed = yield* change({ name: "mine", changes: ["deleted"], state: "paused" })
      assert.deepInclude(changed.json as object, { name: "mine", changes: ["deleted"], state: "paused" })
      assert.deepInclude((yield* change({ changes: null, state: "active" })).json as object, {
        changes: null,
        state: "active"
      })
      assert.deepStrictEqual((yield* ask(`/webhooks/${id}/messages?state=dead`)).json, { messages: [], next: null })
      assert.deepStrictEqual((yield* ask(`/webhooks/${id}/redeliver`, { method: "POST" })).json, { redelivered: 0 })
      assert.strictEqual((yield* ask(`/webhooks/${id}`, { method: "DELETE" })).status, 204)
      assert.strictEqual((yield* ask(`/webhooks/${id}`, { method: "DELETE" })).status, 404)
    })
  )

  it.effect("what is wrong is a problem that says so, and repeats no secret", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { id } = yield* create("http://127.0.0.1:9/hook")
      const post = (path: string, body?: unknown) => ask(path, { method: "POST", body })
      const answers = [
        [400, yield* post("/webhooks", {})],
        [400, yield* post("/webhooks", { url: "https://example.com/", changes: ["s3cret"] })],
        [400, yield* post("/webhooks", { url: "https://example.com/", nonsense: "s3cret" })],
        [422, yield* post("/webhooks", { url: "https://10.0.0.1/s3cret" })],
        [422, yield* post("/webhooks", { url: "https://s3cret@example.com/" })],
        [422, yield* post("/webhooks", { url: "http://127.0.0.1/", secret: "s3cret" })],
        [404, yield* post("/webhooks", { url: "http://127.0.0.1/", connection: "nobody" })],
        [422, yield* ask(`/webhooks/${id}`, { method: "PATCH", body: { url: "https://169.254.169.254/s3cret" } })],
        [400, yield* ask(`/webhooks/${id}`, { method: "PATCH", body: { state: "disabled" } })],
        [400, yield* ask(`/webhooks/${id}/messages?state=lost`)],
        [404, yield* ask("/webhooks/nobody")],
        [404, yield* post("/webhooks/nobody/ping")],
        [404, yield* post(`/webhooks/${id}/messages/nothing/redeliver`)]
      ] as const
      for (const [status, answer] of answers) {
        assert.strictEqual(answer.status, status, answer.text)
        assert.include(answer.headers["content-type"], "application/problem+json")
        assert.notInclude(answer.text, "s3cret")
      }
    })
  )
})
