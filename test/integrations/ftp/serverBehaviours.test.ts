/** Behaviour of servers from bug reports, and its effect on the mirror. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { integration } from "../../../src/integrations/Ftp.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"

const time = "20240102030405"
const file = (text: string, modified = time): StandIn.File => ({ bytes: Buffer.from(text), modified })
const files = (...paths: ReadonlyArray<string>) => new Map(paths.map((path) => [path, file(path)]))

const open = (standIn: StandIn.StandIn, config: Record<string, unknown> = {}) =>
  Mirror.open({ ...standIn.source, config: { ...standIn.source.config, ...config } })

const ids = (refs: ReadonlyArray<{ readonly externalId: string }>) => refs.map(({ externalId }) => externalId)
const reasons = (results: ReadonlyMap<string, Mirror.Downloaded>) =>
  Object.fromEntries([...results].map(([id, { bytes, reason }]) => [id, reason ?? bytes?.toString()]))
const received = (standIn: StandIn.StandIn, command: string) =>
  standIn.received.filter((line) => line.split(" ")[0] === command)

describe("empty listings", () => {
  it.live("an empty answer to LIST -a is asked again without the option", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("a", "b/c"),
        features: ["SIZE", "MDTM"],
        quirks: ["empty LIST -a"]
      })
      const pages = yield* Mirror.list(yield* open(standIn))
      assert.deepStrictEqual(ids(Mirror.listed(pages)), ["a", "b/c"])
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: [] }])
    }).pipe(Effect.scoped)
  )

  for (const [form, features] of [
    ["MLSD", ["MLST", "SIZE", "MDTM"]],
    ["LIST", ["SIZE", "MDTM"]]
  ] as const) {
    it.live(`${form}: a folder that is empty is covered once the next pass finds it empty too`, () =>
      Effect.gen(function* () {
        let isEmpty = false
        const standIn = yield* StandIn.run({
          files: files("in/a", "out/b"),
          features,
          listing: (folder) => (folder === "in" && isEmpty ? "" : undefined)
        })
        const opened = yield* open(standIn)
        const parts = new Map<string, Schema.Json>()
        let checkpoint: Schema.Json | undefined
        const covers = Effect.suspend(() => Mirror.list(opened, { checkpoint, parts })).pipe(
          Effect.map((pages) => {
            checkpoint = pages.at(-1)?.checkpoint
            return pages.at(-1)?.covers
          })
        )
        const all = [{ prefix: "", except: [] }]
        const allButIn = [{ prefix: "", except: ["in/"] }]
        assert.deepStrictEqual(yield* covers, all)
        isEmpty = true
        assert.deepStrictEqual(yield* covers, allButIn)
        assert.deepStrictEqual(yield* covers, all)
        isEmpty = false
        assert.deepStrictEqual(yield* covers, all)
        assert.strictEqual(parts.size, 0)
        isEmpty = true
        assert.deepStrictEqual(yield* covers, allButIn)
      }).pipe(Effect.scoped)
    )
  }

  it.live("an empty root deletes nothing until the next pass finds it empty too", () =>
    Effect.gen(function* () {
      const present = files("a")
      const standIn = yield* StandIn.run({ files: present })
      const opened = yield* open(standIn)
      const parts = new Map<string, Schema.Json>()
      const [first] = yield* Mirror.list(opened, { parts })
      present.delete("a")
      const [second] = yield* Mirror.list(opened, { parts, checkpoint: first?.checkpoint })
      assert.deepStrictEqual(second?.covers, [])
      const [third] = yield* Mirror.list(opened, { parts, checkpoint: second?.checkpoint })
      assert.deepStrictEqual(third?.covers, [{ prefix: "", except: [] }])
    }).pipe(Effect.scoped)
  )
})

describe("sizes that nobody knows", () => {
  for (const [name, features, quirks] of [
    ["a server without SIZE and MDTM", [], []],
    ["a server without SIZE", ["MDTM"], []],
    ["a server whose SIZE of an empty file has no number", ["SIZE", "MDTM"], ["SIZE without a number"]]
  ] as const) {
    for (const compare of ["content", "revision"]) {
      it.live(`${name} is mirrored by ${compare}`, () =>
        Effect.gen(function* () {
          const standIn = yield* StandIn.run({
            files: new Map([
              ["empty", file("")],
              ["full", file("bytes")]
            ]),
            features,
            quirks
          })
          const opened = yield* open(standIn, { compare })
          const refs = Mirror.chosen(yield* Mirror.list(opened))
          assert.deepStrictEqual(reasons(yield* Mirror.downloadAll(opened, refs)), { empty: "", full: "bytes" })
          // As the ledger and a person ask for them: without a listing.
          const again = refs.map(({ externalId }) => ({ externalId }))
          assert.deepStrictEqual(reasons(yield* Mirror.downloadAll(opened, again)), { empty: "", full: "bytes" })
        }).pipe(Effect.scoped)
      )
    }
  }
})

describe("files that the server can't give now", () => {
  // RFC 959 4.2.2: 450 file busy, 451 local error, 452 no room: about one file, and not about the server.
  for (const code of [450, 451, 452]) {
    it.live(`${code} fails the file alone, and its connection goes on`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files("a", "busy"),
          script: (name, argument) => (name === "RETR" && argument.endsWith("busy") ? `${code} File busy` : undefined)
        })
        const opened = yield* open(standIn)
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "busy" })).reason, "Forbidden")
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a" })).bytes?.toString(), "a")
      }).pipe(Effect.scoped)
    )
  }
})

describe("folders that can't be listed", () => {
  for (const code of [450, 451, 550]) {
    for (const [form, features, command] of [
      ["MLSD", ["MLST", "SIZE", "MDTM"], "MLSD"],
      ["LIST", ["SIZE", "MDTM"], "CWD"]
    ] as const) {
      it.live(`${form} refused by ${code} is that folder's problem, and the root's is the run's`, () =>
        Effect.gen(function* () {
          let refused = "/shut"
          const standIn = yield* StandIn.run({
            files: files("a", "shut/b", "then/c"),
            features,
            script: (name, argument) =>
              name === command && argument === refused ? `${code} cannot open it` : undefined
          })
          const opened = yield* open(standIn)
          const pages = yield* Mirror.list(opened)
          assert.deepStrictEqual(ids(Mirror.listed(pages)), ["a", "then/c"])
          assert.match(Mirror.problems(pages).join(), new RegExp(`^shut: .*${code} cannot open it$`))
          assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["shut/"] }])
          assert.strictEqual(received(standIn, command).filter((line) => line.endsWith("/shut")).length, 1)
          refused = "/"
          const failed = yield* Effect.flip(opened.session.estimate)
          assert.strictEqual(failed.reason._tag, code === 550 ? "Forbidden" : "Transient")
        }).pipe(Effect.scoped)
      )
    }
  }
})

describe("files that can't be read", () => {
  it.live("are asked for by polls at the ledger's times, also where every file is compared by content", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("good", "locked"),
        script: (command, argument) => (command === "RETR" && argument === "/locked" ? "550 denied" : undefined)
      })
      yield* Effect.gen(function* () {
        const { connection } = yield* (yield* Engine).connect({
          domain: "ftp",
          name: "files",
          config: { ...standIn.source.config, compare: "content" },
          credentials: standIn.source.credentials,
          every: undefined
        })
        for (let poll = 0; poll < 3; poll++) yield* TestEngine.poll(connection)
        assert.strictEqual(received(standIn, "RETR").filter((line) => line.endsWith("good")).length, 3)
        assert.strictEqual(received(standIn, "RETR").filter((line) => line.endsWith("locked")).length, 1)
      }).pipe(Effect.provide(TestEngine.engineOver(Memory.layer, integration)))
    }).pipe(Effect.scoped)
  )
})

describe("a server that allows few connections", () => {
  for (const [cap, refusal] of [
    [2, "421"],
    [3, "530"],
    [2, "drop"],
    [1, "530"]
  ] as const) {
    it.live(`by ${refusal} beyond ${cap}, costs no file an attempt, and is remembered`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files(...Array.from({ length: 300 }, (_, index) => `${index}`)),
          cap: { connections: cap, refusal }
        })
        yield* Effect.gen(function* () {
          const { connection } = yield* (yield* Engine).connect({
            domain: "ftp",
            name: "files",
            config: { ...standIn.source.config, compare: "content" },
            credentials: standIn.source.credentials,
            every: undefined
          })
          yield* standIn.open
          const first = yield* TestEngine.sync(connection)
          assert.deepInclude(first.counts, { listed: 300, stored: 300, failed: 0, deferred: 0 })
          assert.isAtLeast(standIn.refusals(), 1)
          const before = standIn.refusals()
          yield* standIn.open
          const second = yield* TestEngine.sync(connection)
          assert.deepInclude(second.counts, { listed: 300, unchanged: 300, failed: 0, deferred: 0 })
          // Each pass tries one more connection.
          assert.isAtMost(standIn.refusals() - before, 1)
        }).pipe(Effect.provide(TestEngine.engineOver(Memory.layer, integration)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("a login that is refused while no other connection is open is refused", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a"), cap: { connections: 0, refusal: "530" } })
      const error = yield* Effect.flip((yield* open(standIn)).session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
    }).pipe(Effect.scoped)
  )
})

describe("a server that is silent", () => {
  it.live("a blocked file ends after its time-out, is asked for once, and holds up no other", () =>
    Effect.gen(function* () {
      // vsftpd opens a FIFO as if it were a file, and waits for a writer.
      const names = Array.from({ length: 20 }, (_, index) => `${index}`)
      const standIn = yield* StandIn.run({
        files: files("fifo", ...names),
        script: (command, argument) =>
          command === "RETR" && argument === "/fifo" ? { data: "silent", last: "" } : undefined
      })
      const opened = yield* open(standIn, { timeout: "300 millis" })
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
      assert.strictEqual(results.get("fifo")?.reason, "Transient")
      assert.strictEqual([...results.values()].filter(({ reason }) => reason === undefined).length, 20)
      assert.strictEqual(received(standIn, "RETR").filter((line) => line === "RETR /fifo").length, 1)
    }).pipe(Effect.scoped)
  )

  for (const silent of ["USER", "MLSD", "MLST"]) {
    it.live(`no answer to ${silent} is waited for once`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files("a"),
          script: (command) => (command === silent ? { silent: true } : undefined)
        })
        const opened = yield* open(standIn, { timeout: "200 millis" })
        const reason =
          silent === "MLST"
            ? (yield* Mirror.download(opened, { externalId: "a" })).reason
            : (yield* Effect.flip(opened.session.estimate)).reason._tag
        assert.strictEqual(reason, "Transient")
        assert.strictEqual(received(standIn, silent).length, 1)
      }).pipe(Effect.scoped)
    )
  }

  it.live("a listing that is announced and never comes ends after the time-out", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("a"),
        script: (command) => (command === "MLSD" ? { data: "silent", last: "" } : undefined)
      })
      const opened = yield* open(standIn, { timeout: "200 millis" })
      assert.strictEqual((yield* Effect.flip(opened.session.estimate)).reason._tag, "Transient")
    }).pipe(Effect.scoped)
  )

  it.live("a file whose transfer is reset before its first byte is unreadable after a second attempt", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("locked"),
        script: (command) => (command === "RETR" ? { data: "reset", last: "550 locked: Permission denied" } : undefined)
      })
      const opened = yield* open(standIn)
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "locked" })).reason, "Forbidden")
      assert.isAtMost(received(standIn, "RETR").length, 2)
    }).pipe(Effect.scoped)
  )
})

describe("loops of links that a server hides", () => {
  const entry = (type: "file" | "dir", name: string, unique?: string) =>
    `type=${type};${type === "file" ? "size=1;" : ""}modify=${time};${unique === undefined ? "" : `unique=${unique};`} ${name}\r\n`

  it.live("a server with unique facts in the entries' lines only: the loop is entered nowhere", () =>
    Effect.gen(function* () {
      // pyftpdlib follows links in MLSD, writes `unique` in every line, and has no line of the folder itself.
      const standIn = yield* StandIn.run({
        files: new Map(),
        listing: (folder) =>
          /(^|\/)sub$/.test(folder)
            ? entry("file", "g", "1g3") + entry("dir", "up", "1g0")
            : entry("file", "f", "1g1") + entry("dir", "self", "1g0") + entry("dir", "sub", "1g2"),
        script: (command, argument) =>
          command === "MLST" && argument === "/" ? "250-Here\r\n type=dir;unique=1g0; /\r\n250 End" : undefined
      })
      const pages = yield* Mirror.list(yield* open(standIn))
      assert.deepStrictEqual(ids(Mirror.listed(pages)), ["f", "sub/g"])
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["self/", "sub/up/"] }])
      assert.match(Mirror.problems(pages).join(), /self: it was left out: it leads back to a folder above it/)
      assert.strictEqual(received(standIn, "MLSD").length, 2)
    }).pipe(Effect.scoped)
  )

  for (const [form, features, line] of [
    ["MLSD", ["MLST"], entry],
    [
      "LIST",
      ["SIZE", "MDTM"],
      (type: "file" | "dir", name: string) => `${type === "dir" ? "d" : "-"}rw-r--r-- 1 u g 1 Jan  1  2020 ${name}\r\n`
    ]
  ] as const) {
    it.live(`${form} without them: two links to the folder itself are found by what they repeat`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: new Map(),
          features,
          script: (command) => (command === "CWD" ? "250 there" : undefined),
          listing: () => line("file", "f") + line("dir", "one") + line("dir", "two")
        })
        const pages = yield* Mirror.list(yield* open(standIn, { compare: "content" }))
        assert.deepStrictEqual(ids(Mirror.listed(pages)), ["f"])
        assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["one/", "two/"] }])
      }).pipe(Effect.scoped)
    )
  }

  it.live("a folder like the one above it but for one file's time is another folder", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: new Map([
          ["a", file("a")],
          ["in/a", file("a", "20240102030406")],
          ["in/in/a", file("a")]
        ])
      })
      assert.deepStrictEqual(ids(Mirror.listed(yield* Mirror.list(yield* open(standIn)))), ["a", "in/a", "in/in/a"])
    }).pipe(Effect.scoped)
  )

  it.live("a pass lists no more than maxEntries, in all its slices, and then covers nothing", () =>
    Effect.gen(function* () {
      // Folders without a file repeat nothing that tells a loop.
      const standIn = yield* StandIn.run({ files: new Map(), listing: () => entry("dir", "one") + entry("dir", "two") })
      const opened = yield* open(standIn, { maxEntries: 500 })
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(pages.at(-1)?.covers, [])
      assert.match(Mirror.problems(pages).at(-1) ?? "", /after more than 500 files and folders/)
      assert.strictEqual(received(standIn, "MLSD").length, 251)
      const resumed = yield* Mirror.list(opened, { checkpoint: pages.at(-2)?.checkpoint })
      assert.isBelow(received(standIn, "MLSD").length, 2 * 251)
      assert.deepStrictEqual(resumed.at(-1)?.covers, [])
    }).pipe(Effect.scoped)
  )
})

describe("how files are compared", () => {
  for (const [name, features, calls] of [
    ["by revision with MLSD", ["MLST", "SIZE", "MDTM"], 0],
    ["by revision with MDTM", ["SIZE", "MDTM"], 0],
    ["by content where no time is exact", ["SIZE"], 1]
  ] as const) {
    it.live(`${name}, unless the config says otherwise`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({ files: files("a"), features })
        const known = new Map([["a", "1 2024-01-02T03:04:05Z"]])
        const chosen = (config: Record<string, unknown>) =>
          Effect.map(
            Effect.flatMap(open(standIn, config), (opened) => Mirror.list(opened, { known })),
            (pages) => Mirror.chosen(pages).length
          )
        assert.strictEqual(yield* chosen({}), calls)
        assert.strictEqual(yield* chosen({ compare: "content" }), 1)
      }).pipe(Effect.scoped)
    )
  }

  it.live("a file that was changed right before its listing is looked at again at the next poll", () =>
    Effect.gen(function* () {
      const stamp = (millis: number) => new Date(millis).toISOString().slice(0, 19).replace(/[-:T]/g, "")
      const now = yield* Clock.currentTimeMillis
      const standIn = yield* StandIn.run({
        files: new Map([
          ["new", file("n", stamp(now))],
          ["old", file("o", stamp(now - 60_000))],
          // A time far ahead says nothing about when the file was changed.
          ["ahead", file("a", stamp(now + 30 * 86_400_000))]
        ])
      })
      const opened = yield* open(standIn)
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
      const known = new Map([...results].map(([id, { content }]) => [id, content?.revision]))
      assert.deepStrictEqual(ids(Mirror.chosen(yield* Mirror.list(opened, { known }))), ["new"])
    }).pipe(Effect.scoped)
  )

  it.live("every file is compared by content once verifyEvery has passed, and never with null", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a") })
      const known = new Map([["a", "1 2024-01-02T03:04:05Z"]])
      const day = 86_400_000
      const now = yield* Clock.currentTimeMillis
      const after = (days: number, config: Record<string, unknown>) =>
        Effect.gen(function* () {
          const checkpoint = { pass: now - 1000, position: null, verified: now - days * day }
          const pages = yield* Mirror.list(yield* open(standIn, config), { known, checkpoint })
          return { chosen: Mirror.chosen(pages).length, checkpoint: pages.at(-1)?.checkpoint }
        })
      assert.strictEqual((yield* after(29, {})).chosen, 0)
      const verified = yield* after(31, {})
      assert.strictEqual(verified.chosen, 1)
      const again = yield* Mirror.list(yield* open(standIn), { known, checkpoint: verified.checkpoint })
      assert.strictEqual(Mirror.chosen(again).length, 0)
      assert.strictEqual((yield* after(31, { verifyEvery: null })).chosen, 0)
      assert.strictEqual((yield* after(2, { verifyEvery: "1 day" })).chosen, 1)
    }).pipe(Effect.scoped)
  )
})
