import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Conformance from "idem/testing"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as FeedServer from "../support/FeedServer.ts"
import { inFolder, repository, run } from "../support/IdemProcess.ts"
import { rss } from "./Rss.ts"

/** A feed of this format, as the laws want a source. */
const scripted = (path: string) =>
  Effect.map(FeedServer.make, (feed): Conformance.ScriptedSource => {
    const config = (address: string) => ({ url: feed.address(address), quota: { unitsPerMinute: 1_000_000_000 } })
    return {
      integration: rss,
      config: config(path),
      credentials: {},
      usesChecker: true,
      add: (count) =>
        Effect.sync(() => {
          const from = feed.entries.size
          const ids = Array.from({ length: count }, (_, index) => `${index % 2 === 0 ? "a" : "b"}/${from + index}`)
          for (const id of ids) feed.add(id)
          return ids
        }),
      ids: Effect.sync(() => [...feed.entries.keys()]),
      edit: (id) => Effect.sync(() => feed.add(id, "<p>an edit, under the same date</p>")),
      expire: Effect.sync(() => feed.expire()),
      repeat: Effect.sync(() => {
        feed.repeats = true
      }),
      narrowed: { config: config(`${path}?in=a`), keeps: (id) => id.startsWith("a") },
      requests: Effect.sync(() => feed.requests),
      open: Effect.sync(() => feed.open)
    }
  })

for (const path of ["/rss", "/atom"]) {
  describe(`the laws of integrations, for ${path}`, () => {
    // A feed does not say what it removed, and lists what it has inline.
    for (const law of Conformance.laws(scripted(path), { without: ["remove", "fail"] }))
      it.live(law.name, () => law.check)
  })
}

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
  it.live(
    "is stored once, costs one call when nothing is new, and is read again by an id",
    () =>
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
      }),
    { timeout: 120_000 }
  )
})
