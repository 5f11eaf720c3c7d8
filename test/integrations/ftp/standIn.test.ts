/** Behaviour of servers that are broken, busy or hostile. */
import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { file, files, time } from "../../support/ftp/FtpStandIn.ts"

const onlyList = ["SIZE", "MDTM"]

describe("hostile listings", () => {
  const names = ["../x", "/etc/passwd", "a/b", "..", "n\0l", "new\nline", "c\rr"]

  for (const [form, features, line] of [
    ["MLSD", undefined, (name: string) => `type=file;size=1;modify=${time}; ${name}`],
    ["LIST", onlyList, (name: string) => `-rw-r--r-- 1 u g 1 Jan  1  2020 ${name}`]
  ] as const) {
    it.live(`${form}: names that climb, point elsewhere or can't be asked for are reported and never followed`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files("good"),
          ...(features === undefined ? {} : { features }),
          listing: () => [...names, "good"].map((name) => `${line(name)}\r\n`).join("")
        })
        const opened = yield* Mirror.open(standIn.source)
        const pages = yield* Mirror.list(opened)
        assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["good"])
        // The client for LIST never returns a file named "..", so no problem is reported for it.
        assert.strictEqual(Mirror.problems(pages).length, form === "LIST" ? names.length - 1 : names.length)
        assert.isTrue(standIn.received.every((line) => !/passwd|\.\./.test(line)))
      }).pipe(Effect.scoped)
    )
  }

  it.live("an id with a line break sends no second command", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a") })
      const opened = yield* Mirror.open(standIn.source)
      const result = yield* Mirror.download(opened, { externalId: "a\r\nDELE a" })
      assert.isUndefined(result.bytes)
      assert.isTrue(standIn.received.every((line) => !line.startsWith("DELE")))
    }).pipe(Effect.scoped)
  )

  it.live("a loop that the server hides ends: where folders tell what they are, and at maxDepth elsewhere", () =>
    Effect.gen(function* () {
      const loop = (unique: string) => () =>
        `type=cdir;${unique} .\r\ntype=dir;${unique} again\r\ntype=file;size=0;modify=${time}; f\r\n`
      const known = yield* StandIn.run({ files: new Map(), listing: loop("unique=1;") })
      const once = yield* Mirror.list(yield* Mirror.open(known.source))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(once)), ["f"])
      assert.deepStrictEqual(once.at(-1)?.covers, [{ prefix: "", except: ["again/"] }])
      // The file grows during the listing, so that no folder equals its parent.
      const growing = (folder: string) => `type=dir; again\r\ntype=file;size=${folder.length};modify=${time}; f\r\n`
      const unknown = yield* StandIn.run({ files: new Map(), listing: growing })
      const bounded = yield* Mirror.list(yield* Mirror.openWith(unknown.source, { maxDepth: 2 }))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(bounded)), ["f", "again/f", "again/again/f"])
      assert.deepStrictEqual(bounded.at(-1)?.covers, [{ prefix: "", except: ["again/again/again/"] }])
    }).pipe(Effect.scoped)
  )

  it.live("more unread folders than a checkpoint holds cover nothing, and it stays under 64 kB", () =>
    Effect.gen(function* () {
      const folders = Array.from({ length: 300 }, (_, index) => `${index}-${"\u00e9".repeat(200)}`)
      const standIn = yield* StandIn.run({
        files: new Map(),
        listing: (folder) => (folder === "" ? folders.map((name) => `type=dir; ${name}\r\n`).join("") : undefined),
        script: (command, argument) => (command === "MLSD" && argument !== "/" ? "550 Permission denied" : undefined)
      })
      const pages = yield* Mirror.list(yield* Mirror.open(standIn.source))
      assert.isTrue(pages.every((page) => JSON.stringify(page.checkpoint).length < 64_000))
      assert.deepStrictEqual(pages.at(-1)?.covers, [])
      assert.strictEqual(Mirror.problems(pages).length, 300)
      const resumed = yield* Mirror.list(yield* Mirror.open(standIn.source), { checkpoint: pages[0]?.checkpoint })
      assert.isAtLeast(Mirror.problems(resumed).length, 200)
    }).pipe(Effect.scoped)
  )
})

