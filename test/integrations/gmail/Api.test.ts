import { assert, describe, it } from "@effect/vitest"
import { Readable } from "node:stream"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as DateTime from "effect/DateTime"
import type * as Schema from "effect/Schema"
import { IntegrationError, Transient } from "../../../src/contract/IntegrationError.ts"
import { integration } from "../../../src/integrations/Gmail.ts"
import { retryAfter } from "../../../src/integrations/gmail/Errors.ts"
import * as RawMessage from "../../../src/integrations/gmail/RawMessage.ts"
import * as Response from "../../../src/integrations/gmail/Response.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const grant = { clientId: "client", clientSecret: "client-secret", refreshToken: "refresh-secret" }

const begin = Effect.fnUntraced(function* (options?: Omit<Parameters<typeof Mirror.open>[0], "url">) {
  const server = yield* GmailServer.make()
  const mirror = yield* Mirror.open({ url: server.url, ...options })
  return { server, mailbox: server.mailbox, mirror }
})

/** The reason with which downloading a message fails. */
const reasonOf = (mirror: Mirror.Mirror, id: string) =>
  Effect.map(Effect.flip(Mirror.downloaded(mirror, { externalId: id })), (error) => error.reason)

/** A message whose answer is read as it arrives, and not as a whole. */
const large = `Subject: Large\r\n\r\n${"x".repeat(700_000)}`

