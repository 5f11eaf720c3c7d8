/** Folders that a server lists in part: what it did not tell is not taken for deleted. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"

const files = (...paths: ReadonlyArray<string>) =>
  new Map(paths.map((path): [string, StandIn.File] => [path, { bytes: Buffer.from(path), modified: "20240102030405" }]))

/** The line that `ls` writes for a name of which `lstat` fails, as on a stale mount (coreutils, src/ls.c). */
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