describe("revisions and times", () => {
  it.live("a server with LIST only is asked for each file's time, and only where the time matters", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a", "b"), features: onlyList })
      const asked = () => standIn.received.filter((line) => line.startsWith("MDTM")).length
      const content = yield* Mirror.list(yield* Mirror.openWith(standIn.source, { compare: "content" }))
      assert.deepStrictEqual(
        Mirror.chosen(content).map(({ revision }) => revision),
        [undefined, undefined]
      )
      assert.strictEqual(asked(), 0)
      const opened = yield* Mirror.openWith(standIn.source, { compare: "revision" })
      const revision = "1 2024-01-02T03:04:05Z"
      const known = new Map([
        ["a", revision],
        ["b", "1 2024-01-02T03:04:04Z"]
      ])
      const pages = yield* Mirror.list(opened, { known })
      assert.deepStrictEqual(Mirror.chosen(pages), [{ externalId: "b", revision }])
      assert.strictEqual(asked(), 2)
    }).pipe(Effect.scoped)
  )

  it.live("a file whose time nobody knows is downloaded each time, and did not happen in 1970", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: new Map([["a", file("a")]]), features: ["SIZE"] })
      const opened = yield* Mirror.openWith(standIn.source, { compare: "revision" })
      const known = new Map([["a", undefined]])
      const pages = yield* Mirror.list(opened, { known })
      assert.deepStrictEqual(Mirror.chosen(pages), [{ externalId: "a", revision: undefined }])
      const { content } = yield* Mirror.download(opened, { externalId: "a" })
      assert.isDefined(content)
      assert.isUndefined(content?.occurredAt)
      assert.isUndefined(content?.revision)
    }).pipe(Effect.scoped)
  )

  it.live("a window takes since inclusive and until exclusive, and every file of unknown time", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: new Map([
          ["before", file("x", "20240102030404")],
          ["since", file("x", "20240102030405")],
          ["within", file("x", "20240102030406.250")],
          ["until", file("x", "20240102030407")],
          ["unknown", file("x")],
          ["never", file("x", "20240231000000")]
        ])
      })
      const opened = yield* Mirror.open(standIn.source)
      const window = {
        since: DateTime.makeUnsafe("2024-01-02T03:04:05Z"),
        until: DateTime.makeUnsafe("2024-01-02T03:04:07Z")
      }
      const pages = yield* Mirror.list(opened, { task: { ...SyncTask.poll, window } })
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["never", "since", "unknown", "within"])
      // An incomplete listing of files proves nothing about the other files.
      assert.isTrue(pages.every((page) => page.covers === undefined && page.listing === undefined))
    }).pipe(Effect.scoped)
  )

  it.live("force asks the checker nothing, forced ids are chosen whatever their revision", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a", "b") })
      const opened = yield* Mirror.openWith(standIn.source, { compare: "revision" })
      const known = new Map(["a", "b"].map((id) => [id, "1 2024-01-02T03:04:05Z"]))
      const chosen = (task: Partial<SyncTask.SyncTask>) =>
        Effect.map(Mirror.list(opened, { task: { ...SyncTask.poll, ...task }, known }), (pages) =>
          Mirror.idsOf(Mirror.chosen(pages))
        )
      assert.deepStrictEqual(yield* chosen({}), [])
      assert.deepStrictEqual(yield* chosen({ force: true }), ["a", "b"])
      assert.deepStrictEqual(yield* chosen({ forceIds: ["b"], window: {} }), ["b"])
    }).pipe(Effect.scoped)
  )
})

describe("limits", () => {
  it.live("a file above maxFileSize and one that was just written are not asked for", () =>
    Effect.gen(function* () {
      const now = DateTime.formatIso(yield* DateTime.now).replace(/[-:TZ]/g, "")
      const standIn = yield* StandIn.run({
        files: new Map([
          ["large", file("12345", time)],
          ["fresh", file("1", now)],
          ["future", file("1", "20990102030405")],
          ["old", file("1", time)]
        ])
      })
      const opened = yield* Mirror.openWith(standIn.source, { maxFileSize: 4, settle: "1 hour" })
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
      assert.deepStrictEqual(
        [...results].map(([id, { reason }]) => [id, reason]),
        [
          ["fresh", "Unsettled"],
          ["future", undefined],
          ["large", "TooLarge"],
          ["old", undefined]
        ]
      )
      assert.deepStrictEqual(
        standIn.received.filter((line) => line.startsWith("RETR")),
        ["RETR /future", "RETR /old"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("folders that no pattern can match are not listed", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("in/a.csv", "in/deep/b.csv", "in/c.txt", "in/tmp/d.csv", "out/e.csv", "top.csv")
      })
      const opened = yield* Mirror.openWith(standIn.source, { include: ["in/**/*.csv"], exclude: ["**/tmp"] })
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(yield* Mirror.list(opened))), ["in/a.csv", "in/deep/b.csv"])
      assert.deepStrictEqual(
        standIn.received.filter((line) => line.startsWith("MLSD")),
        ["MLSD /", "MLSD /in", "MLSD /in/deep"]
      )
    }).pipe(Effect.scoped)
  )

  it.live("an unchanged tree costs one listing a folder, and one login", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a", "b/c", "b/d/e") })
      const opened = yield* Mirror.openWith(standIn.source, { compare: "revision" })
      yield* Mirror.list(opened)
      assert.deepStrictEqual(Object.fromEntries(opened.calls), { connect: 1, list: 3 })
    }).pipe(Effect.scoped)
  )
})
