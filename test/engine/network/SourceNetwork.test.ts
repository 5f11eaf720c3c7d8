/** The addresses that a connection created over HTTP may reach, checked for each built-in integration. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import type { Integration } from "../../../src/contract/Integration.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { refusedCode } from "../../../src/contract/Network.ts"
import * as SourceNetwork from "../../../src/engine/network/SourceNetwork.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { integration as ftp } from "../../../src/integrations/Ftp.ts"
import { integration as gmail } from "../../../src/integrations/Gmail.ts"
import { integration as slack } from "../../../src/integrations/Slack.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as FtpStandIn from "../../support/ftp/FtpStandIn.ts"
import * as SftpStandIn from "../../support/ftp/SftpStandIn.ts"
import * as GmailServer from "../../support/GmailServer.ts"
import * as SlackServer from "../../support/SlackServer.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const allowing = (allow: string) => ConfigProvider.layer(ConfigProvider.fromUnknown({ IDEM_SOURCE_ALLOW: allow }))

const engineOf = (integration: Integration, allow = "") =>
  Layer.provide(TestEngine.engineOver(Memory.layer, integration), allowing(allow))

const connect = (domain: string, config: unknown, credentials?: unknown) =>
  Engine.use((engine) => engine.connect({ domain, name: "me", config, credentials, every: undefined }))

/** Runs as a request over HTTP does. */
const overHttp = Effect.provideService(SourceNetwork.IsRemote, true)

const stored = Effect.flatMap(WholeStore, (store) => Effect.map(store.connectionByName("me"), Option.getOrThrow))

const sources = {
  gmail: {
    integration: gmail,
    field: "rootUrl",
    make: Effect.map(GmailServer.make({ accessToken: "t0ken" }), (server) => {
      server.mailbox.add({ subject: "small" })
      server.mailbox.add({ raw: Buffer.from(`Subject: large\r\n\r\n${"x".repeat(1_000_000)}`) })
      return {
        config: { rootUrl: server.url },
        credentials: { accessToken: "t0ken" },
        asked: () => server.seen.length
      }
    })
  },
  slack: {
    integration: slack,
    field: "slackApiUrl",
    make: Effect.map(SlackServer.make(), (server) => ({
      config: { slackApiUrl: server.url },
      credentials: { token: server.token },
      asked: () => server.count()
    }))
  },
  ftp: {
    integration: ftp,
    field: "host",
    make: Effect.map(FtpStandIn.run({ files: new Map() }), ({ received, source }) => ({
      config: source.config,
      credentials: source.credentials,
      asked: () => received.filter((command) => command.startsWith("USER")).length
    }))
  }
} as const

