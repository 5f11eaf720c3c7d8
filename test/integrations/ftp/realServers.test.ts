/** The laws of the `ftp` integration against Debian's servers. Where one is missing, its tests skip and say why. */
import { createHash, generateKeyPairSync } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SyncTask from "../../../src/contract/SyncTask.ts"
import { freePort } from "../../support/FreePort.ts"
import * as Servers from "../../support/FtpServers.ts"
import { skips } from "../../support/Requirement.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"

const write = (server: Servers.Running, path: string | Buffer, bytes: string | Uint8Array) => {
  const below = typeof path === "string" ? Buffer.from(path) : path
  const full = Buffer.concat([Buffer.from(`${server.files}/`), below])
  const slash = full.lastIndexOf("/")
  Fs.mkdirSync(full.subarray(0, slash), { recursive: true })
  Fs.writeFileSync(full, bytes)
}

/** Sets a file's time, in whole seconds, which every server gives. */
const touch = (server: Servers.Running, path: string, seconds: number) =>
  Fs.utimesSync(Path.join(server.files, path), seconds, seconds)

const revisionsOf = (results: ReadonlyMap<string, Mirror.Downloaded>) =>
  new Map([...results].map(([id, { content }]) => [id, content?.revision]))

const suite = (kind: Servers.Kind) => {
  const why = Servers.missing(kind)
  if (skips(`the tests of ${kind}`, why)) {
    describe(kind, () => it.skip(`not run: ${why}`, () => undefined))
    return
  }
  describe(kind, () => {
    // More than a page holds. The others' listings go into pages by the same code.
    const count = kind === "vsftpd" ? 700 : 100
    it.live(`mirrors ${count} files byte for byte, in bounded pages, one listing a folder`, () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
      }).pipe(Effect.scoped)
    )

    it.live("by revision, downloads nothing twice but what was touched or changed", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
      }).pipe(Effect.scoped)
    )

    it.live("leaves a file that grows during the poll for the next one", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
      }).pipe(Effect.scoped)
    )

    it.live("reports folders that may not be read, and covers all but those", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
        // A file that cannot be seen is not called gone.
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/closed/file" })).reason, "Forbidden")
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/open/none" })).reason, "Gone")
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/none/none" })).reason, "Gone")
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a/open" })).reason, "Malformed")
      }).pipe(Effect.scoped)
    )

    it.live("tells a file that may not be read from one that is gone", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
        for (const name of ["secret", "gone", "there"]) write(server, name, name)
        Fs.chmodSync(Path.join(server.files, "secret"), 0o600)
        const opened = yield* Mirror.open(server)
        const refs = Mirror.chosen(yield* Mirror.list(opened))
        Fs.rmSync(Path.join(server.files, "gone"))
        const results = yield* Mirror.downloadAll(opened, refs)
        assert.strictEqual(results.get("secret")?.reason, "Forbidden")
        assert.strictEqual(results.get("gone")?.reason, "Gone")
        assert.strictEqual(results.get("there")?.bytes?.toString(), "there")
      }).pipe(Effect.scoped)
    )

    it.live("reads names with spaces, quotes, patterns and bytes that are no UTF-8", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
      }).pipe(Effect.scoped)
    )

    it.live("follows no link out of the root, and no loop for ever", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
        // FTP can't tell where a link leads; SFTP can, and follows what stays inside.
        assert.deepStrictEqual(ids, kind === "openssh" ? ["alias", "real/file", "twin/file"] : ["real/file"])
        assert.match(Mirror.problems(pages).join("\n"), /link/)
        for (const externalId of ["passwd", "etc/passwd"]) {
          const result = yield* Mirror.download(opened, { externalId })
          assert.include(["Forbidden", "Gone"], result.reason)
          assert.isUndefined(result.bytes)
        }
      }).pipe(Effect.scoped)
    )

    it.live("resumes a pass in the middle of a folder, and loses and repeats nothing", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
        for (let index = 0; index < 1_100; index++) {
          write(server, `${index % 2}/deep/${String(index).padStart(4, "0")}`, "x")
        }
        for (let index = 0; index < 150; index++) Fs.mkdirSync(Path.join(server.files, `empty ${index}`))
        const opened = yield* Mirror.open(server)
        const whole = yield* Mirror.list(opened)
        assert.isAbove(whole.length, 3)
        const expected = Mirror.listed(whole).map(({ externalId }) => externalId)
        assert.strictEqual(new Set(expected).size, 1_100)
        for (const [index, page] of whole.slice(0, -1).entries()) {
          const rest = yield* Mirror.list(opened, { checkpoint: page.checkpoint })
          const seen = [...whole.slice(0, index + 1), ...rest]
          assert.deepStrictEqual(
            Mirror.listed(seen).map(({ externalId }) => externalId),
            expected
          )
          assert.strictEqual(rest[0]?.listing, page.listing)
        }
      }).pipe(Effect.scoped)
    )

    it.live("downloads forced ids by their paths, with no listing", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
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
      }).pipe(Effect.scoped)
    )

    it.live("a body that nobody reads to its end gives its connection back", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
        write(server, "large", Buffer.alloc(8_000_000, 7))
        const opened = yield* Mirror.open({ ...server, config: { ...server.config, connections: 1 } })
        const [ref] = Mirror.listed(yield* Mirror.list(opened))
        const { body } = yield* opened.session.download(ref!)
        if (body instanceof Uint8Array) return assert.fail("a large body is a stream")
        const some = yield* Stream.runCollect(Stream.take(body, 1))
        assert.strictEqual(some.length, 1)
        // Interrupted with nobody pulling: the second reader would wait for ever for the only connection.
        const fiber = yield* Effect.forkChild(Stream.runForEach(body, () => Effect.never))
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.strictEqual((yield* Mirror.download(opened, ref!)).bytes?.length, 8_000_000)
      }).pipe(Effect.scoped)
    )

    it.live("fails the listing where the root is missing", () =>
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
        const root = Path.join(String(server.config.root ?? "/"), "nowhere")
        const opened = yield* Mirror.open({ ...server, config: { ...server.config, root } })
        const error = yield* Effect.flip(Mirror.list(opened))
        assert.match(String(error), /nowhere|root folder/)
      }).pipe(Effect.scoped)
    )
  })
}

