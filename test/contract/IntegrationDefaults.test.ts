/** Integrations whose definitions leave out what they may, and what the engine gives them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Definition } from "../../src/contract/Definition.ts"
import { type AnyOpenOptions, make } from "../../src/contract/Integration.ts"
import { IntegrationError, Malformed, Unauthorized } from "../../src/contract/IntegrationError.ts"
import { direct } from "../../src/contract/Network.ts"

const Config = Schema.Struct({ url: Schema.optional(Schema.String) })
const Credentials = Schema.Struct({ token: Schema.String, app: Schema.optionalKey(Schema.String) })
type Values = readonly [typeof Config.Type, typeof Credentials.Type]

/** An integration that is only as much as its definition needs to say. */
const minimal = (more: Partial<Definition<Values[0], Values[1], null>> = {}) =>
  make<Values[0], Values[1], null>({
    domain: "feed",
    config: Config,
    credentials: Credentials,
    checkpoint: Schema.Null,
    scope: [],
    quota: () => ({ unitsPerMinute: 60, methods: { "notes.list": 6 } }),
    open: () => Effect.die("not opened"),
    ...more
  })

describe("an integration whose definition leaves out what it may", () => {
  it.effect("has its domain as its title, and a minute for each call", () =>
    Effect.gen(function* () {
      const made = minimal()
      assert.deepInclude(made, { title: "feed", callTimeout: "1 minute", signIn: undefined, members: undefined })
      assert.deepInclude(minimal({ title: "Feed", callTimeout: "2 minutes" }), {
        title: "Feed",
        callTimeout: "2 minutes"
      })
      const { address, leftOut } = yield* made.decodeConfig({ url: "a" })
      assert.deepStrictEqual([address, leftOut], [{}, []])
      assert.isUndefined(made.hints)
    })
  )

  it("is not made if a field of its config is a secret, however deep", () => {
    const Secret = Schema.Redacted(Schema.String)
    const Server = Schema.Struct({ host: Schema.String, token: Schema.NullOr(Secret) })
    interface Tree {
      readonly leaves: ReadonlyArray<Tree>
    }
    const Tree: Schema.Codec<Tree> = Schema.Struct({ leaves: Schema.Array(Schema.suspend(() => Tree)) })
    const cases = [
      [Schema.Struct({ token: Secret }), "token"],
      [Schema.Struct({ token: Schema.optional(Secret) }), "token"],
      [Schema.Struct({ first: Server, servers: Schema.Array(Server) }), "first.token"],
      [Schema.Struct({ servers: Schema.Array(Server) }), "servers[].token"],
      [Schema.Struct({ byName: Schema.Record(Schema.String, Secret) }), "byName.*"],
      [Schema.Struct({ tree: Tree, login: Schema.Tuple([Schema.String, Secret]) }), "login[]"]
    ] as const
    for (const [config, path] of cases) {
      assert.throws(() => minimal({ config: config as never }), `feed: the config has the secret \`${path}\``)
    }
    minimal({ config: Schema.Struct({ ...Config.fields, tree: Tree }) })
  })

  it("tells whether its config and its credentials have fields", () => {
    const of = (config: Schema.Codec<object, unknown>) =>
      make({
        domain: "feed",
        config,
        credentials: Schema.Struct({}),
        checkpoint: Schema.Null,
        scope: [],
        quota: () => ({ unitsPerMinute: 1 }),
        open: () => Effect.die("not opened")
      }).hasFields
    assert.deepStrictEqual(of(Schema.Struct({})), { config: false, credentials: false })
    assert.deepStrictEqual(of(Schema.Struct({ a: Schema.String })), { config: true, credentials: false })
    assert.deepStrictEqual(of(Schema.Record(Schema.String, Schema.String)), { config: true, credentials: false })
    assert.deepStrictEqual(of(Schema.Union([Schema.Struct({}), Config])), { config: true, credentials: false })
  })

  it.effect("spends from its account's quota, or from the budgets that it names", () =>
    Effect.gen(function* () {
      const options = { config: {}, credentials: { token: "t" }, account: "me" }
      assert.deepStrictEqual(yield* minimal().budgets(options), [
        { key: "me", unitsPerMinute: 60, methods: { "notes.list": 6 } }
      ])
      const budgets: Definition<Values[0], Values[1], null>["budgets"] = ({ account, credentials }) => [
        { key: `${account} ${credentials.token}` }
      ]
      assert.deepStrictEqual(yield* minimal({ budgets }).budgets(options), [{ key: "me t" }])
      const error = yield* Effect.flip(minimal({ budgets }).budgets({ ...options, credentials: { key: "s3cret" } }))
      assert(error._tag === "IntegrationError")
      assert.deepStrictEqual(error.reason, new Unauthorized({ message: "the stored credentials no longer fit" }))
    })
  )

  it.effect("has a sign-in of confidential clients with PKCE, which changes no answer and keeps nothing", () =>
    Effect.gen(function* () {
      const signIn: Definition<Values[0], Values[1], null>["signIn"] = {
        provider: ({ url }) => ({ authorizationUrl: "", tokenUrl: url ?? "", issuer: "", parameters: {} }),
        credentials: ({ accessToken, scope }) =>
          scope === undefined ? Result.fail("no scope") : Result.succeed({ token: Redacted.value(accessToken) }),
        client: ({ app }) => (app === undefined ? undefined : { clientId: app, clientSecret: undefined })
      }
      const made = minimal({ signIn }).signIn
      assert(made !== undefined)
      const { loopbackHost, pkce, publicClients, standardize } = made
      assert.deepStrictEqual([loopbackHost, pkce, publicClients], ["127.0.0.1", "all", false])
      assert.deepStrictEqual(standardize({ a: 1 }), { a: 1 })
      assert.strictEqual((yield* made.provider({ url: "u" })).tokenUrl, "u")
      const grant = {
        client: { clientId: "app", clientSecret: undefined },
        accessToken: Redacted.make("t"),
        refreshToken: undefined,
        expiresAt: undefined,
        scope: "read"
      }
      assert.deepStrictEqual(yield* made.credentials(grant), { token: "t" })
      assert.strictEqual(yield* Effect.flip(made.credentials({ ...grant, scope: undefined })), "no scope")
      assert.deepStrictEqual(yield* made.client({ token: "t", app: "a" }), { clientId: "a", clientSecret: undefined })
      assert.isUndefined(yield* made.client({ token: "t" }))
      assert.isUndefined(yield* made.client({ tokens: "t" }))
      const former = { token: "u", app: "a" }
      assert.deepStrictEqual(yield* made.keep({ token: "t" }, former), { token: "t" })
      const keeping = minimal({
        signIn: { ...signIn, keep: (next, { app }) => (app === undefined ? next : { ...next, app }) }
      }).signIn
      assert.deepStrictEqual(yield* keeping?.keep({ token: "t" }, former) ?? Effect.die("none"), {
        token: "t",
        app: "a"
      })
      // Credentials that an earlier version stored may not fit the schema.
      assert.deepStrictEqual(yield* keeping?.keep({ token: "t" }, { key: "k" }) ?? Effect.die("none"), { token: "t" })
    })
  )

  it.effect("gives its members their config and credentials as decoded", () =>
    Effect.gen(function* () {
      const { members } = minimal({
        members: {
          domain: "feed",
          of: ({ config, credentials }, { externalId }) => ({
            name: externalId,
            account: externalId,
            config: { url: `${config.url}/${externalId}` },
            credentials,
            every: undefined
          })
        }
      })
      assert(members !== undefined)
      const of = yield* members.of({ config: { url: "u" }, credentials: { token: "t" } })
      const member = { name: "a", account: "a", config: { url: "u/a" }, credentials: { token: "t" }, every: undefined }
      assert.deepStrictEqual(of({ externalId: "a", metadata: {} }), member)
      assert.strictEqual(
        yield* Effect.flip(members.of({ config: {}, credentials: {} })).pipe(Effect.map(({ _tag }) => _tag)),
        "SchemaError"
      )
    })
  )

  it.effect("gives its hints a network, and fails for hints that are no stream", () =>
    Effect.gen(function* () {
      const options: AnyOpenOptions = {
        config: {},
        credentials: { token: "t" },
        call: (_method, _units, request) => request,
        saveCredentials: () => Effect.void
      }
      const hints = (given: unknown, more: Partial<AnyOpenOptions> = {}) => {
        const made = minimal({
          hints: ({ network }) => (typeof given === "function" ? given(network) : (given as never))
        }).hints
        return Effect.flatMap(made?.({ ...options, ...more }) ?? Effect.die("no hints"), (stream) =>
          Option.isNone(stream) ? Effect.succeed(undefined) : Stream.runCollect(stream.value)
        )
      }
      assert.isUndefined(yield* hints(undefined))
      const isDirect = (network: unknown) => Stream.succeed({ part: String(network === direct) })
      assert.deepStrictEqual(yield* hints(isDirect), [{ part: "true" }])
      assert.deepStrictEqual(yield* hints(isDirect, { network: { ...direct } }), [{ part: "false" }])
      const error = yield* Effect.flip(hints(Promise.resolve()))
      assert.strictEqual(error.message, "`hints` must be a Stream")
    })
  )

  it.effect("stores the credentials that it is given as JSON", () =>
    Effect.gen(function* () {
      const saved: Array<unknown> = []
      const Secret = Schema.Struct({ token: Schema.Redacted(Schema.String) })
      const made = make({
        domain: "feed",
        config: Schema.Struct({}),
        credentials: Secret,
        checkpoint: Schema.Null,
        scope: [],
        quota: () => ({ unitsPerMinute: 1 }),
        open: ({ saveCredentials }) =>
          Effect.andThen(saveCredentials({ token: Redacted.make("second") }), Effect.die("opened"))
      })
      const options = {
        config: {},
        credentials: { token: "first" },
        call: <A>(_method: string, _units: number, request: A) => request,
        saveCredentials: (next: Schema.Json) => Effect.sync(() => void saved.push(next))
      }
      yield* Effect.flip(Effect.sandbox(Effect.scoped(made.open(options))))
      assert.deepStrictEqual(saved, [{ token: "second" }])
    })
  )

  it.effect("stores the credentials that it refreshed, once and before they are used again", () =>
    Effect.gen(function* () {
      const saved: Array<unknown> = []
      const seen: Array<string> = []
      const made = minimal({
        open: ({ refreshCredentials }) => {
          const refresh = (token: string) =>
            refreshCredentials((current) => {
              seen.push(current.token)
              return Effect.succeed(current.token === token ? current : { ...current, token })
            })
          return Effect.fail(new IntegrationError({ reason: new Malformed({ message: "done" }) })).pipe(
            Effect.tapError(() =>
              Effect.andThen(refresh("second"), Effect.andThen(refresh("second"), refresh("third")))
            )
          )
        }
      })
      const options: AnyOpenOptions = {
        config: {},
        credentials: { token: "first", app: "a" },
        call: (_method, _units, request) => request,
        saveCredentials: (next) => Effect.sync(() => void saved.push(next))
      }
      const error = yield* Effect.flip(Effect.scoped(made.open(options)))
      assert.strictEqual(error.message, "done")
      assert.deepStrictEqual(seen, ["first", "second", "second"])
      assert.deepStrictEqual(saved, [
        { token: "second", app: "a" },
        { token: "third", app: "a" }
      ])
    })
  )
})