describe.concurrent("a connection over HTTP", () => {
  for (const [domain, { field, integration, make }] of Object.entries(sources)) {
    it.live(`of ${domain} is refused at an address that is not public, which is not asked`, () =>
      Effect.gen(function* () {
        const { asked, config, credentials } = yield* make
        const error = yield* Effect.flip(overHttp(connect(domain, config, credentials)))
        assert.strictEqual(error._tag, "UsageError")
        assert.include(error.message, `${field}: `)
        assert.include(error.message, "set IDEM_SOURCE_ALLOW to allow it")
        assert.strictEqual(asked(), 0)
        assert.isTrue(Option.isNone(yield* Effect.flatMap(WholeStore, (store) => store.connectionByName("me"))))
      }).pipe(Effect.scoped, Effect.provide(engineOf(integration)))
    )

    it.live(`of ${domain} is made on the machine itself, and stays free when it is changed over HTTP`, () =>
      Effect.gen(function* () {
        const { asked, config, credentials } = yield* make
        const { connection } = yield* connect(domain, config, credentials)
        assert.isFalse(connection.guarded)
        yield* overHttp(connect(domain, undefined, credentials))
        assert.isFalse((yield* stored).guarded)
        const before = asked()
        assert.strictEqual((yield* TestEngine.sync(yield* stored)).status, "succeeded")
        assert.isAbove(asked(), before)
      }).pipe(Effect.scoped, Effect.provide(engineOf(integration)))
    )

    it.live(`of ${domain} reaches what IDEM_SOURCE_ALLOW lists, in its runs too, and no longer than that`, () =>
      Effect.gen(function* () {
        const { asked, config, credentials } = yield* make
        const memory = yield* TestEngine.shared
        const engine = (allow: string) =>
          Effect.provide(Layer.provide(TestEngine.engineOver(memory, integration), allowing(allow)))
        const { connection } = yield* overHttp(connect(domain, config, credentials)).pipe(engine("127.0.0.1"))
        assert.isTrue(connection.guarded)
        const result = yield* TestEngine.sync(connection).pipe(engine("127.0.0.1"))
        assert.deepStrictEqual(result.error, null)
        const before = asked()
        // The restriction belongs to the connection, so a run that a local command starts is restricted too.
        const refused = yield* TestEngine.sync(connection).pipe(engine("10.0.0.0/8"))
        assert.strictEqual(refused.status, "failed")
        assert.strictEqual(asked(), before)
      }).pipe(Effect.scoped)
    )
  }

  it.live("reaches an allowed SFTP server at the address that was checked", () =>
    Effect.gen(function* () {
      const standIn = yield* SftpStandIn.run({ password: "s3cret", method: "password", entries: [] })
      const { config, credentials } = standIn.source
      const { connection } = yield* overHttp(connect("ftp", config, credentials))
      assert.isTrue(connection.guarded)
    }).pipe(Effect.scoped, Effect.provide(engineOf(ftp, "127.0.0.1")))
  )

  /** A name that resolves to a public address at the first look-up, and to this machine afterwards. */
  const rebinding = Layer.effect(
    Dns.Dns,
    Effect.map(Dns.Dns, (real) => {
      let asked = 0
      const resolve: typeof real.resolve = (_, type) => {
        if (type !== "A") return Effect.succeed([]) as never
        asked++
        const address = NetAddress.ipFromStringUnsafe(asked === 1 ? "93.184.216.34" : "127.0.0.1")
        return Effect.succeed([{ address }]) as never
      }
      return { ...real, resolve }
    })
  ).pipe(Layer.provide(NodeDns.layer))

  it.live("is not led to this machine by a name that leads elsewhere once it was checked", () =>
    Effect.gen(function* () {
      const { received, source } = yield* FtpStandIn.run({ files: new Map() })
      const config = { ...source.config, host: "rebinding.example" }
      const error = yield* Effect.flip(overHttp(connect("ftp", config, source.credentials)))
      assert.strictEqual(error._tag, "SourceError")
      assert.include(error.message, "rebinding.example is, or resolves to, an address that is not public")
      assert.deepStrictEqual(received, [])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        TestEngine.engineOver(Memory.layer, ftp, Layer.orDie(Layer.provide(SourceNetwork.layer, rebinding)))
      )
    )
  )
})

describe("a guarded fetch", () => {
  /** Starts a server at this address, with this listener. */
  const serving = (host: string, answer: Http.RequestListener) =>
    Effect.acquireRelease(
      Effect.callback<{ readonly url: string; readonly server: Http.Server }>((resume) => {
        const server = Http.createServer(answer)
        server.listen(0, host, () => {
          const { port } = server.address() as AddressInfo
          resume(Effect.succeed({ server, url: `http://${host}:${port}` }))
        })
      }),
      ({ server }) => Effect.sync(() => (server.closeAllConnections(), server.close()))
    )

  it.live("checks each redirect, an address as well as a name, and sends what it is given", () =>
    Effect.gen(function* () {
      let reached = 0
      const inner = yield* serving("127.0.0.2", (_, response) => {
        reached++
        response.end("secret of the inside")
      })
      const seen: Array<string> = []
      const outer = yield* serving("127.0.0.1", (request, response) => {
        if (request.url === "/away") {
          response.writeHead(302, { location: inner.url })
          response.end()
          return
        }
        request.on("data", (data) => seen.push(`${request.headers["content-type"]} ${data}`))
        request.on("end", () => response.end("answer"))
      })
      const { guarded } = yield* SourceNetwork.SourceNetwork
      const { fetch } = yield* guarded
      const failure = (url: string) =>
        Effect.promise(() =>
          fetch(url).then(
            () => "none",
            (error: Error) => `${(error.cause as { readonly code?: string } | undefined)?.code}`
          )
        )
      assert.strictEqual(yield* failure(inner.url), refusedCode)
      assert.strictEqual(yield* failure(`${outer.url}/away`), refusedCode)
      assert.strictEqual(yield* failure(inner.url.replace("127.0.0.2", "[::ffff:127.0.0.2]")), refusedCode)
      assert.strictEqual(reached, 0)
      const answer = yield* Effect.promise(() =>
        fetch(`${outer.url}/`, { method: "POST", body: new URLSearchParams({ a: "b c" }) }).then((one) => one.text())
      )
      assert.strictEqual(answer, "answer")
      assert.deepStrictEqual(seen, ["application/x-www-form-urlencoded;charset=UTF-8 a=b+c"])
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provide(Layer.provide(SourceNetwork.layer, NodeDns.layer), allowing("127.0.0.1")))
    )
  )
})
