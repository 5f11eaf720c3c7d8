import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { integration } from "../../../src/integrations/Gmail.ts"
import * as Domain from "../../support/gmail/Domain.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as Mirror from "./Mirror.ts"

const subject = "ada@example.com"
const credentials = { serviceAccount: Domain.key, subject }

const begin = Effect.fnUntraced(function* (given: Schema.JsonObject = credentials) {
  const server = yield* GmailServer.make()
  server.domain.add(subject)
  const mirror = yield* Mirror.open({ url: server.url, credentials: given })
  return { server, mirror }
})

describe("a service account that acts for a user", () => {
  it.live("mirrors the user's mailbox, with one token for all requests, saved before it is used", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin()
      const ids = server.mailboxOf(subject).fill(6)
      assert.strictEqual(yield* mirror.session.account, subject)
      yield* Effect.forEach(ids, (externalId) => mirror.session.download({ externalId }), { concurrency: "unbounded" })
      assert.deepStrictEqual(server.domain.subjects, [subject])
      assert.strictEqual(mirror.saved.length, 1)
    }).pipe(Effect.scoped)
  )

  it.live("asks for another token when Google ends the one that it gave", () =>
    Effect.gen(function* () {
      const { server, mirror } = yield* begin()
      yield* mirror.session.account
      server.domain.forgetTokens()
      assert.strictEqual(yield* mirror.session.account, subject)
      assert.deepStrictEqual(server.domain.subjects, [subject, subject])
    }).pipe(Effect.scoped)
  )

  const refusals: ReadonlyArray<
    readonly [string, Schema.JsonObject, (server: GmailServer.Server) => void, string, ReadonlyArray<string>]
  > = [
    [
      "a domain where the delegation is not granted",
      credentials,
      (server) => server.domain.delegated.clear(),
      "Unauthorized",
      ["Domain-wide delegation", Domain.key.client_id, "gmail.readonly", "24 hours"]
    ],
    [
      "a key that was deleted",
      { ...credentials, serviceAccount: Domain.deletedKey },
      () => undefined,
      "Unauthorized",
      ["Invalid JWT Signature", Domain.key.client_email, "another key"]
    ],
    [
      "a service account that is disabled",
      credentials,
      (server) => void (server.domain.disabled = true),
      "Unauthorized",
      ["Robot is disabled", "enabled"]
    ],
    [
      "a user who is not there",
      { ...credentials, subject: "eve@example.com" },
      () => undefined,
      "Unauthorized",
      ["eve@example.com", "subject"]
    ],
    ...(["now", "long ago"] as const).map(
      (when) =>
        [
          `a user who was deleted ${when}`,
          credentials,
          (server: GmailServer.Server) => void server.domain.deleted.set(subject, when),
          "Unauthorized",
          [subject, "deleted", "Admin console", "idem resume"]
        ] as const
    ),
    [
      "a key that is no key",
      { ...credentials, serviceAccount: { ...Domain.key, private_key: "-----BEGIN s3cret" } },
      () => undefined,
      "Unauthorized",
      ["private key", Domain.key.client_email]
    ],
    [
      "a clock that is wrong",
      credentials,
      (server) => void (server.now = () => 1_000_000_000),
      "Transient",
      ["set its clock"]
    ],
    [
      "an endpoint that is down",
      credentials,
      (server) => server.fault("oauth2.token", GmailServer.status(503)),
      "Transient",
      []
    ]
  ]
  for (const [name, given, order, reason, parts] of refusals) {
    it.live(`${name} is ${reason}, with the next step and without the key`, () =>
      Effect.gen(function* () {
        const { server, mirror } = yield* begin(given)
        order(server)
        const error = yield* Effect.flip(mirror.session.account)
        assert.strictEqual(error.reason._tag, reason)
        for (const part of parts) assert.include(error.message, part)
        assert.notInclude(error.message, "BEGIN")
        assert.strictEqual(server.count("getProfile"), 0)
      }).pipe(Effect.scoped)
    )
  }

  it.live("sends assertions to the connection's address only, and refuses a key that names another endpoint", () =>
    Effect.gen(function* () {
      const elsewhere = yield* GmailServer.make()
      const serviceAccount = { ...Domain.key, token_uri: `${elsewhere.url}/oauth2/token` }
      const error = yield* integration
        .open({
          config: {},
          credentials: { ...credentials, serviceAccount },
          call: (_method, _units, effect) => effect,
          saveCredentials: () => Effect.void
        })
        .pipe(Effect.flip)
      assert.include(error.message, "token_uri")
      assert.strictEqual(elsewhere.count(), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("spends the units of its project, whichever key or user", () =>
    Effect.gen(function* () {
      const keys = yield* Effect.forEach([subject, "bob@example.com"], (user) =>
        Effect.map(
          integration.budgets({
            config: {},
            credentials: { serviceAccount: Domain.key, subject: user },
            account: user
          }),
          (budgets) => budgets.map(({ key }) => key)
        )
      )
      assert.deepStrictEqual(keys, [
        [subject, "project mirror-project"],
        ["bob@example.com", "project mirror-project"]
      ])
    })
  )
})
