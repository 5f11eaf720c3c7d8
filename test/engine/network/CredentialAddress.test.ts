/** Stored credentials are sent only to the address for which they were given: checked for the built-in integrations. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type { Integration } from "../../../src/contract/Integration.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { integration as ftp } from "../../../src/integrations/Ftp.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import { integration as slack } from "../../../src/integrations/Slack.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import * as FtpStandIn from "../../support/ftp/FtpStandIn.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const engineOf = (integration: Integration) => TestEngine.engineOver(Memory.layer, integration)

const change = (domain: string, config: unknown, credentials?: unknown) =>
  Engine.use((engine) => engine.connect({ domain, name: "me", config, credentials, every: undefined }))

const stored = Effect.flatMap(WholeStore, (store) => Effect.map(store.connectionByName("me"), Option.getOrThrow))

/** Asserts that this change is refused with an error that names each of these fields, and that nothing is changed. */
const refused = Effect.fnUntraced(function* (domain: string, config: unknown, fields: string) {
  const before = yield* stored
  const error = yield* Effect.flip(change(domain, config))
  assert.strictEqual(error._tag, "UsageError")
  assert.include(error.message, `${fields} of "me" says where its credentials are sent`)
  assert.include(error.message, "give the credentials again")
  assert.deepStrictEqual(yield* stored, before)
})

describe("stored credentials", () => {
  it.live("of Gmail are not sent to another rootUrl, nor to Google's", () =>
    Effect.gen(function* () {
      const [ours, theirs] = [yield* GmailServer.make(), yield* GmailServer.make()]
      for (const server of [ours, theirs]) server.grant("refresh")
      const credentials = { clientId: "client", clientSecret: "s3cret", refreshToken: "refresh" }
      yield* change("gmail", { rootUrl: ours.url }, credentials)
      yield* refused("gmail", { rootUrl: theirs.url }, "rootUrl")
      yield* refused("gmail", {}, "rootUrl")
      assert.deepStrictEqual(theirs.seen, [])
      yield* change("gmail", { rootUrl: ours.url, query: "in:inbox" })
      const seen = ours.seen.length
      const { connection } = yield* change("gmail", { rootUrl: theirs.url }, credentials)
      assert.deepStrictEqual<Schema.Json>(connection.config, { rootUrl: theirs.url })
      assert.isAbove(theirs.seen.length, 0)
      assert.strictEqual(ours.seen.length, seen)
    }).pipe(Effect.scoped, Effect.provide(engineOf(gmail)))
  )

  it.live("of Slack are not sent to another slackApiUrl, nor to Slack's", () =>
    Effect.gen(function* () {
      const [ours, theirs] = [yield* SlackServer.make(), yield* SlackServer.make()]
      const { token } = ours
      yield* change("slack", { slackApiUrl: ours.url }, { token })
      yield* refused("slack", { slackApiUrl: theirs.url }, "slackApiUrl")
      yield* refused("slack", {}, "slackApiUrl")
      assert.strictEqual(theirs.count(), 0)
      yield* change("slack", { slackApiUrl: ours.url, files: false })
      yield* change("slack", { slackApiUrl: theirs.url }, { token })
      assert.isAbove(theirs.count(), 0)
    }).pipe(Effect.scoped, Effect.provide(engineOf(slack)))
  )

  it.live("of FTP are not sent to another host or port, nor by another protocol", () =>
    Effect.gen(function* () {
      const [ours, theirs] = [yield* FtpStandIn.run({ files: new Map() }), yield* FtpStandIn.run({ files: new Map() })]
      const { config, credentials } = ours.source
      const { port } = theirs.source.config
      yield* change("ftp", config, credentials)
      yield* refused("ftp", { ...config, port }, "port")
      yield* refused("ftp", { ...config, port, host: "localhost" }, "host and port")
      yield* refused("ftp", { ...config, protocol: "ftps" }, "protocol")
      yield* refused("ftp", { ...config, implicit: true }, "implicit")
      for (const [field, value] of [
        ["hostKey", "SHA256:AAAA"],
        ["ca", "-----BEGIN CERTIFICATE-----"],
        ["verifyCertificate", false]
      ] as const) {
        yield* refused("ftp", { ...config, [field]: value }, field)
        // Removing the field is refused too, because any server would then be accepted instead of the pinned one.
        yield* change("ftp", { ...config, [field]: value }, credentials)
        yield* refused("ftp", config, field)
        yield* change("ftp", config, credentials)
      }
      assert.deepStrictEqual(theirs.received, [])
      yield* change("ftp", { ...config, exclude: ["*.tmp"] })
      yield* change("ftp", { ...config, implicit: false }, credentials)
      // With the credentials, the server is reached, and turns out to be another account.
      const other = yield* Effect.flip(change("ftp", { ...config, port }, credentials))
      assert.match(other.message, /mirrors the account/)
      assert.include(theirs.received.join("\n"), "PASS s3cret")
    }).pipe(Effect.scoped, Effect.provide(engineOf(ftp)))
  )

  it.live("do not prevent a change of address if there are none", () =>
    Effect.gen(function* () {
      const [one, other] = [yield* FtpStandIn.run({ files: new Map() }), yield* FtpStandIn.run({ files: new Map() })]
      yield* change("ftp", one.source.config, {})
      const config = { ...one.source.config, implicit: false }
      assert.deepStrictEqual<Schema.Json>((yield* change("ftp", config)).connection.config, config)
      const error = yield* Effect.flip(change("ftp", other.source.config))
      assert.match(error.message, /mirrors the account/)
      assert.include(other.received.join("\n"), "USER anonymous")
    }).pipe(Effect.scoped, Effect.provide(engineOf(ftp)))
  )

  const source = new MemorySource()

  it.effect("that were given while another change was under way don't come to that one's address", () =>
    Effect.gen(function* () {
      yield* change("memory", { server: "theirs" }, { token: "theirs" })
      // The server is slow to respond, and the connection is changed back meanwhile.
      source.answer = (method) => {
        if (method !== "account") return Effect.void
        source.answer = () => Effect.void
        return Effect.asVoid(Effect.orDie(takenBack))
      }
      const engine = yield* Engine
      const takenBack = engine.connect({
        domain: "memory",
        name: "me",
        config: { server: "ours" },
        credentials: { token: "ours" },
        every: undefined
      })
      const error = yield* Effect.flip(change("memory", undefined))
      assert.match(error.message, /me was changed or removed meanwhile/)
      const { config, credentials } = yield* stored
      assert.deepStrictEqual<Schema.Json>(config, { server: "ours" })
      assert.include(new TextDecoder().decode(credentials ?? new Uint8Array()), "ours")
    }).pipe(Effect.provide(TestEngine.layer(source)))
  )
})
