import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import { createHmac, randomBytes } from "node:crypto"
import { Webhook, WebhookVerificationError } from "standardwebhooks"
import * as Signature from "../../../src/engine/webhooks/Signature.ts"

const whsec = (bytes: number) => Redacted.make(`whsec_${randomBytes(bytes).toString("base64")}`)

/** Verifies with the real time, because the library uses it. */
const verify = (secret: Redacted.Redacted, body: string, headers: Record<string, string>): unknown =>
  new Webhook(Redacted.value(secret)).verify(body, headers)

describe("the signature of a message", () => {
  it.effect("is that of the specification's own example", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_614_265_330_000)
      const secrets = { current: Redacted.make("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), previous: null }
      assert.deepStrictEqual(
        yield* Signature.headers(secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", `{"test": 2432232314}`),
        {
          "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
          "webhook-timestamp": "1614265330",
          "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        }
      )
    })
  )

  it.live("is verified by Standard Webhooks' library, and by HMAC itself", () =>
    Effect.gen(function* () {
      for (const current of [yield* Signature.generate, whsec(24), whsec(64)]) {
        const body = JSON.stringify({ text: "Grüße \u{1F4EC} \u2028" })
        const headers = yield* Signature.headers({ current, previous: null }, "an-id", body)
        assert.deepStrictEqual(verify(current, body, headers), JSON.parse(body))
        const key = Buffer.from(Redacted.value(current).slice("whsec_".length), "base64")
        const mac = createHmac("sha256", key).update(`an-id.${headers["webhook-timestamp"]}.${body}`).digest("base64")
        assert.strictEqual(headers["webhook-signature"], `v1,${mac}`)
        for (const [other, changed] of [
          [current, { ...headers, "webhook-id": "another" }],
          [whsec(24), headers]
        ] as const) {
          assert.throws(() => verify(other, body, changed), WebhookVerificationError)
        }
        assert.throws(() => verify(current, `${body} `, headers), WebhookVerificationError)
      }
    })
  )

  it.live("is made with both secrets until the time of the former is over", () =>
    Effect.gen(function* () {
      const [current, former] = [whsec(32), whsec(32)]
      const now = yield* DateTime.now
      const headersUntil = (until: DateTime.Utc) =>
        Signature.headers({ current, previous: { secret: former, until } }, "an-id", "{}")
      const both = yield* headersUntil(DateTime.addDuration(now, Duration.minutes(1)))
      assert.strictEqual(both["webhook-signature"].split(" ").length, 2)
      verify(current, "{}", both)
      verify(former, "{}", both)
      const one = yield* headersUntil(DateTime.subtractDuration(now, Duration.seconds(1)))
      verify(current, "{}", one)
      assert.throws(() => verify(former, "{}", one), WebhookVerificationError)
    })
  )
})

describe("a secret that is given", () => {
  it.effect("has 24 to 64 bytes as base64 after its prefix, and is repeated in no error", () =>
    Effect.gen(function* () {
      for (const bytes of [24, 32, 64]) yield* Signature.check(whsec(bytes))
      const secret = randomBytes(32).toString("base64")
      const wrong = [secret, `whsec_${secret}!`, `whsec_ ${secret}`, "", "whsec_", `WHSEC_${secret}`]
      for (const given of [...wrong.map((text) => Redacted.make(text)), whsec(23), whsec(65)]) {
        const error = yield* Effect.flip(Signature.check(given))
        assert.include(error.message, "secret: it must be whsec_")
        assert.notInclude(error.message, secret)
      }
    })
  )
})
