import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ConfigErrors from "../../../src/engine/source/ConfigErrors.ts"

const secretText = Schema.Redacted(Schema.String)
const credentials = Schema.toCodecJson(
  Schema.Union([
    Schema.Struct({ accessToken: secretText }),
    Schema.Struct({ clientId: Schema.String, clientSecret: secretText, refreshToken: secretText })
  ])
)
const config = Schema.toCodecJson(
  Schema.Struct({
    protocol: Schema.Literals(["ftp", "sftp"]),
    host: Schema.String,
    port: Schema.optionalKey(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 65_535 })))),
    labels: Schema.optionalKey(Schema.Array(Schema.String)),
    quota: Schema.optionalKey(Schema.Struct({ unitsPerMinute: Schema.Finite }))
  })
)

const explain = (schema: Schema.Codec<unknown, Schema.Json>, value: unknown, secret: boolean) =>
  Schema.decodeUnknownEffect(schema)(value, { onExcessProperty: "error", errors: "all" }).pipe(
    Effect.flip,
    Effect.map((error) => ConfigErrors.explain(error.issue, { secret }))
  )

describe("what is wrong with a config", () => {
  it.effect("names each field: missing, of the wrong type, out of bounds, unknown", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* explain(config, {}, false), "protocol is missing; host is missing")
      assert.strictEqual(
        yield* explain(config, { protocol: "ftp", host: 5, port: 70_000, labels: ["x", 1], quota: {} }, false),
        "host: expected string; port: expected a value between 1 and 65535; labels[1]: expected string; quota.unitsPerMinute is missing"
      )
      assert.strictEqual(
        yield* explain(config, { protocol: "http", host: "h", hots: "h" }, false),
        'hots is not a field of it (did you mean host?); protocol: expected "ftp" | "sftp"'
      )
      assert.strictEqual(yield* explain(config, [], false), "expected object")
    })
  )
})

describe("what is wrong with credentials", () => {
  it.effect("names what is expected, of the nearest way to log in", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* explain(credentials, {}, true),
        "accessToken is missing, or clientId is missing; clientSecret is missing; refreshToken is missing"
      )
      assert.strictEqual(
        yield* explain(credentials, { clientId: "me" }, true),
        "clientSecret is missing; refreshToken is missing"
      )
      assert.strictEqual(yield* explain(credentials, { accessToken: 5 }, true), "accessToken: expected string")
      for (const [name, meant] of [
        ["acessToken", "accessToken"],
        ["access_token", "accessToken"],
        ["token", "accessToken"]
      ]) {
        assert.strictEqual(
          yield* explain(credentials, { [name!]: "a" }, true),
          `${name} is not a field of it (did you mean ${meant}?)`
        )
      }
      assert.strictEqual(
        yield* explain(credentials, { client_id: "a", clientSecret: "b" }, true),
        "client_id is not a field of it (did you mean clientId?); refreshToken is missing"
      )
    })
  )

  it.effect("never repeats a key or a value that was given in their place", () =>
    Effect.gen(function* () {
      for (const given of [
        { "xoxb-hunter2": "accessToken" },
        { hunter2: 1, accessToken: "hunter2" },
        { accessTokenhunter2: 1 },
        { accessToken: { hunter2: "hunter2" } },
        ["hunter2"],
        "hunter2"
      ]) {
        assert.notInclude(yield* explain(credentials, given, true), "hunter2")
      }
    })
  )
})
