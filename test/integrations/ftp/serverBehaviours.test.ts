/** Behaviour of servers from bug reports, and its effect on the mirror. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Harness from "../../../src/testing/Harness.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { file, files, received, time } from "../../support/ftp/FtpStandIn.ts"

const reasons = (results: ReadonlyMap<string, Mirror.Downloaded>) =>
  Object.fromEntries([...results].map(([id, { bytes, reason }]) => [id, reason ?? bytes?.toString()]))

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
              ["empty", file("", time)],
              ["full", file("bytes", time)]
            ]),
            features,
            quirks
          })
          const opened = yield* Mirror.openWith(standIn.source, { compare })
          const refs = Mirror.chosen(yield* Mirror.list(opened))
          assert.deepStrictEqual(reasons(yield* Mirror.downloadAll(opened, refs)), { empty: "", full: "bytes" })
          // Without a listing, as for items in the ledger and items that a person forces.
          const again = refs.map(({ externalId }) => ({ externalId }))
          assert.deepStrictEqual(reasons(yield* Mirror.downloadAll(opened, again)), { empty: "", full: "bytes" })
        }).pipe(Effect.scoped)
      )
    }
  }
})

describe("files that the server can't give now", () => {
  // RFC 959 4.2.2: 450 file busy, 451 local error, 452 no room. Each concerns one file, not the server.
  for (const code of [450, 451, 452]) {
    it.live(`${code} fails the file alone, and its connection goes on`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files("a", "busy"),
          script: (name, argument) => (name === "RETR" && argument.endsWith("busy") ? `${code} File busy` : undefined)
        })
        const opened = yield* Mirror.open(standIn.source)
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
          const opened = yield* Mirror.open(standIn.source)
          const pages = yield* Mirror.list(opened)
          assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a", "then/c"])
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
      yield* Mirror.withEngine(standIn.source, (connection) =>
        Effect.forEach([1, 2, 3], () => TestEngine.poll(connection), { discard: true })
      )
      assert.strictEqual(received(standIn, "RETR").filter((line) => line.endsWith("good")).length, 3)
      assert.strictEqual(received(standIn, "RETR").filter((line) => line.endsWith("locked")).length, 1)
    }).pipe(Effect.scoped)
  )
})

describe("loops of links that a server hides", () => {
  const entry = (type: "file" | "dir", name: string, unique?: string) =>
    [
      `type=${type};${type === "file" ? "size=1;" : ""}modify=${time};`,
      `${unique === undefined ? "" : `unique=${unique};`} ${name}\r\n`
    ].join("")

  it.live("a server with unique facts in the entries' lines only: the loop is entered nowhere", () =>
    Effect.gen(function* () {
      // pyftpdlib follows links in MLSD, writes `unique` in every line, and omits the line of the folder itself.
      const standIn = yield* StandIn.run({
        files: new Map(),
        listing: (folder) =>
          /(^|\/)sub$/.test(folder)
            ? entry("file", "g", "1g3") + entry("dir", "up", "1g0")
            : entry("file", "f", "1g1") + entry("dir", "self", "1g0") + entry("dir", "sub", "1g2"),
        script: (command, argument) =>
          command === "MLST" && argument === "/" ? "250-Here\r\n type=dir;unique=1g0; /\r\n250 End" : undefined
      })
      const pages = yield* Mirror.list(yield* Mirror.open(standIn.source))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["f", "sub/g"])
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
        const pages = yield* Mirror.list(yield* Mirror.openWith(standIn.source, { compare: "content" }))
        assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["f"])
        assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["one/", "two/"] }])
      }).pipe(Effect.scoped)
    )
  }

  it.live("a folder like the one above it but for one file's time is another folder", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: new Map([
          ["a", file("a", time)],
          ["in/a", file("a", "20240102030406")],
          ["in/in/a", file("a", time)]
        ])
      })
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(yield* Mirror.list(yield* Mirror.open(standIn.source)))), [
        "a",
        "in/a",
        "in/in/a"
      ])
    }).pipe(Effect.scoped)
  )

  it.live("a pass lists no more than maxEntries, in all its slices, and then covers nothing", () =>
    Effect.gen(function* () {
      // Folders without files contain nothing by which a loop could be recognized.
      const standIn = yield* StandIn.run({ files: new Map(), listing: () => entry("dir", "one") + entry("dir", "two") })
      const opened = yield* Mirror.openWith(standIn.source, { maxEntries: 500 })
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
            Effect.flatMap(Mirror.openWith(standIn.source, config), (opened) => Mirror.list(opened, { known })),
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
      const clock = yield* Clock.Clock
      const now = clock.currentTimeMillisUnsafe()
      /** Runs an action at that moment, however long it takes. */
      const then = Effect.provideService(
        Clock.Clock,
        Object.assign(Object.create(clock) as Clock.Clock, {
          currentTimeMillis: Effect.succeed(now),
          currentTimeMillisUnsafe: () => now
        })
      )
      const standIn = yield* StandIn.run({
        files: new Map([
          ["new", file("n", stamp(now))],
          ["old", file("o", stamp(now - 60_000))],
          // A time far in the future does not show when the file was changed.
          ["ahead", file("a", stamp(now + 30 * 86_400_000))]
        ])
      })
      const opened = yield* Mirror.open(standIn.source)
      const results = yield* then(Mirror.downloadAll(opened, Mirror.chosen(yield* then(Mirror.list(opened)))))
      const known = new Map([...results].map(([id, { content }]) => [id, content?.revision]))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.chosen(yield* then(Mirror.list(opened, { known })))), ["new"])
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
          const pages = yield* Mirror.list(yield* Mirror.openWith(standIn.source, config), { known, checkpoint })
          return { chosen: Mirror.chosen(pages).length, checkpoint: pages.at(-1)?.checkpoint }
        })
      assert.strictEqual((yield* after(29, {})).chosen, 0)
      const verified = yield* after(31, {})
      assert.strictEqual(verified.chosen, 1)
      const again = yield* Mirror.list(yield* Mirror.open(standIn.source), { known, checkpoint: verified.checkpoint })
      assert.strictEqual(Mirror.chosen(again).length, 0)
      assert.strictEqual((yield* after(31, { verifyEvery: null })).chosen, 0)
      assert.strictEqual((yield* after(2, { verifyEvery: "1 day" })).chosen, 1)
    }).pipe(Effect.scoped)
  )

  it.live("a poll by a clock that was a year ahead does not put off the next comparison by content for a year", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a") })
      const known = new Map([["a", "1 2024-01-02T03:04:05Z"]])
      const day = 86_400_000
      let checkpoint: Schema.Json | undefined
      const poll = Effect.gen(function* () {
        const pages = yield* Mirror.list(yield* Mirror.open(standIn.source), { known, checkpoint })
        checkpoint = pages.at(-1)?.checkpoint
        return Mirror.chosen(pages).length
      })
      assert.strictEqual(yield* Harness.ahead(365 * day)(poll), 0)
      assert.strictEqual(yield* poll, 0)
      assert.strictEqual(yield* Harness.ahead(31 * day)(poll), 1)
      assert.strictEqual(yield* Harness.ahead(32 * day)(poll), 0)
    }).pipe(Effect.scoped)
  )
})
