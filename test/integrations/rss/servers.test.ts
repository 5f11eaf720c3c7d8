/** Servers of feeds: their responses, their redirects, and the addresses to which they must not redirect Idem. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { createIdem } from "@idem-sync/idem"
import Express from "express"
import { Feed } from "feed"
import { once } from "node:events"
import * as Fs from "node:fs"
import type { AddressInfo } from "node:net"
import * as Path from "node:path"
import { gzipSync } from "node:zlib"
import * as SourceNetwork from "../../../src/engine/network/SourceNetwork.ts"
import * as FeedReader from "../../../src/integrations/rss/FeedReader.ts"
import { integration } from "../../../src/integrations/Rss.ts"
import * as CommandLine from "../../cli/CommandLine.ts"
import { freePort } from "../../support/FreePort.ts"
import * as FeedServer from "../../support/FeedServer.ts"
import { inFolder } from "../../support/IdemProcess.ts"
import * as Postgres from "../../support/Postgres.ts"
import { list } from "./listing.ts"

const refused = (...args: Parameters<typeof list>) =>
  Effect.map(Effect.flip(list(...args)), (error) => {
    assert(error._tag === "IntegrationError", error.message)
    return error.reason
  })

// The reader's threads stay warm for all tests, as for all connections of a process.
layer(FeedReader.layer, { excludeTestServices: true })("a feed server", (it) => {
  it.effect("is asked again with what it said of the feed; where it says nothing, the same feed lists nothing", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      feed.add("a")
      const url = feed.address("/rss")
      for (const [validator, status] of [
        ["etag", 304],
        ["last-modified", 304],
        ["none", 200]
      ] as const) {
        feed.validator = validator
        const first = yield* list(url)
        assert.deepStrictEqual(first.ids, ["a"])
        const again = yield* list(url, { place: first.checkpoint })
        assert.deepStrictEqual([again.ids, again.checkpoint], [[], first.checkpoint], validator)
        assert.strictEqual(feed.log.at(-1), `GET /rss ${status}`)
        feed.add("a", `an edit after ${validator}`)
        assert.deepStrictEqual((yield* list(url, { place: again.checkpoint })).ids, ["a"], validator)
      }
    })
  )

  // RFC 9110, 8.8.2.2: a second change within the same second as the first would be missed.
  it.effect("is not asked by a time of change that is as young as its answer", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      let conditional = 0
      feed.answer = (response, request) => {
        if (request.headers["if-modified-since"] !== undefined) conditional++
        const now = new Date().toUTCString()
        response
          .writeHead(200, { date: now, "last-modified": now })
          .end(`<rss version="2.0"><channel><title>T</title></channel></rss>`)
      }
      const first = yield* list(feed.address("/rss"))
      yield* list(feed.address("/rss"), { place: first.checkpoint })
      assert.strictEqual(conditional, 0)
    })
  )

  it.effect("that refuses is told apart by its answer, and no error says more than its host", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      const cases: ReadonlyArray<readonly [number, Record<string, string>, string, number?]> = [
        [401, {}, "Unauthorized"],
        [403, {}, "Forbidden"],
        [404, {}, "Gone"],
        [410, {}, "Gone"],
        [429, { "retry-after": "7" }, "RateLimited", 7],
        [503, { "retry-after": "8" }, "RateLimited", 8],
        [500, {}, "Transient"],
        // The request had no validators, so nothing is known that could be unchanged.
        [304, {}, "Malformed"],
        [200, {}, "Malformed"]
      ]
      for (const [status, headers, expected, seconds] of cases) {
        feed.answer = (response) => response.writeHead(status, headers).end("<html>busy</html>")
        const reason = yield* refused(feed.address("/rss?key=s3cret"))
        assert.strictEqual(reason._tag, expected, String(status))
        assert.notInclude(reason.message, "s3cret")
        const asked = reason._tag === "RateLimited" ? reason.retryAfter : undefined
        assert.strictEqual(asked && Duration.toSeconds(asked), seconds)
      }
      const { host } = new URL(`http://127.0.0.1:${yield* freePort}`)
      const away = yield* refused(`http://${host}/rss?key=s3cret`)
      assert.deepStrictEqual([away._tag, away.message], ["Transient", `${host} gives no answer (ECONNREFUSED)`])
    })
  )

  it.effect("that moved is followed to another server, with the same condition, and not in circles", () =>
    Effect.gen(function* () {
      const [old, feed] = [yield* FeedServer.make, yield* FeedServer.make]
      feed.add("a")
      for (const status of [301, 302, 307, 308]) {
        old.answer = (response) => response.writeHead(status, { location: feed.address("/atom") }).end()
        const first = yield* list(old.address("/rss"))
        assert.deepStrictEqual(first.ids, ["a"])
        assert.deepStrictEqual((yield* list(old.address("/rss"), { place: first.checkpoint })).ids, [])
        assert.strictEqual(feed.log.at(-1), "GET /atom 304")
      }
      old.answer = (response) => response.writeHead(302, { location: "/rss" }).end()
      assert.include((yield* refused(old.address("/rss"))).message, "redirects more than 5 times")
      for (const location of ["file:///etc/passwd", "data:text/xml,<rss/>", "http://["]) {
        old.answer = (response) => response.writeHead(302, { location }).end()
        assert.include(["Forbidden", "Malformed"], (yield* refused(old.address("/rss")))._tag, location)
      }
    })
  )

  it.effect("does not lead a connection that was made over HTTP to an address of the inside", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      feed.answer = (response) =>
        response.writeHead(302, { location: feed.url.replace("127.0.0.1", "127.0.0.2") }).end()
      const { guarded } = yield* SourceNetwork.SourceNetwork
      const network = yield* guarded
      const reason = yield* refused(feed.address("/rss"), { network })
      assert.strictEqual(reason._tag, "Forbidden")
      assert.include(reason.message, "IDEM_SOURCE_ALLOW")
    }).pipe(
      Effect.provide(Layer.provide(SourceNetwork.layer, NodeDns.layer)),
      Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ IDEM_SOURCE_ALLOW: "127.0.0.1" })))
    )
  )

  it.effect("may not send more than is read as a whole, compressed or not", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      const large = Buffer.alloc(17 * 1024 * 1024, " ")
      feed.answer = (response) => response.end(large)
      const { _tag, message } = yield* refused(feed.address("/rss"))
      const { host } = new URL(feed.url)
      assert.deepStrictEqual([_tag, message], ["TooLarge", `an answer of ${host} has over 16 MiB, the limit`])
      feed.answer = (response) => response.setHeader("content-encoding", "gzip").end(gzipSync(large))
      assert.strictEqual((yield* refused(feed.address("/rss")))._tag, "TooLarge")
    })
  )

  it.effect("whose feed has many pages is listed on where a listing was interrupted, and again where it changed", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      for (let index = 0; index < 1200; index++) feed.add(String(index))
      const url = feed.address("/json")
      const begun = yield* list(url, { pages: 2 })
      assert.strictEqual(begun.ids.length, 1000)
      const ended = yield* list(url, { place: begun.checkpoint })
      assert.strictEqual(new Set([...begun.ids, ...ended.ids]).size, 1200)
      assert.deepStrictEqual([ended.ids.length, (yield* list(url, { place: ended.checkpoint })).ids.length], [200, 0])
      feed.add("new")
      const changed = yield* list(url, { place: begun.checkpoint })
      assert.strictEqual(changed.ids.length, 201)
      assert.include((yield* list(url, { place: changed.checkpoint })).ids, "new")
    })
  )

  it.effect("is refused where its address holds a password, or is no address of the web", () =>
    Effect.gen(function* () {
      for (const [url, why] of [
        ["https://ann:s3cret@feed.example/", "may not hold a user name or a password"],
        ["ftp://feed.example/", "must begin with https:// or http://"]
      ] as const) {
        const error = yield* Effect.flip(integration.decodeConfig({ url }))
        assert.include(error.message, why)
      }
    })
  )
})

/** A feed that npm's `feed` wrote, as a file that Express serves. */
const site = async (folder: string) => {
  const log: Array<string> = []
  const app = Express()
  app.use((request, response, next) => {
    response.on("finish", () => log.push(`${request.path} ${response.statusCode}`))
    next()
  })
  app.use(Express.static(folder))
  const server = app.listen(0, "127.0.0.1")
  await once(server, "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { url, log, close: () => (server.closeAllConnections(), server.close()) }
}

/** Writes the feed to files, in its three formats. */
const publish = (folder: string, texts: ReadonlyArray<string>) => {
  const feed = new Feed({ id: "http://site.example/", title: "News", copyright: "none", link: "http://site.example/" })
  for (const [index, content] of texts.entries()) {
    feed.addItem({
      title: `Post ${index} & more`,
      id: `http://site.example/${index}`,
      link: `http://site.example/${index}`,
      date: new Date(Date.UTC(2026, 0, 1 + index)),
      description: `About post ${index}`,
      content,
      author: [{ name: "Ann Author", email: "ann@site.example" }],
      category: [{ name: "gardens" }]
    })
  }
  Fs.writeFileSync(Path.join(folder, "rss.xml"), feed.rss2())
  Fs.writeFileSync(Path.join(folder, "atom.xml"), feed.atom1())
  Fs.writeFileSync(Path.join(folder, "feed.json"), feed.json1())
}

describe("a feed of software that is not ours: npm's feed, served by Express", () => {
  it.live("is stored once in each format, costs one call when nothing is new, and is found by a search", () =>
    Effect.gen(function* () {
      const database = yield* Postgres.makeUrl
      const secretKey = Buffer.alloc(32, 7).toString("base64")
      yield* Effect.promise(() =>
        inFolder(async (folder) => {
          const texts = ["<p>Roses &amp; thorns</p>", "<p>Tulips</p>", "<p>Peonies</p>"]
          publish(folder, texts)
          const { close, log, url } = await site(folder)
          const run = CommandLine.ofApp()
          const command = async (...args: ReadonlyArray<string>) => {
            const env = { DATABASE_URL: database, IDEM_SECRET_KEY: secretKey }
            const ended = await Effect.runPromise(run([...args, "--json"], { env }))
            assert.strictEqual(ended.code, 0, ended.stderr)
            return CommandLine.json(ended)
          }
          const idem = await createIdem({ database, secretKey })
          try {
            const names = ["atom.xml", "feed.json", "rss.xml"]
            for (const name of names) {
              const connected = await idem.connect({ domain: "rss", name, config: { url: `${url}/${name}` } })
              assert.deepStrictEqual([connected.connection.account, connected.items], [new URL(url).host, 3])
              assert.deepInclude(await idem.sync(name), { status: "succeeded", stored: 3, downloads: 0, apiCalls: 1 })
              const idle = { listed: 0, downloads: 0, apiCalls: 1, checkerQueries: 0 }
              assert.deepInclude(await idem.sync(name), idle)
              assert.deepStrictEqual(log.slice(-3), [`/${name} 200`, `/${name} 200`, `/${name} 304`])
            }
            publish(folder, [texts[0] ?? "", "<p>Tulips, mended</p>", texts[2] ?? "", "<p>Asters</p>"])
            for (const name of names) {
              const counts = { existing: 2, stored: 1, updated: 1, downloads: 0, apiCalls: 1, deleted: 0 }
              assert.deepInclude(await idem.sync(name), counts, name)
            }
            // An entry that leaves the feed stays stored, and a forced entry is downloaded again.
            publish(folder, ["<p>Roses</p>"])
            assert.deepInclude(await idem.sync("rss.xml"), { existing: 0, updated: 1, deleted: 0 })
            assert.strictEqual((await idem.status("rss.xml")).totals.stored, 4)
            const id = "http://site.example/0"
            assert.deepInclude(await idem.sync("rss.xml", { forceIds: [id] }), { downloads: 1, apiCalls: 1 })

            const config = JSON.stringify({ url: `${url}/rss.xml` })
            assert.isFalse((await command("connect", "rss", "--name", "rss.xml", "--config", config))["created"])
            const query = "thorns from:author label:gardens"
            let results: ReadonlyArray<Record<string, string>> = []
            // A transaction of another test on this server may hold the newest contents back.
            for (let attempt = 1; attempt <= 60 && results.length === 0; attempt += 1) {
              await command("derive")
              results = (await command("search", query, "--connection", "atom.xml"))["results"]
            }
            assert.deepStrictEqual(
              results.map(({ externalId, title }) => [externalId, title]),
              [[id, "Post 0 & more"]]
            )
            const { columns, rows } = await command(
              "sql",
              `SELECT connection, title, link, categories, published_at::date::text AS day FROM feed_entry
                WHERE link = 'http://site.example/3' ORDER BY connection`
            )
            assert.deepStrictEqual(columns.length, 5)
            const row = ["Post 3 & more", "http://site.example/3", ["gardens"], "2026-01-04"]
            assert.deepStrictEqual(
              rows,
              names.map((name) => [name, ...row])
            )
          } finally {
            await idem.close()
            close()
          }
        })
      )
    }).pipe(Effect.scoped)
  )
})
