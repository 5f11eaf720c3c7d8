/**
 * The laws of the `ftp` integration against Debian's servers. If a server is missing, its tests are skipped with the
 * reason.
 */
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import { testsOn, touch, write } from "./realServer.ts"

const revisionsOf = (results: ReadonlyMap<string, Mirror.Downloaded>) =>
  new Map([...results].map(([id, { content }]) => [id, content?.revision]))

for (const kind of ["pure-ftpd", "vsftpd", "openssh"] as const) {
  const test = testsOn(kind)
  describe(kind, () => {
    // More files than fit on a page. The listings of the other servers are paged by the same code.
    const count = kind === "vsftpd" ? 540 : 60
    test(`mirrors ${count} files byte for byte, in bounded pages, one listing a folder`, function* (server) {
      const expected = new Map<string, string>()
      for (let index = 0; index < count; index++) {
        const path = `folder ${index % 40}/sub/file "${index}" é.bin`
        const bytes = createHash("sha512")
          .update(`${index}`)
          .digest()
          .subarray(0, index % 65)
        write(server, path, bytes)
        expected.set(path, Buffer.from(bytes).toString("hex"))
      }
      const opened = yield* Mirror.open(server)
      const pages = yield* Mirror.list(opened)
      assert.strictEqual(opened.calls.get("list"), 81)
      assert.isTrue(pages.every((page) => page.listed.length <= 500))
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: [] }])
      assert.strictEqual(new Set(pages.map((page) => page.listing)).size, 1)
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(pages))
      assert.deepStrictEqual(
        new Map([...results].map(([id, { bytes, reason }]) => [id, reason ?? bytes?.toString("hex")])),
        new Map([...expected].sort(([a], [b]) => (a < b ? -1 : 1)))
      )
      const again = yield* Mirror.list(opened, { checkpoint: pages.at(-1)?.checkpoint })
      assert.strictEqual(Mirror.chosen(again).length, count)
      assert.notStrictEqual(again[0]?.listing, pages[0]?.listing)
    })

    test("by revision, downloads nothing twice but what was touched or changed", function* (server) {
      for (const name of ["same", "touched", "changed", "deleted"]) {
        write(server, `in/${name}`, "four")
        touch(server, `in/${name}`, 1_700_000_000)
      }
      const opened = yield* Mirror.open({ ...server, config: { ...server.config, compare: "revision" } })
      const first = yield* Mirror.list(opened)
      const known = revisionsOf(yield* Mirror.downloadAll(opened, Mirror.chosen(first)))
      assert.strictEqual(known.get("in/same"), "4 2023-11-14T22:13:20Z")
      const checkpoint = first.at(-1)?.checkpoint
      assert.deepStrictEqual(Mirror.chosen(yield* Mirror.list(opened, { known, checkpoint })), [])

      touch(server, "in/touched", 1_700_000_001)
      write(server, "in/changed", "FOUR")
      Fs.rmSync(Path.join(server.files, "in/deleted"))
      const second = yield* Mirror.list(opened, { known, checkpoint })
      const ids = (refs: ReadonlyArray<{ readonly externalId: string }>) => refs.map(({ externalId }) => externalId)
      assert.deepStrictEqual(ids(Mirror.listed(second)), ["in/changed", "in/same", "in/touched"])
      assert.deepStrictEqual(ids(Mirror.chosen(second)), ["in/changed", "in/touched"])
      assert.deepStrictEqual(second.at(-1)?.covers, [{ prefix: "", except: [] }])
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(second))
      assert.strictEqual(results.get("in/changed")?.bytes?.toString(), "FOUR")
      // The compared fields of a touched file have not changed.
      assert.deepStrictEqual(results.get("in/touched")?.content?.metadata, {
        path: "in/touched",
        name: "touched",
        size: 4
      })
    })

    test("leaves a file that grows during the poll for the next one", function* (server) {
      write(server, "listed", "be")
      write(server, "large", Buffer.alloc(4_000_000, 1))
      const opened = yield* Mirror.open(server)
      const refs = Mirror.chosen(yield* Mirror.list(opened))
      Fs.appendFileSync(Path.join(server.files, "listed"), "fore")
      const [large, small] = refs
      assert.strictEqual((yield* Mirror.download(opened, small!)).reason, "Unsettled")

      const content = yield* opened.session.download(large!)
      assert.isFalse(content.body instanceof Uint8Array)
      if (content.body instanceof Uint8Array) return
      let grown = false
      const reading = content.body.pipe(
        Stream.tap(() =>
          Effect.sync(() => {
            if (!grown) Fs.appendFileSync(Path.join(server.files, "large"), "more")
            grown = true
          })
        ),
        Stream.runDrain
      )
      assert.strictEqual((yield* Effect.flip(reading)).reason._tag, "Unsettled")

      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
      assert.strictEqual(results.get("listed")?.bytes?.toString(), "before")
      assert.strictEqual(results.get("large")?.bytes?.length, 4_000_004)
    })

    test("reports folders that may not be read, and covers all but those", function* (server) {
      for (const folder of ["closed", "enterable", "open"]) write(server, `a/${folder}/file`, folder)
      write(server, "z", "last")
      Fs.chmodSync(Path.join(server.files, "a/closed"), 0o700)
      Fs.chmodSync(Path.join(server.files, "a/enterable"), 0o711)
      const opened = yield* Mirror.open(server)
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(
        Mirror.listed(pages).map(({ externalId }) => externalId),
        ["z", "a/open/file"]
      )
      assert.deepStrictEqual(
        pages.flatMap((page) => page.problems ?? []).map(({ place }) => place),
        ["a/closed", "a/enterable"]
      )
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["a/closed/", "a/enterable/"] }])
      // A file that can't be seen is not reported as gone.
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/closed/file" })).reason, "Forbidden")
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/open/none" })).reason, "Gone")
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/none/none" })).reason, "Gone")
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/open" })).reason, "Malformed")
    })

    test("tells a file that may not be read from one that is gone", function* (server) {
      for (const name of ["secret", "gone", "there"]) write(server, name, name)
      Fs.chmodSync(Path.join(server.files, "secret"), 0o600)
      const opened = yield* Mirror.open(server)
      const refs = Mirror.chosen(yield* Mirror.list(opened))
      Fs.rmSync(Path.join(server.files, "gone"))
      const results = yield* Mirror.downloadAll(opened, refs)
      assert.strictEqual(results.get("secret")?.reason, "Forbidden")
      assert.strictEqual(results.get("gone")?.reason, "Gone")
      assert.strictEqual(results.get("there")?.bytes?.toString(), "there")
    })

    test("reads names with spaces, quotes, patterns and bytes that are no UTF-8", function* (server) {
      const names = [
        " lead",
        "trail ",
        "a  b",
        "quote\"'`",
        "g*[1]{a}?",
        "100%.txt",
        "caf%E9",
        "-a",
        "ünï",
        "日本",
        "🐘",
        "x;type=dir; y"
      ]
      // pure-ftpd refuses to read such a name.
      if (!kind.startsWith("pure")) names.push("back\\slash")
      for (const name of names) write(server, name, name)
      for (const folder of [" f", "f*", "-R", "100%25"]) write(server, `${folder}/in`, folder)
      write(server, Buffer.from([0x63, 0xe9]), "latin1")
      write(server, "real\uFFFD", "replacement")
      const opened = yield* Mirror.open(server)
      const pages = yield* Mirror.list(opened)
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(pages))
      const found = new Map([...results].map(([id, { bytes, message }]) => [id, message ?? bytes?.toString()]))
      const ids = (name: string) => name.replace("caf%E9", "caf%25E9").replace("100%25", "100%2525")
      for (const name of [...names, "real\uFFFD"]) {
        assert.strictEqual(found.get(ids(name)), name === "real\uFFFD" ? "replacement" : name)
      }
      for (const folder of [" f", "f*", "-R", "100%25"]) assert.strictEqual(found.get(`${ids(folder)}/in`), folder)
      if (kind === "openssh") {
        assert.strictEqual(found.size, names.length + 5)
        assert.match(Mirror.problems(pages).join(), /not UTF-8/)
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "c%E9" })).reason, "Malformed")
      } else assert.strictEqual(found.get("c%E9"), "latin1")
    })

    test("follows no link out of the root, and no loop for ever", function* (server) {
      write(server, "real/file", "real")
      for (const [from, to] of [
        ["passwd", "/etc/passwd"],
        ["etc", "/etc"],
        ["up", ".."],
        ["real/again", "../real"],
        ["alias", "real/file"],
        ["twin", "real"],
        ["broken", "nowhere"]
      ] as const) {
        Fs.symlinkSync(to, Path.join(server.files, from))
      }
      const opened = yield* Mirror.open(server)
      const pages = yield* Mirror.list(opened)
      const ids = Mirror.listed(pages).map(({ externalId }) => externalId)
      // FTP can't tell where a link points; SFTP can, and links to targets below the root are followed.
      assert.deepStrictEqual(ids, kind === "openssh" ? ["alias", "real/file", "twin/file"] : ["real/file"])
      assert.match(Mirror.problems(pages).join("\n"), /link/)
      for (const externalId of ["passwd", "etc/passwd"]) {
        const result = yield* Mirror.download(opened, { externalId })
        assert.include(["Forbidden", "Gone"], result.reason)
        assert.isUndefined(result.bytes)
      }
    })

    test("resumes a pass in the middle of a folder, and loses and repeats nothing", function* (server) {
      for (let index = 0; index < 600; index++) {
        write(server, `${index % 2}/deep/${String(index).padStart(4, "0")}`, "x")
      }
      for (let index = 0; index < 110; index++) Fs.mkdirSync(Path.join(server.files, `empty ${index}`))
      const opened = yield* Mirror.open(server)
      const whole = yield* Mirror.list(opened)
      assert.isAbove(whole.length, 2)
      const expected = Mirror.listed(whole).map(({ externalId }) => externalId)
      assert.strictEqual(new Set(expected).size, 600)
      for (const [index, page] of whole.slice(0, -1).entries()) {
        const rest = yield* Mirror.list(opened, { checkpoint: page.checkpoint })
        const seen = [...whole.slice(0, index + 1), ...rest]
        assert.deepStrictEqual(
          Mirror.listed(seen).map(({ externalId }) => externalId),
          expected
        )
        assert.strictEqual(rest[0]?.listing, page.listing)
      }
    })

    test("downloads forced ids by their paths, with no listing", function* (server) {
      write(server, "a/b", "forced")
      const opened = yield* Mirror.open(server)
      const task = { ...SyncTask.poll, forceIds: ["a/b"] }
      assert.deepStrictEqual(yield* Mirror.list(opened, { task }), [])
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/b" })).bytes?.toString(), "forced")
      assert.isUndefined(opened.calls.get("list"))
      for (const externalId of ["../x", "/etc/passwd", "a/../b", "a//b", "./a", "a/."]) {
        const before = [...opened.calls.values()].reduce((a, b) => a + b, 0)
        assert.strictEqual((yield* Mirror.download(opened, { externalId })).reason, "Malformed")
        assert.strictEqual(
          [...opened.calls.values()].reduce((a, b) => a + b, 0),
          before
        )
      }
    })

    test("a body that nobody reads to its end gives its connection back", function* (server) {
      write(server, "large", Buffer.alloc(8_000_000, 7))
      const opened = yield* Mirror.open({ ...server, config: { ...server.config, connections: 1 } })
      const [ref] = Mirror.listed(yield* Mirror.list(opened))
      const { body } = yield* opened.session.download(ref!)
      if (body instanceof Uint8Array) return assert.fail("a large body is a stream")
      const some = yield* Stream.runCollect(Stream.take(body, 1))
      assert.strictEqual(some.length, 1)
      // Interrupts a reader that has stopped pulling: otherwise the second reader would wait for ever for the only
      // connection.
      const fiber = yield* Effect.forkChild(Stream.runForEach(body, () => Effect.never))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* Mirror.download(opened, ref!)).bytes?.length, 8_000_000)
    })

    test("fails the listing where the root is missing", function* (server) {
      const root = Path.join(String(server.config.root ?? "/"), "nowhere")
      const opened = yield* Mirror.open({ ...server, config: { ...server.config, root } })
      const error = yield* Effect.flip(Mirror.list(opened))
      assert.match(String(error), /nowhere|root folder/)
    })
  })
}
