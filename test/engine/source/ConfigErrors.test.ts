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

describe("the errors by field", () => {
  const errors = (schema: Schema.Codec<unknown, Schema.Json>, value: unknown, secret: boolean) =>
    Schema.decodeUnknownEffect(schema)(value, { onExcessProperty: "error", errors: "all" }).pipe(
      Effect.flip,
      Effect.map((error) => ConfigErrors.fieldErrors("here", error.issue, { secret }))
    )

  it.effect("name the path of each wrong, missing or unexpected field", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* errors(config, { host: 5, labels: ["x", 1], quota: {}, prot: 1 }, false), [
        { place: "here", field: "prot", message: "prot is not a field of it (did you mean port?)" },
        { place: "here", field: "protocol", message: "protocol is missing" },
        { place: "here", field: "host", message: "host: expected string" },
        { place: "here", field: "labels[1]", message: "labels[1]: expected string" },
        { place: "here", field: "quota.unitsPerMinute", message: "quota.unitsPerMinute is missing" }
      ])
      assert.deepStrictEqual(yield* errors(config, [], false), [{ place: "here", message: "expected object" }])
    })
  )

  it.effect("name the fields of all nearest variants, and none whose name may be a secret", () =>
    Effect.gen(function* () {
      const fields = (value: unknown) =>
        Effect.map(errors(credentials, value, true), (found) => found.map(({ field }) => field))
      assert.deepStrictEqual(yield* fields({}), ["accessToken", "clientId", "clientSecret", "refreshToken"])
      assert.deepStrictEqual(yield* fields({ clientId: "me" }), ["clientSecret", "refreshToken"])
      assert.notInclude(JSON.stringify(yield* errors(credentials, { hunter2: "a" }, true)), "hunter2")
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
