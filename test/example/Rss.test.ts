import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker, noParts, poll } from "@idem-sync/idem/contract"
import * as Conformance from "@idem-sync/idem/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as FeedServer from "../support/FeedServer.ts"
import { inFolder, repository, run } from "../support/IdemProcess.ts"
import { rss } from "./Rss.ts"
import { scripted } from "./ScriptedFeed.ts"

for (const path of ["/rss", "/atom"]) {
  describe(`the laws of integrations, for ${path}`, () => {
    // A feed does not say what it removed, and lists what it has inline.
    for (const law of Conformance.laws(scripted(path), { without: ["remove", "fail"] }))
      it.live(law.name, () => law.check)
  })
}

/** The result of one listing: its refs and its checkpoint, or the reason of its failure. */
const list = (address: string, checkpoint: Option.Option<Schema.Json> = Option.none()) =>
  Effect.gen(function* () {
    const session = yield* rss.open({
      config: { url: address },
      credentials: {},
      call: (_method, _units, request) => request,
      saveCredentials: () => Effect.void
    })
    const pages = yield* Stream.runCollect(session.list(poll, checkpoint, noParts))
    return { refs: pages.flatMap((page) => page.listed), checkpoint: pages.at(-1)?.checkpoint }
  }).pipe(
    Effect.scoped,
    Effect.provide(ContentExistenceChecker.layerTest([])),
    Effect.catchTag("IntegrationError", (error) => Effect.succeed(error.reason))
  )

describe("a feed server", () => {
  it.live("is asked again with what it said of the feed, be it an ETag or a time", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      feed.add("a")
      for (const validator of ["etag", "last-modified", "none"] as const) {
        feed.validator = validator
        const first = yield* list(feed.address("/rss"))
        assert("refs" in first)
        const again = yield* list(feed.address("/rss"), Option.fromUndefinedOr(first.checkpoint))
        assert("refs" in again)
        assert.strictEqual(again.refs.length, validator === "none" ? 1 : 0, validator)
      }
    })
  )

  it.live("that refuses is told apart by its answer, and no error says more than its host", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      const answers: ReadonlyArray<readonly [number, string]> = [
        [401, "Unauthorized"],
        [403, "Forbidden"],
        [404, "Gone"],
        [410, "Gone"],
        [429, "RateLimited"],
        [500, "Transient"],
        [200, "Transient"]
      ]
      for (const [status, expected] of answers) {
        feed.answer = (response) => response.writeHead(status, { "retry-after": "7" }).end("<html>busy</html>")
        const reason = yield* list(feed.address("/rss?key=s3cret"))
        assert("_tag" in reason)
        assert.strictEqual(reason._tag, expected, String(status))
        assert.notInclude(reason.message, "s3cret")
        if (reason._tag === "RateLimited") assert.deepStrictEqual(reason.retryAfter, Duration.seconds(7))
      }
      const away = yield* list("http://127.0.0.1:1/rss?key=s3cret")
      assert("_tag" in away)
      assert.deepStrictEqual([away._tag, away.message.includes("s3cret")], ["Transient", false])
    })
  )

  it.live("may send other charsets, entries without an id, and entries without a date", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      const items = `<item><title>caf\u00e9</title></item><item><link>http://x/1</link><pubDate>soon</pubDate></item>`
      feed.answer = (response) => {
        const xml = `<?xml version="1.0" encoding="ISO-8859-1"?><rss version="2.0"><channel>${items}</channel></rss>`
        response.end(Buffer.from(xml, "latin1"))
      }
      const found = yield* list(feed.address("/rss"))
      assert("refs" in found)
      const [first, second] = found.refs
      assert.strictEqual(first?.content?.title, "caf\u00e9")
      assert.match(first?.externalId ?? "", /^[0-9a-f]{64}$/)
      assert.strictEqual(second?.externalId, "http://x/1")
      assert.strictEqual(second?.content?.occurredAt, undefined)
    })
  )
})

/** A project outside the repository. Where it brings another `effect`, that must not be taken: it throws. */
const project = (folder: string) => {
  const modules = Path.join(folder, "node_modules")
  Fs.mkdirSync(Path.join(modules, "effect"), { recursive: true })
  Fs.writeFileSync(Path.join(modules, "effect/package.json"), `{"type": "module", "exports": {"./*": "./throws.js"}}`)
  Fs.writeFileSync(Path.join(modules, "effect/throws.js"), `throw new Error("another copy of effect")`)
  Fs.symlinkSync(Path.join(repository, "node_modules/feedsmith"), Path.join(modules, "feedsmith"))
  for (const file of ["Rss.ts", "idem.config.ts"]) {
    Fs.copyFileSync(Path.join(import.meta.dirname, file), Path.join(folder, file))
  }
}

describe("a feed, by the command line and an idem.config.ts outside the repository", () => {
  it.live("is stored once, costs one call when nothing is new, and is read again by an id", () =>
    Effect.gen(function* () {
      const feed = yield* FeedServer.make
      for (let index = 0; index < 30; index += 1) feed.add(`post/${index}`)
      yield* Effect.promise(() =>
        inFolder(async (folder) => {
          project(folder)
          const idem = async (...args: ReadonlyArray<string>) => {
            const options = { cwd: folder, env: { IDEM_DATA_DIR: Path.join(folder, "data") } }
            const ended = await run([...args, "--json"], options)
            assert.strictEqual(ended.code, 0, ended.stderr)
            return JSON.parse(ended.stdout)
          }
          const connected = await idem(
            "connect",
            "rss",
            "--name",
            "news",
            "--config",
            JSON.stringify({ url: feed.address("/rss") })
          )
          assert.deepInclude(connected, { domain: "rss", account: new URL(feed.url).host, items: 30 })
          assert.deepInclude(await idem("sync", "news"), {
            status: "succeeded",
            stored: 30,
            downloads: 0,
            apiCalls: 1
          })
          assert.deepInclude(await idem("sync", "news"), {
            listed: 0,
            stored: 0,
            downloads: 0,
            apiCalls: 1,
            checkerQueries: 0
          })
          assert.deepStrictEqual(feed.log, ["GET /rss 200", "GET /rss 200", "GET /rss 304"])
          feed.add("post/7", "<p>mended</p>")
          feed.add("post/30")
          assert.deepInclude(await idem("sync", "news"), {
            existing: 29,
            stored: 1,
            updated: 1,
            downloads: 0,
            apiCalls: 1
          })
          const ids = ["--force-id", "post/7", "--force-id", "post/8"]
          assert.deepInclude(await idem("sync", "news", ...ids), {
            listed: 0,
            unchanged: 2,
            downloads: 2,
            apiCalls: 1
          })
          const shown = await run(["show", "news", "post/7", "--raw"], {
            cwd: folder,
            env: { IDEM_DATA_DIR: Path.join(folder, "data") }
          })
          assert.strictEqual(shown.stdout, "<p>mended</p>")
        })
      )
    })
  )
})
