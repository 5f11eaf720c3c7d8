import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as DateTime from "effect/DateTime"
import { retryAfter } from "../../../src/integrations/gmail/Errors.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const begin = Effect.fnUntraced(function* (options?: Omit<Parameters<typeof Mirror.open>[0], "url">) {
  const server = yield* GmailServer.make()
  const mirror = yield* Mirror.open({ url: server.url, ...options })
  return { server, mailbox: server.mailbox, mirror }
})

/** Returns the reason for which downloading a message fails. */
const reasonOf = (mirror: Mirror.Mirror, id: string) =>
  Effect.map(Effect.flip(Mirror.downloaded(mirror, { externalId: id })), (error) => error.reason)

/** A message whose response is read as a stream, not as a whole. */
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
        // The client does not retry by itself. After a refusal, the newest message is requested to find out whether the
        // refusal concerns the user.
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
