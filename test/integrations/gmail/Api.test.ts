import { assert, describe, it } from "@effect/vitest"
import { Readable } from "node:stream"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { integration } from "../../../src/integrations/Gmail.ts"
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

/** Returns the reason for which downloading a message fails. */
const reasonOf = (mirror: Mirror.Mirror, id: string) =>
  Effect.map(Effect.flip(Mirror.downloaded(mirror, { externalId: id })), (error) => error.reason)

/** A message whose response is read as a stream, not as a whole. */
const large = `Subject: Large\r\n\r\n${"x".repeat(700_000)}`

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
