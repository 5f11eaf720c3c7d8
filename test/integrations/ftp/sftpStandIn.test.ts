/** Behaviour of hostile and slow SFTP servers, and the ways to give a server a password. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { status } from "../../../src/integrations/ftp/SftpProtocol.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/SftpStandIn.ts"

const file = (name: string, bytes: Uint8Array = Buffer.from(name)): StandIn.Entry => ({
  name,
  kind: "file",
  bytes,
  modified: 1_700_000_000
})

const base = { password: "s3cret", method: "password" } as const

describe.concurrent("sftp", () => {
  for (const method of ["password", "keyboard-interactive"] as const) {
    it.live(`logs in by ${method}, and a wrong one pauses the connection without being repeated`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({ ...base, method, entries: [file("a", Buffer.alloc(700_000, 9))] })
        const opened = yield* Mirror.open(standIn.source)
        const results = yield* Mirror.downloadAll(opened, Mirror.chosen(yield* Mirror.list(opened)))
        // The server returns half of the requested bytes at a time.
        assert.isTrue(results.get("a")?.bytes?.equals(Buffer.alloc(700_000, 9)))
        const wrong = yield* Mirror.open({
          ...standIn.source,
          credentials: { username: "mirror", password: "hunter2" }
        })
        const error = yield* Effect.flip(wrong.session.account)
        assert.strictEqual(error.reason._tag, "Unauthorized")
        assert.notInclude(error.message, "hunter2")
      }).pipe(Effect.scoped)
    )
  }

  it.live("names that climb or point elsewhere are reported and never asked for", () =>
    Effect.gen(function* () {
      const names = ["../x", "/etc/passwd", "a/b", "n\0l"]
      const standIn = yield* StandIn.run({
        ...base,
        entries: [...names, "good", "new\nline"].map((name) => file(name))
      })
      const opened = yield* Mirror.open(standIn.source)
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["good", "new\nline"])
      assert.strictEqual(Mirror.problems(pages).length, names.length)
      const results = yield* Mirror.downloadAll(opened, Mirror.chosen(pages))
      assert.strictEqual(results.get("new\nline")?.bytes?.toString(), "new\nline")
      assert.isTrue(standIn.asked.every((path) => !/passwd|\.\./.test(path)))
    }).pipe(Effect.scoped)
  )

  it.live("a path that resolves out of the root is not opened", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        ...base,
        entries: [file("a")],
        real: (path) => (path === "/root/a" ? "/rootless/a" : path)
      })
      const opened = yield* Mirror.open(standIn.source)
      const result = yield* Mirror.download(opened, { externalId: "a" })
      assert.strictEqual(result.reason, "Forbidden")
      assert.isFalse(standIn.asked.includes("/rootless/a"))
    }).pipe(Effect.scoped)
  )

  it.live("the type of a name is taken from its long name if the permissions do not have it", () =>
    Effect.gen(function* () {
      const folder: StandIn.Entry = { name: "in", kind: "folder", modified: 1_700_000_000 }
      const standIn = yield* StandIn.run({ ...base, entries: [file("a"), folder], typeless: { longname: true } })
      const opened = yield* Mirror.openWith(standIn.source, { maxDepth: 1 })
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a", "in/a"])
      const results = yield* Mirror.downloadAll(opened, [{ externalId: "a" }])
      assert.strictEqual(results.get("a")?.bytes?.toString(), "a")
    }).pipe(Effect.scoped)
  )

  it.live("a name whose type the server does not report is a problem, and is not covered", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ ...base, entries: [file("a")], typeless: { longname: false } })
      const pages = yield* Mirror.list(yield* Mirror.open(standIn.source))
      assert.deepStrictEqual(Mirror.listed(pages), [])
      assert.match(Mirror.problems(pages).join(), /"a" was left out: the server does not report its type/)
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["a"] }])
    }).pipe(Effect.scoped)
  )

  it.live("a server that falls silent is given up, and asked again on a new connection", () =>
    Effect.gen(function* () {
      let silent = true
      const standIn = yield* StandIn.run({ ...base, entries: [file("a")], silent: () => silent })
      const config = { ...standIn.source.config, timeout: "2 seconds" }
      const opened = yield* Mirror.open({ ...standIn.source, config })
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a" })).reason, "Transient")
      silent = false
      // On a busy machine, a responsive server may also take this long.
      const again = yield* Effect.repeat(Mirror.download(opened, { externalId: "a" }), {
        until: ({ reason }) => reason !== "Transient"
      })
      assert.strictEqual(again.bytes?.toString(), "a")
    }).pipe(Effect.scoped)
  )

  it.live("a file that ends before its announced size is a failure, and nothing beyond its end is asked for", () =>
    Effect.gen(function* () {
      const chunk = 131_072
      const offsets: Array<number> = []
      const claims = 1_000 * chunk
      const standIn = yield* StandIn.run({
        ...base,
        entries: [file("a", Buffer.alloc(2 * chunk + 5, 7))],
        size: () => claims,
        onRead: (offset) => offsets.push(offset)
      })
      const opened = yield* Mirror.open(standIn.source)
      const result = yield* Mirror.download(opened, { externalId: "a" })
      assert.strictEqual(result.reason, "Transient")
      assert.match(result.message ?? "", new RegExp(`it ended at or before byte \\d+ of the ${claims}`))
      // Four requests are in flight at a time, and each is repeated until it is complete: no request begins after the
      // first one has met the end of the file.
      assert.isAtMost(Math.max(...offsets), 8 * chunk)
    }).pipe(Effect.scoped)
  )

  it.live("a file that became shorter while it was read is left for the next poll", () =>
    Effect.gen(function* () {
      const bytes = Buffer.alloc(300_000, 7)
      const standIn = yield* StandIn.run({
        ...base,
        entries: [file("a", bytes)],
        // The attributes by path have the previous size, and the attributes by handle the present one.
        size: (_, opened) => (opened ? bytes.length : 10_000_000)
      })
      const opened = yield* Mirror.open(standIn.source)
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a" })).reason, "Unsettled")
    }).pipe(Effect.scoped)
  )

  it.live("a folder whose listing never ends is a problem, and its listing is given up at the bound", () =>
    Effect.gen(function* () {
      let answers = 0
      const names = Array.from({ length: 900 }, (_, index) => file(`${"n".repeat(230)}${index}`, new Uint8Array(0)))
      const standIn = yield* StandIn.run({ ...base, entries: [], endless: () => (answers++, names) })
      const opened = yield* Mirror.open(standIn.source)
      const error = yield* Effect.flip(opened.session.estimate)
      assert.strictEqual(error.reason._tag, "Malformed")
      assert.match(error.message, /its listing is longer than 40000000 bytes/)
      assert.isAtMost(answers, 200)
    }).pipe(Effect.scoped)
  )

  it.live(
    "a folder that the server fails to list is a problem of that folder, and is tried again at the next poll",
    () =>
      Effect.gen(function* () {
        let failing = true
        const folder: StandIn.Entry = { name: "bad", kind: "folder", modified: 1_700_000_000 }
        const standIn = yield* StandIn.run({
          ...base,
          entries: [file("a"), folder, file("z")],
          failing: (path) => failing && path.startsWith("/root/bad")
        })
        const opened = yield* Mirror.open({ ...standIn.source, config: { ...standIn.source.config, maxDepth: 1 } })
        const pages = yield* Mirror.list(opened)
        assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a", "z"])
        assert.strictEqual(Mirror.problems(pages).length, 1)
        assert.match(Mirror.problems(pages)[0] ?? "", /^bad: .*Failure/)
        // No page covers the contents of the folder.
        assert.isTrue(pages.every(({ covers = [] }) => covers.every(({ except }) => except?.includes("bad/") === true)))
        failing = false
        assert.include(Mirror.idsOf(Mirror.listed(yield* Mirror.list(opened))), "bad/a")
      }).pipe(Effect.scoped)
  )

  // A stale NFS handle, and a parent folder that lost its permission.
  for (const [name, code] of [
    ["FAILURE", status.failure],
    ["PERMISSION_DENIED", status.forbidden]
  ] as const) {
    it.live(`a link that was followed before and is answered with ${name} is not covered, nor what is below it`, () =>
      Effect.gen(function* () {
        let isRefused = false
        const link = { name: "current", kind: "link", modified: 1_700_000_000 } as const
        const standIn = yield* StandIn.run({
          ...base,
          entries: [file("a"), link],
          real: (path) => (path === "/root/current" ? "/root/a" : path),
          refuses: (request, path) =>
            isRefused && request === "REALPATH" && path.endsWith("/current") ? code : undefined
        })
        const opened = yield* Mirror.open(standIn.source)
        assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(yield* Mirror.list(opened))), ["a", "current"])
        isRefused = true
        const pages = yield* Mirror.list(opened)
        assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a"])
        assert.match(Mirror.problems(pages).join("\n"), /current/)
        assert.deepStrictEqual(
          pages.flatMap(({ covers = [] }) => covers),
          [{ prefix: "", except: ["current"] }]
        )
      }).pipe(Effect.scoped)
    )
  }

  it.live("a connection that ends while links are followed lists the folder again", () =>
    Effect.gen(function* () {
      let drops = 1
      const links = ["one", "two"].map((name) => ({ name, kind: "link", modified: 1_700_000_000 }) as const)
      const standIn = yield* StandIn.run({
        ...base,
        entries: [file("a"), ...links],
        real: (path) => (/\/(one|two)$/.test(path) ? "/root/a" : path),
        refuses: (request, path) =>
          request === "REALPATH" && path.endsWith("/one") && drops-- > 0 ? "drop" : undefined
      })
      const opened = yield* Mirror.open(standIn.source)
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["a", "one", "two"])
      assert.deepStrictEqual([Mirror.problems(pages), drops < 1], [[], true])
    }).pipe(Effect.scoped)
  )

  it.live("a name with the replacement character that the server does not look up is not covered", () =>
    Effect.gen(function* () {
      let isRefused = false
      const standIn = yield* StandIn.run({
        ...base,
        entries: [file("a"), file("b\uFFFD")],
        refuses: (request, path) =>
          isRefused && request === "LSTAT" && path.includes("\uFFFD") ? status.failure : undefined
      })
      const opened = yield* Mirror.open(standIn.source)
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(yield* Mirror.list(opened))), ["a", "b\uFFFD"])
      isRefused = true
      const pages = yield* Mirror.list(opened)
      assert.deepStrictEqual(
        pages.flatMap(({ covers = [] }) => covers),
        [{ prefix: "", except: ["b\uFFFD"] }]
      )
    }).pipe(Effect.scoped)
  )

  // Five Transient failures in a row end a run, as if the source were down.
  for (const request of ["OPEN", "LSTAT"] as const) {
    it.live(`a file whose ${request} is answered with FAILURE fails alone, and its connection goes on`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          ...base,
          entries: [file("a"), file("locked")],
          refuses: (asked, path) => (asked === request && path.endsWith("/locked") ? status.failure : undefined)
        })
        const opened = yield* Mirror.open(standIn.source)
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "locked" })).reason, "Forbidden")
        assert.strictEqual((yield* Mirror.download(opened, { externalId: "a" })).bytes?.toString(), "a")
        assert.strictEqual(opened.calls.get("connect"), 1)
      }).pipe(Effect.scoped)
    )
  }

  it.live("a root that the server fails to list fails the listing", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ ...base, entries: [file("a")], failing: () => true })
      const opened = yield* Mirror.open(standIn.source)
      assert.strictEqual((yield* Effect.flip(opened.session.estimate)).reason._tag, "Transient")
    }).pipe(Effect.scoped)
  )

  it.live("a server that answers without a name and without an end is given up", () =>
    Effect.gen(function* () {
      let answers = 0
      const standIn = yield* StandIn.run({ ...base, entries: [], endless: () => (answers++, []) })
      const opened = yield* Mirror.open(standIn.source)
      const error = yield* Effect.flip(opened.session.estimate)
      assert.strictEqual(error.reason._tag, "Malformed")
      assert.strictEqual(answers, 11)
    }).pipe(Effect.scoped)
  )
})
