/** Servers that refuse connections or do not answer, from bug reports. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { files, received } from "../../support/ftp/FtpStandIn.ts"

describe.concurrent("a server that allows few connections", () => {
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
        const sync = Effect.fnUntraced(function* (connection: Connection) {
          yield* standIn.open
          return yield* TestEngine.sync(connection)
        })
        yield* Mirror.withEngine(
          standIn.source,
          Effect.fnUntraced(function* (connection) {
            const first = yield* sync(connection)
            assert.deepInclude(first.counts, { listed: 300, stored: 300, failed: 0, deferred: 0 })
            assert.isAtLeast(standIn.refusals(), 1)
            const before = standIn.refusals()
            const second = yield* sync(connection)
            assert.deepInclude(second.counts, { listed: 300, unchanged: 300, failed: 0, deferred: 0 })
            // Each pass tries one more connection.
            assert.isAtMost(standIn.refusals() - before, 1)
          })
        )
      }).pipe(Effect.scoped)
    )
  }

  it.live("a login that is refused while no other connection is open is refused", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: files("a"), cap: { connections: 0, refusal: "530" } })
      const error = yield* Effect.flip((yield* Mirror.open(standIn.source)).session.account)
      assert.strictEqual(error.reason._tag, "Unauthorized")
    }).pipe(Effect.scoped)
  )
})

describe.concurrent("a server that is silent", () => {
  it.live("a blocked file ends after its time-out, is asked for once, and holds up no other", () =>
    Effect.gen(function* () {
      // vsftpd opens a FIFO as if it were a file, and waits for a writer.
      const names = Array.from({ length: 20 }, (_, index) => `${index}`)
      const standIn = yield* StandIn.run({
        files: files("fifo", ...names),
        script: (command, argument) =>
          command === "RETR" && argument === "/fifo" ? { data: "silent", last: "" } : undefined
      })
      const opened = yield* Mirror.openWith(standIn.source, { timeout: "2 seconds" })
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
        const opened = yield* Mirror.openWith(standIn.source, { timeout: "2 seconds" })
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
      const opened = yield* Mirror.openWith(standIn.source, { timeout: "2 seconds" })
      assert.strictEqual((yield* Effect.flip(opened.session.estimate)).reason._tag, "Transient")
    }).pipe(Effect.scoped)
  )

  it.live("a file whose transfer is reset before its first byte is unreadable after a second attempt", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("locked"),
        script: (command) => (command === "RETR" ? { data: "reset", last: "550 locked: Permission denied" } : undefined)
      })
      const opened = yield* Mirror.open(standIn.source)
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "locked" })).reason, "Forbidden")
      assert.isAtMost(received(standIn, "RETR").length, 2)
    }).pipe(Effect.scoped)
  )
})