describe("Google's errors", () => {
  const cases: ReadonlyArray<readonly [string, GmailServer.Fault, string]> = [
    ["429", GmailServer.status(429, "rateLimitExceeded"), "RateLimited"],
    ["429 of no known reason", GmailServer.status(429, "else"), "RateLimited"],
    ["403 userRateLimitExceeded", GmailServer.status(403, "userRateLimitExceeded"), "RateLimited"],
    ["403 quotaExceeded", GmailServer.status(403, "quotaExceeded"), "RateLimited"],
    ["403 dailyLimitExceeded", GmailServer.status(403, "dailyLimitExceeded"), "RateLimited"],
    ["403 insufficientPermissions", GmailServer.status(403, "insufficientPermissions"), "Forbidden"],
    ["403 domainPolicy", GmailServer.status(403, "domainPolicy"), "Forbidden"],
    [
      "403 that is not Google's",
      { _tag: "Status", status: 403, body: '{"message":"API rate limit exceeded"}' },
      "Forbidden"
    ],
    ["400 failedPrecondition", GmailServer.failedPrecondition, "Transient"],
    ["400 invalidArgument for an id that is one", GmailServer.status(400, "invalidArgument"), "Malformed"],
    ["401", GmailServer.status(401, "authError"), "Unauthorized"],
    ["404", GmailServer.status(404, "notFound"), "Gone"],
    ["500", GmailServer.status(500), "Transient"],
    ["503 in HTML", { _tag: "Status", status: 503, body: "<html>Backend error</html>" }, "Transient"],
    ["a reset", { _tag: "Reset" }, "Transient"],
    ["a reset in the middle", { _tag: "Reset", midway: true }, "Transient"],
    ["a truncated answer", { _tag: "Change", change: (text) => text.slice(0, text.length / 2) }, "Transient"],
    ["an answer that is not JSON", { _tag: "Change", change: () => "<!doctype html>" }, "Transient"],
    ["an empty answer", { _tag: "Change", change: () => "" }, "Transient"],
    ["another shape", { _tag: "Change", change: () => '{"id": 7}' }, "Transient"],
    ["an empty body", { _tag: "Change", change: (text) => text.replace(/"raw":"[^"]*"/, '"raw":""') }, "Malformed"],
    ["no body", { _tag: "Change", change: (text) => text.replace(/"raw":"[^"]*"/, '"x":0') }, "Malformed"],
    [
      "a body that is not base64",
      { _tag: "Change", change: (text) => text.replace(/"raw":"..../, '"raw":"*/*;') },
      "Malformed"
    ],
    [
      "a body cut short",
      { _tag: "Change", change: (text) => text.replace(/"raw":"[^"]*"/, '"raw":"QUJDR"') },
      "Malformed"
    ]
  ]
  const strangers = [
    '{"error":{"message":"s3cret of the inside"}}',
    '{"error":"s3cret of the inside"}',
    '{"error":"unavailable!","error_description":"s3cret of the inside"}',
    "s3cret of the inside"
  ]
  for (const body of strangers) {
    it.live(`an answer that has not Google's form is not quoted: ${body}`, () =>
      Effect.gen(function* () {
        const { server, mailbox, mirror } = yield* begin()
        const id = mailbox.add()
        server.fault("messages.get", { _tag: "Status", status: 500, body })
        assert.notInclude((yield* reasonOf(mirror, id)).message, "s3cret")
      }).pipe(Effect.scoped)
    )
  }

  for (const [name, fault, reason, raw] of cases.flatMap(([name, fault, reason]) => [
    [name, fault, reason, undefined] as const,
    [`${name}, for a large message,`, fault, reason, large] as const
  ])) {
    it.live(`${name} is ${reason}, and the next try succeeds`, () =>
      Effect.gen(function* () {
        const { server, mailbox, mirror } = yield* begin()
        const id = mailbox.add({ raw })
        server.fault("messages.get", fault)
        assert.strictEqual((yield* reasonOf(mirror, id))._tag, reason)
        const content = yield* Mirror.downloaded(mirror, { externalId: id })
        if (raw !== undefined) assert.strictEqual(Buffer.from(content.body).toString(), raw)
        // No retries of the client's own. After a refusal, the newest message is asked for: is it the user's?
        assert.strictEqual(server.count("messages.get"), reason === "Forbidden" ? 3 : 2)
      }).pipe(Effect.scoped)
    )
  }

  it.live("Retry-After is kept as it is given, and absent where it is not", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const id = mailbox.add()
      const delayOf = Effect.gen(function* () {
        const reason = yield* reasonOf(mirror, id)
        return reason._tag === "RateLimited" ? reason.retryAfter : "not limited"
      })
      server.fault("messages.get", GmailServer.status(429, "rateLimitExceeded", { retryAfter: "17" }))
      assert.deepStrictEqual(yield* delayOf, Duration.seconds(17))
      server.fault("messages.get", GmailServer.status(403, "quotaExceeded", { retryAfter: "soon" }))
      assert.isUndefined(yield* delayOf)
      server.fault("messages.get", GmailServer.status(429, "rateLimitExceeded"))
      assert.isUndefined(yield* delayOf)
    }).pipe(Effect.scoped)
  )

  it.live("the time in the message of a limit is kept, unless it has passed", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const id = mailbox.add()
      const now = yield* Clock.currentTimeMillis
      server.fault("messages.get", GmailServer.userRateLimit(now + 900_000))
      server.fault("messages.get", GmailServer.userRateLimit(now - 900_000))
      const first = yield* reasonOf(mirror, id)
      const delay = first._tag === "RateLimited" ? first.retryAfter : undefined
      if (delay === undefined) return assert.fail("no delay")
      assert.approximately(Duration.toSeconds(delay), 900, 60)
      const second = yield* reasonOf(mirror, id)
      assert.strictEqual(second._tag === "RateLimited" ? second.retryAfter : "not limited", undefined)
    }).pipe(Effect.scoped)
  )

  it("Retry-After may be a date, and one that has passed asks for nothing", () => {
    const now = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
    assert.deepStrictEqual(retryAfter("Thu, 01 Jan 2026 00:01:30 GMT", now), Duration.seconds(90))
    assert.deepStrictEqual(retryAfter("Wed, 31 Dec 2025 00:00:00 GMT", now), Duration.zero)
  })

  it.live("an id that Gmail can't read is the id of nothing", () =>
    Effect.gen(function* () {
      const { mirror } = yield* begin()
      assert.strictEqual((yield* reasonOf(mirror, "no such id!"))._tag, "Gone")
      assert.strictEqual((yield* reasonOf(mirror, "18ffffff"))._tag, "Gone")
    }).pipe(Effect.scoped)
  )

  it.live("a listing or a history that meets failedPrecondition is transient", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(700)
      yield* Mirror.sync(mirror, { slice: 1 })
      for (const method of ["history.list", "messages.list"] as const) {
        server.fault(method, GmailServer.failedPrecondition)
        const error = yield* Effect.flip(Mirror.sync(mirror))
        assert.strictEqual("reason" in error && error.reason._tag, "Transient", method)
      }
      yield* Mirror.sync(mirror)
      assert.strictEqual(mirror.stored.size, 700)
      assert.deepStrictEqual(server.unmet, [])
    }).pipe(Effect.scoped)
  )

  it.live("an account without Gmail is refused for what it is, and not as a failure that passes", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(3)
      for (const method of ["getProfile", "history.list"] as const) {
        server.fault(method, GmailServer.mailServiceNotEnabled)
        const error = yield* Effect.flip(Mirror.sync(mirror))
        assert.strictEqual("reason" in error && error.reason._tag, "Forbidden", method)
        assert.include(error.message, "Mail service not enabled")
        assert.include(error.message, "licence")
        if (method === "getProfile") yield* Mirror.sync(mirror)
      }
      yield* Mirror.sync(mirror)
      assert.strictEqual(mirror.stored.size, 3)
      assert.deepStrictEqual(server.unmet, [])
    }).pipe(Effect.scoped)
  )

  it.live("a listing fails with its reason and goes on from its checkpoint afterwards", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      mailbox.fill(1300)
      yield* Mirror.sync(mirror, { slice: 1 })
      for (const fault of [
        GmailServer.status(500),
        GmailServer.status(429, "rateLimitExceeded"),
        GmailServer.status(403, "forbidden")
      ]) {
        server.fault("messages.list", fault)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Mirror.sync(mirror))))
      }
      yield* Mirror.sync(mirror)
      assert.strictEqual(mirror.stored.size, 1300)
      assert.isTrue([...mirror.downloads.values()].every((count) => count === 1))
    }).pipe(Effect.scoped)
  )

  it.live("a server that refuses connections is transient, and says so in one line", () =>
    Effect.gen(function* () {
      const mirror = yield* Mirror.open({ url: "http://127.0.0.1:1" })
      const error = yield* Effect.flip(mirror.session.account)
      assert.strictEqual(error.reason._tag, "Transient")
      assert.include(error.message, "ECONNREFUSED")
    }).pipe(Effect.scoped)
  )

  it.live("no error carries a secret, even where the server echoes it", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin({ credentials: { accessToken: "very-secret" } })
      const id = mailbox.add()
      server.allow("very-secret")
      server.fault(
        "messages.get",
        GmailServer.status(500, "backendError", { message: "bad header: Bearer very-secret" })
      )
      server.fault("messages.get", { _tag: "Reset" })
      for (let round = 0; round < 2; round++) {
        const exit = yield* Effect.exit(mirror.session.download({ externalId: id }))
        assert.isTrue(Exit.isFailure(exit))
        assert.notInclude(JSON.stringify(exit) + String(exit), "very-secret")
      }
    }).pipe(Effect.scoped)
  )

  it.live("interrupting a request breaks it off at the server", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const id = mailbox.add()
      const arrived = yield* Deferred.make<void>()
      server.fault("messages.get", { _tag: "Hang" })
      server.before("messages.get", () => Deferred.doneUnsafe(arrived, Exit.void))
      const fiber = yield* Effect.forkChild(mirror.session.download({ externalId: id }))
      yield* Deferred.await(arrived)
      yield* Fiber.interrupt(fiber)
      yield* server.awaitAborted
      assert.strictEqual(server.aborted, 1)
    }).pipe(Effect.scoped)
  )
})

describe("tokens", () => {
  it.live("a grant's token is made once, however many ask, and saved before it is used", () =>
    Effect.gen(function* () {
      const server = yield* GmailServer.make()
      server.grant("refresh-secret")
      const ids = server.mailbox.fill(8)
      let callsAtSave = -1
      const mirror = yield* Mirror.open({
        url: server.url,
        credentials: grant,
        onSave: () => Effect.sync(() => void (callsAtSave = server.count("messages.get")))
      })
      yield* Effect.forEach(ids, (externalId) => mirror.session.download({ externalId }), { concurrency: "unbounded" })
      assert.strictEqual(server.count("oauth2.token"), 1)
      assert.strictEqual(callsAtSave, 0)
      assert.strictEqual(mirror.saved.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a token that Google refuses is refreshed once for all, and the requests are made again", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.rotate = true
      const ids = mailbox.fill(6)
      yield* mirror.session.account
      server.expireAccessTokens()
      yield* Effect.forEach(ids, (externalId) => mirror.session.download({ externalId }), { concurrency: "unbounded" })
      assert.strictEqual(server.count("oauth2.token"), 2)
      // The credentials that were saved last open a session without another refresh: the rotated grant and its token.
      const again = yield* Mirror.open({ url: server.url, credentials: mirror.saved.at(-1) as Schema.JsonObject })
      assert.strictEqual(yield* again.session.account, "me@example.com")
      assert.strictEqual(server.count("oauth2.token"), 2)
      server.expireAccessTokens()
      assert.strictEqual(yield* again.session.account, "me@example.com")
    }).pipe(Effect.scoped)
  )

  it.live("a token about to end is refreshed before it is used", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.expiresIn = 30
      yield* mirror.session.account
      yield* mirror.session.account
      assert.strictEqual(server.count("oauth2.token"), 2)
    }).pipe(Effect.scoped)
  )

  it.live("a token that can't be saved is not used", () =>
    Effect.gen(function* () {
      const failure = new IntegrationError({ reason: new Transient({ message: "the database is away" }) })
      const { server, mirror } = yield* begin({ credentials: grant, onSave: () => Effect.fail(failure) })
      server.grant("refresh-secret")
      assert.strictEqual(yield* Effect.flip(mirror.session.account), failure)
      assert.strictEqual(server.count("getProfile"), 0)
    }).pipe(Effect.scoped)
  )

  it.live("a revoked grant is Unauthorized, whichever token it was", () =>
    Effect.gen(function* () {
      for (const credentials of [grant, { accessToken: "token" }]) {
        const { server, mirror } = yield* begin({ credentials })
        server.grant("refresh-secret")
        yield* mirror.session.account
        server.revoke()
        const error = yield* Effect.flip(Mirror.sync(mirror))
        assert.strictEqual("reason" in error && error.reason._tag, "Unauthorized")
        assert.notInclude(error.message, "secret")
        // Asked twice at most: with the old token, and for a new one.
        assert.isAtMost(server.count("getProfile") + server.count("oauth2.token"), 4)
      }
    }).pipe(Effect.scoped)
  )

  it.live("a token endpoint that is down is transient", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin({ credentials: grant })
      server.grant("refresh-secret")
      server.fault("oauth2.token", GmailServer.status(503))
      server.fault("oauth2.token", { _tag: "Reset" })
      server.fault("oauth2.token", { _tag: "Change", change: () => "not JSON" })
      for (let round = 0; round < 3; round++) {
        assert.strictEqual((yield* Effect.flip(mirror.session.account)).reason._tag, "Transient")
      }
      assert.strictEqual(yield* mirror.session.account, "me@example.com")
    }).pipe(Effect.scoped)
  )

  it.live("another account's token says whose it is", () =>
    Effect.gen(function* () {
      const { server } = yield* begin()
      server.allow("hers", "her@example.com")
      const mirror = yield* Mirror.open({ url: server.url, credentials: { accessToken: "hers" } })
      assert.strictEqual(yield* mirror.session.account, "her@example.com")
    }).pipe(Effect.scoped)
  )
})

describe("the connection's settings", () => {
  it.effect("names the field that is wrong, missing or unknown, and shows no secret", () =>
    Effect.gen(function* () {
      const config = (input: unknown) =>
        Effect.map(Effect.flip(integration.decodeConfig(input)), (error) => error.message)
      assert.include(yield* config({ qeury: "x" }), "qeury")
      assert.include(yield* config({ labelIds: "INBOX" }), "labelIds")
      assert.include(yield* config({ rootUrl: "localhost:80" }), "rootUrl")
      const credentials = (input: unknown) =>
        Effect.map(Effect.flip(integration.decodeCredentials(input)), (error) => error.message)
      const missing = yield* credentials({ clientId: "c", refreshToken: "very-secret" })
      assert.include(missing, "clientSecret")
      assert.notInclude(missing, "very-secret")
      assert.include(yield* credentials({}), "accessToken")
      assert.include(yield* credentials({ accessToken: 7 }), "accessToken")
      assert.notInclude(yield* credentials({ accesstoken: "very-secret" }), "very-secret")
    })
  )

  it.effect("takes Google's quota for new projects unless told otherwise", () =>
    Effect.gen(function* () {
      const { quota, scope } = yield* integration.decodeConfig({ query: "from:ann", rootUrl: "http://127.0.0.1:9" })
      assert.strictEqual(quota.unitsPerMinute, 6000)
      assert.deepStrictEqual(scope, { query: "from:ann" })
      const told = yield* integration.decodeConfig({
        quota: { unitsPerMinute: 15_000, weights: { "messages.get": 5 } }
      })
      assert.deepStrictEqual(told.quota, { unitsPerMinute: 15_000, weights: { "messages.get": 5 } })
    })
  )

  it.effect("spends the account's units and bytes and the units of the OAuth client, and of a stand-in nothing", () =>
    Effect.gen(function* () {
      const budgets = (config: object, credentials: Schema.Json) =>
        integration.budgets({ config, credentials, account: "me@example.com" })
      const own = { key: "me@example.com", unitsPerMinute: 6000, methods: undefined, bytesPerDay: 2_500_000_000 }
      const client = { key: "client client", unitsPerMinute: 1_200_000, unitsPerDay: 80_000_000 }
      assert.deepStrictEqual(yield* budgets({}, grant), [own, client])
      assert.deepStrictEqual(yield* budgets({}, { accessToken: "t" }), [own])
      const quota = { unitsPerMinute: 15_000, bytesPerDay: 1e9, project: { unitsPerDay: 1e6 } }
      assert.deepStrictEqual(yield* budgets({ quota }, grant), [
        { ...own, unitsPerMinute: 15_000, bytesPerDay: 1e9 },
        { ...client, unitsPerDay: 1e6 }
      ])
      const unlimited = { key: "me@example.com", unitsPerMinute: 1e9, methods: undefined }
      assert.deepStrictEqual(yield* budgets({ quota: { unitsPerMinute: 1e9 } }, grant), [unlimited])
    })
  )

  it.live("estimates by the profile, or by the listing where there is a filter", () =>
    Effect.gen(function* () {
      const { mailbox, server, mirror } = yield* begin()
      mailbox.fill(12)
      assert.deepStrictEqual(yield* mirror.session.estimate, { items: 12, unitsPerItem: 20.01, bytesPerItem: 75_000 })
      const filtered = yield* Mirror.open({ url: server.url, config: { query: "label:INBOX" } })
      assert.deepStrictEqual(yield* filtered.session.estimate, {
        items: 201,
        unitsPerItem: 20.01,
        bytesPerItem: 75_000
      })
      assert.strictEqual(filtered.calls, 1)
    }).pipe(Effect.scoped)
  )
})

describe("a large message", () => {
  it.live("has the fields of a small one, and its bytes as they arrive", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const head = "From: Ann <ann@example.com>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n"
      const [small, big] = [1000, 3_000_000].map((size) => mailbox.add({ threadId: "t", raw: head + "x".repeat(size) }))
      const content = yield* mirror.session.download({ externalId: big ?? "" })
      assert.isFalse(content.body instanceof Uint8Array)
      assert.strictEqual(content.announced?.estimate, head.length + 3_000_000)
      const one = yield* Mirror.downloaded(mirror, { externalId: small ?? "" })
      const other = yield* Mirror.downloaded(mirror, { externalId: big ?? "" })
      assert.strictEqual(other.title, "Grüße")
      assert.strictEqual(other.metadata["size"], head.length + 3_000_000)
      assert.deepStrictEqual({ ...other.metadata, size: 0 }, { ...one.metadata, size: 0 })
      assert.strictEqual(other.kind, one.kind)
      assert.strictEqual(other.mediaType, one.mediaType)
      assert.isDefined(other.occurredAt)
      assert.sameMembers(Object.keys(other.volatile ?? {}), Object.keys(one.volatile ?? {}))
    }).pipe(Effect.scoped)
  )

  it.live("that has gone to Trash is gone, as a small one is", () =>
    Effect.gen(function* () {
      const { mailbox, mirror } = yield* begin()
      const id = mailbox.add({ raw: large })
      mailbox.trash(id)
      assert.strictEqual((yield* reasonOf(mirror, id))._tag, "Gone")
    }).pipe(Effect.scoped)
  )

  it.live("that is not wanted any more is not read on: its response is closed with the scope of the download", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin()
      const id = mailbox.add({ raw: "x".repeat(30_000_000) })
      yield* Effect.scoped(mirror.session.download({ externalId: id }))
      yield* server.awaitAborted
    }).pipe(Effect.scoped)
  )

  it.live("is asked for once more with a fresh token where the first was refused", () =>
    Effect.gen(function* () {
      const { server, mailbox, mirror } = yield* begin({ credentials: { ...grant, accessToken: "old" } })
      server.grant("refresh-secret")
      const id = mailbox.add({ raw: large })
      assert.strictEqual((yield* Mirror.downloaded(mirror, { externalId: id })).title, "Large")
      assert.strictEqual(server.count("messages.get"), 2)
    }).pipe(Effect.scoped)
  )

  it.live("is asked for by its id alone: no id leads a URL to another resource", () =>
    Effect.gen(function* () {
      const { mirror, server } = yield* begin()
      for (const id of [".", "..", "../labels", "a?format=minimal", "a#b"]) {
        assert.strictEqual((yield* reasonOf(mirror, id))._tag, "Gone")
      }
      assert.strictEqual(server.count("messages.get"), 3)
    }).pipe(Effect.scoped)
  )

  it.effect("a refusal whose body never ends is read to its bound", () =>
    Effect.gen(function* () {
      let given = 0
      const data = Readable.from(
        (function* () {
          while (true) yield Buffer.alloc(10_000, given++ % 256)
        })()
      )
      const response = yield* Effect.promise(() => Response.of({ status: 403, headers: {} }, data))
      assert.strictEqual(RawMessage.begin(response)._tag, "Refused")
      assert.isBelow(given, 100)
      assert.isTrue(data.destroyed)
    })
  )
})