suite("pure-ftpd")
suite("vsftpd")
suite("openssh")

/** A test that needs a server. If the server is missing, the test skips and says why. */
const needs = <E>(kind: Servers.Kind, name: string, test: Effect.Effect<void, E, Scope.Scope>) => {
  const why = Servers.missing(kind)
  if (skips(name, why)) it.skip(`${name} (not run: ${why})`, () => undefined)
  else it.live(name, () => Effect.scoped(test))
}

/** The reason and the message of what becomes of a connection with this config. */
const outcome = (source: Mirror.Source) =>
  Effect.flatMap(Mirror.open(source), ({ session }) => session.account).pipe(
    Effect.catchTag("IntegrationError", ({ message, reason }) => Effect.succeed(`${reason._tag}: ${message}`))
  )

describe("how many connections are allowed", () => {
  for (const cap of [2, 3]) {
    needs(
      "pure-ftpd",
      `300 files come whole from a pure-ftpd that allows ${cap}`,
      Effect.gen(function* () {
        const server = yield* Servers.run("pure-ftpd", cap)
        for (let index = 0; index < 300; index++) write(server, `${index}`, `${index}`)
        const opened = yield* Mirror.open(server)
        const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
        assert.strictEqual(results.size, 300)
        for (const [id, { bytes, reason }] of results) assert.strictEqual(reason ?? bytes?.toString(), id)
        assert.isAtMost(opened.calls.get("connect") ?? 0, 6)
      })
    )
  }
})

