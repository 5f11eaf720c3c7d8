/** Folders that a server lists incompletely or as empty: unlisted files do not count as deleted. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { files } from "../../support/ftp/FtpStandIn.ts"

/** The line that `ls` writes for a name whose `lstat` fails, as on a stale mount (coreutils, src/ls.c). */
const stale = "-????????? ? ? ? ?            ? b"

describe("folders that are listed in part", () => {
  for (const [form, features, listing] of [
    ["MLSD", ["MLST", "SIZE", "MDTM"], `type=file;size=4;modify=20240102030405; a\r\ntype=file;b\r\n`],
    ["LIST", ["SIZE", "MDTM"], `-rw-r--r-- 1 u g 4 Jan 02 2024 a\r\n${stale}\r\n`]
  ] as const) {
    it.live(
      `a line of ${form} that can't be read leaves the rest of its folder listed, and nothing of it deleted`,
      () =>
        Effect.gen(function* () {
          const standIn = yield* StandIn.run({
            files: files("in/a", "in/b", "z/c"),
            features,
            listing: (folder) => (folder === "in" ? listing : undefined)
          })
          const opened = yield* Mirror.open(standIn.source)
          const pages = yield* Mirror.list(opened)
          const ids = Mirror.listed(pages).map(({ externalId }) => externalId)
          assert.deepStrictEqual(ids, ["in/a", "z/c"])
          assert.match(Mirror.problems(pages).join("\n"), /^in: .*1 lines can't be read$/m)
          assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["in/"] }])
        }).pipe(Effect.scoped)
    )
  }

  it.live("a server whose MLSD has no types is listed by LIST", () =>
    Effect.gen(function* () {
      // RFC 3659 7.2 allows a line without facts, and a server sends such lines (morris/vinyl-ftp#12).
      const standIn = yield* StandIn.run({
        files: files("a", "in/b"),
        script: (command, argument) =>
          command === "MLSD"
            ? { data: Buffer.from(" .\r\n ..\r\n a\r\n in\r\n"), last: "226 done" }
            : command === "MLST"
              ? `250-Here\r\n  ${argument}\r\n250 End`
              : undefined
      })
      const opened = yield* Mirror.open(standIn.source)
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(
        Mirror.listed(pages).map(({ externalId, revision }) => [externalId, revision]),
        [
          ["a", "1 2024-01-02T03:04:05Z"],
          ["in/b", "4 2024-01-02T03:04:05Z"]
        ]
      )
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(pages))
      assert.strictEqual(results.get("in/b")?.bytes?.toString(), "in/b")
      assert.isAbove(StandIn.received(standIn, "MLSD").length, 0)
      const other = yield* Mirror.open(standIn.source)
      assert.strictEqual((yield* Mirror.download(other, { externalId: "a" })).bytes?.toString(), "a")
    }).pipe(Effect.scoped)
  )

  it.live("a file that is refused, and whose line can't be read, is not called gone", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("b"),
        features: ["SIZE", "MDTM"],
        listing: () => `${stale}\r\n`,
        script: (name) => (name === "RETR" || name === "SIZE" ? "550 Failed to open file." : undefined)
      })
      const opened = yield* Mirror.open(standIn.source)
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "b" })).reason, "Forbidden")
    }).pipe(Effect.scoped)
  )
})

describe("empty listings", () => {
  it.live("an empty answer to LIST -a is asked again without the option", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("a", "b/c"),
        features: ["SIZE", "MDTM"],
        quirks: ["empty LIST -a"]
      })
      const pages = yield* Mirror.list(yield* Mirror.open(standIn.source))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a", "b/c"])
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
        const opened = yield* Mirror.open(standIn.source)
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
      const opened = yield* Mirror.open(standIn.source)
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
