/** Secrets in a config: no document shows them, and changes keep them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Integration from "../../../src/contract/Integration.ts"
import { ConnectionStore } from "../../../src/engine/store/ConnectionStore.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import * as Idem from "../../../src/Idem.ts"

const Secret = Schema.Redacted(Schema.String)
const Config = Schema.Struct({
  url: Schema.optionalKey(Schema.String),
  apiKey: Schema.optionalKey(Secret),
  proxy: Schema.optional(Schema.NullOr(Schema.Struct({ host: Schema.String, password: Schema.NullOr(Secret) }))),
  servers: Schema.optionalKey(Schema.Array(Schema.Struct({ name: Schema.String, token: Secret }))),
  headers: Schema.optionalKey(Schema.Record(Schema.String, Secret))
})

/** Makes an integration with secrets in its config, and the keys that its sessions were opened with. */
const make = () => {
  const keys: Array<string | undefined> = []
  const integration = Integration.make<typeof Config.Type, Record<string, never>, number>({
    domain: "keyed",
    config: Config,
    credentials: Schema.Struct({}) as unknown as Schema.Codec<Record<string, never>>,
    checkpoint: Schema.Finite,
    scope: [],
    address: ["url"],
    quota: () => ({ unitsPerMinute: 1000 }),
    open: ({ config }) =>
      Effect.sync(() => {
        keys.push(config.apiKey === undefined ? undefined : Redacted.value(config.apiKey))
        return {
          account: Effect.succeed("me"),
          estimate: Effect.succeed({ unitsPerItem: 1 }),
          list: () => Stream.empty,
          download: () => Effect.die("nothing is listed")
        }
      })
  })
  return { integration, keys }
}

const config = {
  url: "https://a.example",
  apiKey: "s3cret-1",
  proxy: { host: "p", password: "s3cret-2" },
  servers: [{ name: "one", token: "s3cret-3" }],
  headers: { authorization: "s3cret-4" }
}
const shown = {
  url: "https://a.example",
  apiKey: "<redacted>",
  proxy: { host: "p", password: "<redacted>" },
  servers: [{ name: "one", token: "<redacted>" }],
  headers: { authorization: "<redacted>" }
}

const create = (payload: Schema.Json) =>
  ApiClient.use(({ connections }) => connections.create({ payload: { domain: "keyed", name: "me", config: payload } }))
const change = (payload: Schema.Json) =>
  ApiClient.use(({ connections }) => connections.change({ params: { connection: "me" }, payload: { config: payload } }))
const stored = ConnectionStore.use(({ connections }) => Effect.map(connections, ([first]) => first?.config))

/** Runs a test over an engine in memory, and passes the keys of the sessions. */
const using = (
  test: (keys: ReadonlyArray<string | undefined>) => Effect.Effect<void, unknown, ApiClient | ConnectionStore>
) =>
  Effect.suspend(() => {
    const { integration, keys } = make()
    return Effect.provide(test(keys), Idem.layer({ database: "memory", integrations: [integration] }))
  })

describe("the secrets of a config", () => {
  it.live("are masked in every document, and stored", () =>
    using(() =>
      Effect.gen(function* () {
        const { connections } = yield* ApiClient
        const me = { params: { connection: "me" } }
        const documents = [
          (yield* create(config)).connection,
          ...(yield* connections.list({})).connections,
          yield* connections.get(me),
          yield* connections.pause(me),
          yield* connections.resume(me)
        ]
        for (const document of documents) assert.deepStrictEqual<Schema.Json>(document.config, shown)
        assert.deepStrictEqual<Schema.Json | undefined>(yield* stored, config)
      })
    )
  )

  it.live("stay if a change masks or omits them, and are replaced if it has others", () =>
    using((keys) =>
      Effect.gen(function* () {
        yield* create({ ...config, servers: [] })
        const { servers: _, ...others } = shown
        assert.deepStrictEqual<Schema.Json>((yield* change(others)).connection.config, others)
        const { apiKey: _key, ...rest } = others
        yield* change({ ...rest, proxy: { host: "q", password: "<redacted>" } })
        assert.deepStrictEqual<Schema.Json | undefined>(yield* stored, {
          url: config.url,
          apiKey: config.apiKey,
          proxy: { host: "q", password: "s3cret-2" },
          headers: config.headers
        })
        yield* change({ url: config.url, apiKey: "s3cret-5", proxy: null })
        assert.deepStrictEqual<Schema.Json | undefined>(yield* stored, {
          url: config.url,
          apiKey: "s3cret-5",
          proxy: null
        })
        assert.deepStrictEqual(keys, ["s3cret-1", "s3cret-1", "s3cret-1", "s3cret-5"])
      })
    )
  )

  it.live("are needed again at another address, in a new connection, and in an array", () =>
    using((keys) =>
      Effect.gen(function* () {
        const fresh = yield* Effect.flip(create(shown))
        assert.match(fresh.message, /^the config of keyed is not valid: apiKey: give the secret/)
        assert.deepInclude(fresh, {
          errors: [
            {
              place: "config",
              field: "apiKey",
              message: 'apiKey: give the secret, because "<redacted>" stands for a stored one, and there is none'
            }
          ]
        })
        yield* create({ ...config })
        const moved = yield* Effect.flip(change({ url: "https://b.example", apiKey: "<redacted>" }))
        assert.match(moved.message, /^url of "me" says where its secrets of the config are sent/)
        const inArray = yield* Effect.flip(change(shown))
        assert.include(inArray.message, "servers[0].token: give the secret")
        yield* change({ url: "https://b.example", apiKey: "s3cret-6", proxy: null })
        assert.deepStrictEqual(keys, ["s3cret-1", "s3cret-6"])
      })
    )
  )
})