describe("who is let in, and who is trusted", () => {
  for (const kind of ["pure-ftpd with TLS", "vsftpd with implicit TLS"] as const) {
    needs(
      kind,
      `${kind}: files pass through, and only a certificate that is trusted is spoken to`,
      Effect.gen(function* () {
        const server = yield* Servers.run(kind)
        write(server, "a/file", Buffer.alloc(1_000_000, 3))
        const opened = yield* Mirror.open(server)
        const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
        assert.strictEqual(results.get("a/file")?.bytes?.length, 1_000_000)
        const { ca: _ca, ...withoutCa } = server.config
        const user = server.credentials.username ?? "anonymous"
        const account = `ftps://${user}@localhost:${String(server.config.port)}`
        assert.strictEqual(yield* outcome(server), account)
        assert.match(yield* outcome({ ...server, config: withoutCa }), /^Unauthorized: .*certificate is not trusted/)
        const other = { ...server.config, host: "127.0.0.1" }
        assert.match(yield* outcome({ ...server, config: other }), /^Unauthorized: .*certificate is not trusted/)
        assert.strictEqual(yield* outcome({ ...server, config: { ...withoutCa, verifyCertificate: false } }), account)
      })
    )
  }

  needs(
    "pure-ftpd with TLS",
    "a server that wants TLS is told from one that refuses the password",
    Effect.gen(function* () {
      const server = yield* Servers.run("pure-ftpd with TLS")
      const config = { protocol: "ftp", host: "127.0.0.1", port: server.config.port }
      assert.match(yield* outcome({ ...server, config }), /^Unauthorized: .*"protocol": "ftps"/)
    })
  )

  needs(
    "pure-ftpd",
    "a wrong password pauses the connection, and is not repeated in the message",
    Effect.gen(function* () {
      const server = yield* Servers.run("pure-ftpd")
      const credentials = { username: "mirror", password: "hunter2 é" }
      const message = yield* outcome({ ...server, credentials })
      assert.match(message, /^Unauthorized: /)
      assert.notInclude(message, "hunter2")
      const key = { username: "mirror", privateKey: "no key" }
      assert.match(yield* outcome({ ...server, credentials: key }), /^Unauthorized: .*logs in with a password/)
    })
  )

  needs(
    "openssh",
    "the first host key is kept, and another than the known one is refused before any login",
    Effect.gen(function* () {
      const server = yield* Servers.run("openssh")
      const { hostKey: _hostKey, ...unknown } = server.config
      const account = `sftp://nobody@127.0.0.1:${String(server.config.port)}`
      assert.strictEqual(yield* outcome({ ...server, config: unknown }), account)
      assert.strictEqual(yield* outcome(server), account)
      const wrong = `SHA256:${"A".repeat(43)}`
      const refused = yield* outcome({ ...server, config: { ...unknown, hostKey: wrong } })
      assert.match(refused, /^Unauthorized: .*not the one that is known/)
      assert.include(refused, `"hostKey": "${server.fingerprint}"`)
      const kept = { ...server.credentials, knownHost: server.fingerprint }
      assert.strictEqual(yield* outcome({ ...server, config: unknown, credentials: kept }), account)
      const impostor = { ...server.credentials, knownHost: wrong }
      assert.strictEqual(yield* outcome({ ...server, config: unknown, credentials: impostor }), refused)
      const several = { ...unknown, hostKey: [wrong, server.hostKey] }
      assert.strictEqual(yield* outcome({ ...server, config: several }), account)
    })
  )

  needs(
    "openssh",
    "a key that the server does not know pauses the connection, and is not repeated in the message",
    Effect.gen(function* () {
      const server = yield* Servers.run("openssh")
      const privateKey = "-----BEGIN OPENSSH PRIVATE KEY-----\nbm90IGEga2V5\n-----END OPENSSH PRIVATE KEY-----\n"
      const message = yield* outcome({ ...server, credentials: { username: "nobody", privateKey } })
      assert.match(message, /^Unauthorized: /)
      assert.notInclude(message, "bm90IGEga2V5")
      const encoding = { type: "pkcs1", format: "pem" } as const
      const another = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export(encoding).toString()
      assert.match(
        yield* outcome({ ...server, credentials: { username: "nobody", privateKey: another } }),
        /^Unauthorized: .*authentication methods failed/
      )
    })
  )

  it.live("a server that is not there may be there next time", () =>
    Effect.gen(function* () {
      const port = yield* freePort
      for (const protocol of ["ftp", "ftps", "sftp"]) {
        const config = { protocol, host: "127.0.0.1", port, hostKey: "SHA256:none" }
        const message = yield* outcome({ config, credentials: { username: "u", password: "p" } })
        assert.match(message, /^Transient: 127\.0\.0\.1:\d+: login: .*ECONNREFUSED/)
      }
    }).pipe(Effect.scoped)
  )
})
