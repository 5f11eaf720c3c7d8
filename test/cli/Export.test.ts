import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import { systemError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Folder from "../../src/cli/export/Folder.ts"
import { StoreError } from "../../src/engine/store/StoreError.ts"
import { replaceMethods } from "../../src/testing/WholeStore.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { bytes } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"
import { temporary, tree, stored } from "./exportFixture.ts"

const hostile = {
  "../../outside": "1",
  "/etc/passwd": "2",
  a: "a file",
  "a/b": "in a folder of its name",
  "a//b": "3",
  "docs/Read me.txt": "4",
  "docs/read ME.txt": "5",
  "line\nbreak": "6",
  CON: "7",
  "C:\\x": "8",
  [`long/${"x".repeat(900)}`]: "9",
  [`long/${"x".repeat(900)}y`]: "10",
  "%2e%2e/x": "11"
}

describe("idem export --format files", () => {
  it.effect("writes the tree, safe whatever the ids, and the same a second time", () =>
    Effect.gen(function* () {
      const { to, write } = yield* stored(hostile)
      const first = yield* write("files")
      assert.strictEqual(first.code, 0, first.stderr)
      const ids = Object.keys(hostile).length
      assert.deepStrictEqual(CommandLine.json(first), {
        connection: "work",
        to: Fs.realpathSync(to),
        format: "files",
        written: ids,
        skipped: 0,
        gone: 0,
        bytes: Object.values(hostile).join("").length
      })
      const written = tree(to)
      assert.deepStrictEqual(Object.values(written).toSorted(), Object.values(hostile).toSorted())
      for (const [path, body] of [
        ["%2E%2E/%2E%2E/outside", "1"],
        ["%_/etc/passwd", "2"],
        ["a", "a file"],
        ["a%d/b", "in a folder of its name"],
        ["docs/Read me.txt", "4"],
        ["line%0Abreak", "6"]
      ] as const) {
        assert.strictEqual(written[path], body)
      }
      assert.strictEqual((yield* write("files")).code, 0)
      assert.deepStrictEqual(tree(to), written)
      assert.strictEqual(Fs.statSync(Path.join(to, "a")).mtime.toISOString(), "2026-01-02T03:04:05.000Z")
    })
  )

  it.effect("follows no symbolic link in the folder", () =>
    Effect.gen(function* () {
      const { to, write } = yield* stored({ "in/file": "new", file: "new" })
      const elsewhere = yield* temporary
      Fs.writeFileSync(Path.join(elsewhere, "target"), "old")
      Fs.symlinkSync(Path.join(elsewhere, "target"), Path.join(to, "file"))
      assert.strictEqual((yield* write("files")).code, 0)
      assert.isTrue(Fs.lstatSync(Path.join(to, "file")).isFile())
      Fs.rmSync(Path.join(to, "in"), { recursive: true })
      Fs.symlinkSync(elsewhere, Path.join(to, "in"))
      const refused = yield* write("files")
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "a symbolic link, which is not followed")
      assert.deepStrictEqual(tree(elsewhere), { target: "old" })
    })
  )

  it.effect("leaves alone what links planted under its own names lead to", () =>
    Effect.gen(function* () {
      const { to, write } = yield* stored({ file: "new" })
      const elsewhere = yield* temporary
      const target = Path.join(elsewhere, "target")
      Fs.writeFileSync(target, "old")
      const temporaryName = `%tmp-${createHash("sha256").update("file").digest("hex").slice(0, 16)}`
      for (const name of ["%case", "%CASE", temporaryName]) Fs.symlinkSync(target, Path.join(to, name))
      assert.strictEqual((yield* write("files")).code, 0)
      assert.deepStrictEqual(tree(elsewhere), { target: "old" })
      assert.deepStrictEqual(tree(to), { file: "new" })
    })
  )

  it.effect("keeps what it writes from other users", () =>
    Effect.gen(function* () {
      const { run, to } = yield* stored({ "in/file": "new" })
      const target = Path.join(to, "made", "deep")
      const mode = (path: string) => (Fs.statSync(Path.join(to, path)).mode & 0o777).toString(8)
      for (const format of ["files", "ndjson"]) {
        assert.strictEqual((yield* run(["export", "work", "--to", target, "--format", format])).code, 0)
      }
      assert.deepStrictEqual(
        ["made", "made/deep", "made/deep/in", "made/deep/in/file", "made/deep/work.ndjson"].map(mode),
        ["700", "700", "700", "600", "600"]
      )
    })
  )

  it.effect("fails at once where no folder can be", () =>
    Effect.gen(function* () {
      const { run, to } = yield* stored({ file: "new" })
      Fs.writeFileSync(Path.join(to, "taken"), "a file")
      const impossible = [
        ...(process.platform === "linux" ? ["/proc/nope", "/proc/nope/deeper"] : []),
        Path.join(to, "taken"),
        Path.join(to, "taken", "deeper"),
        "/dev/null",
        "/dev/null/deeper"
      ]
      for (const target of impossible) {
        const ended = yield* run(["export", "work", "--to", target, "--json"])
        assert.strictEqual(ended.code, 1, target)
        assert.strictEqual(CommandLine.json(ended)["error"].reason, "Export", target)
        assert.match(ended.stderr, /^idem: can't write ".+": .{10,}; give another folder with --to\n$/, target)
      }
      const long = yield* run(["export", "work", "--to", Path.join(to, "n".repeat(300))])
      assert.match(long.stderr, /…": the name is too long; give another folder with --to\n$/)
      assert.deepStrictEqual(tree(to), { taken: "a file" })
    })
  )

  it.effect("leaves no half of a file behind where a body breaks off", () =>
    Effect.gen(function* () {
      const to = yield* temporary
      const folder = yield* Folder.open(to)
      const broken = Stream.concat(Stream.succeed(bytes("half")), Stream.fail("broken off"))
      assert.strictEqual(yield* Effect.flip(folder.write(["deep", "file"], broken)), "broken off")
      assert.deepStrictEqual(tree(to), {})
      // The next export removes the rest of a killed one.
      const left = `%tmp-${createHash("sha256").update("file").digest("hex").slice(0, 16)}`
      Fs.writeFileSync(Path.join(to, "deep", left), "left behind")
      assert.strictEqual(yield* folder.write(["deep", "file"], Stream.succeed(bytes("whole"))), 5)
      assert.deepStrictEqual(tree(to), { "deep/file": "whole" })
    }).pipe(Effect.provide(NodeServices.layer))
  )
})

describe("contents that are deleted and purged while an export runs", () => {
  for (const format of ["files", "ndjson"]) {
    it.effect(`are counted, and end no export as ${format}`, () =>
      Effect.gen(function* () {
        const purged = replaceMethods((real) => ({
          ...real,
          content: (id, externalId) => (externalId === "b" ? Effect.succeedNone : real.content(id, externalId))
        }))
        const store = Layer.provide(purged, Memory.layer)
        const { write } = yield* stored({ a: "1", b: "2", c: "3" }, { store })
        const ended = yield* write(format)
        assert.strictEqual(ended.code, 0, ended.stderr)
        assert.include(CommandLine.json(ended), { written: 2, skipped: 0, gone: 1 })
      })
    )
  }
})

describe("a content that is purged while its bytes are read", () => {
  /** Contents a, b and c. The body of b is purged once a part of it was read. */
  const purgedMidway = Effect.fnUntraced(function* (b: string, mediaType?: string) {
    let isPurged = false
    const purging = replaceMethods((real) => ({
      ...real,
      content: (id, externalId) => (externalId === "b" && isPurged ? Effect.succeedNone : real.content(id, externalId)),
      body: (hash, range) =>
        hash === createHash("sha256").update(b).digest("hex")
          ? Stream.concat(
              Stream.succeed(bytes(b.slice(1))),
              Stream.unwrap(
                Effect.sync(() => {
                  isPurged = true
                  return Stream.fail(new StoreError({ message: "a piece is not there", cause: "purged" }))
                })
              )
            )
          : real.body(hash, range)
    }))
    const contents = { a: "1", b, c: "3" }
    const store = Layer.provide(purging, Memory.layer)
    return { ...(yield* stored(contents, { store }, mediaType)), isPurged: () => isPurged }
  })

  for (const format of ["files", "ndjson"]) {
    it.effect(`is counted and leaves nothing, and ends no export as ${format}`, () =>
      Effect.gen(function* () {
        const { isPurged, to, write } = yield* purgedMidway("2")
        const ended = yield* write(format)
        assert.strictEqual(ended.code, 0, ended.stderr)
        assert.include(CommandLine.json(ended), { written: 2, skipped: 0, gone: 1 })
        assert.isTrue(isPurged())
        const files = tree(to)
        const ids = Object.entries(files).flatMap(([name, text]) =>
          format === "files"
            ? name
            : text
                .trim()
                .split("\n")
                .map((line) => JSON.parse(line).externalId as string)
        )
        assert.deepStrictEqual(ids, ["a", "c"])
      })
    )
  }

  for (const format of ["ndjson", "mbox"]) {
    it.effect(`ends an export into one ${format} file that has a part of it, leaves no file, and works again`, () =>
      Effect.gen(function* () {
        const { isPurged, to, write } = yield* purgedMidway("2".repeat(300_000), "message/rfc822")
        const ended = yield* write(format)
        assert.strictEqual(ended.code, 1)
        assert.include(ended.stderr, '\nidem: "b" was purged while it was read: export again\n')
        assert.isTrue(isPurged())
        assert.deepStrictEqual(tree(to), {})
        assert.include(CommandLine.json(yield* write(format)), { written: 2, gone: 1 })
      })
    )
  }
})

describe("a file that can't be written", () => {
  it.effect("is named with the system's reason, also where Effect knows none", () =>
    Effect.gen(function* () {
      const to = yield* temporary
      const cause = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })
      const full = FileSystem.FileSystem.use((fs) =>
        Effect.succeed({
          ...fs,
          open: () =>
            Effect.fail(
              systemError({ _tag: "Unknown", module: "FileSystem", method: "open", pathOrDescriptor: to, cause })
            )
        })
      )
      const folder = yield* Folder.open(to).pipe(Effect.provideServiceEffect(FileSystem.FileSystem, full))
      const error = yield* Effect.flip(folder.write(["a"], Stream.succeed(bytes("1"))))
      assert.match(error.message, /^can't write ".*a": the disk is full$/)
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
