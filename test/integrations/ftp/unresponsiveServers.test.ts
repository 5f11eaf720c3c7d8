/** Servers that refuse connections or do not respond, from bug reports. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Connection } from "../../../src/engine/model/Connection.ts"
import { turn } from "../../support/Moving.ts"
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
          files: files(...Array.from({ length: 60 }, (_, index) => `${index}`)),
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
            assert.deepInclude(first.counts, { stored: 60, failed: 0, deferred: 0 })
            assert.isAtLeast(standIn.refusals(), 1)
            const before = standIn.refusals()
            const second = yield* sync(connection)
            const { listed } = second.counts
            assert.deepInclude(second.counts, { unchanged: listed, stored: 0, failed: 0, deferred: 0 })
            // Each pass tries one more connection. On a busy machine there are several passes, each in its own slice.
            assert.isAtMost(standIn.refusals() - before, Math.max(1, listed / 60))
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
  /** vsftpd opens a FIFO like a file, and waits for a writer. */
  const blocked = (...others: ReadonlyArray<string>) =>
    StandIn.run({
      files: files("fifo", ...others),
      script: (command, argument) =>
        command === "RETR" && argument === "/fifo" ? { data: "silent", last: "" } : undefined
    })

  /**
   * Repeats the request until the server has received this command, because on a busy machine any earlier response may
   * be late.
   */
  const askedFor = <A, E, R>(standIn: StandIn.StandIn, command: string, ask: Effect.Effect<A, E, R>) =>
    Effect.repeat(ask, { until: () => received(standIn, command).length > 0 })

  it.live("a blocked file ends after its time-out, and is asked for once", () =>
    Effect.gen(function* () {
      const standIn = yield* blocked()
      const opened = yield* Mirror.openWith(standIn.source, { timeout: "2 seconds" })
      const { reason } = yield* askedFor(standIn, "RETR", Mirror.download(opened, { externalId: "fifo" }))
      assert.deepStrictEqual([reason, received(standIn, "RETR")], ["Transient", ["RETR /fifo"]])
    }).pipe(Effect.scoped)
  )

  it.live("a blocked file holds up no other", () =>
    Effect.gen(function* () {
      const standIn = yield* blocked(...Array.from({ length: 20 }, (_, index) => `${index}`))
      const opened = yield* Mirror.openWith(standIn.source, { timeout: "1 hour" })
      const chosen = Mirror.chosen(yield* Mirror.list(opened))
      const others = chosen.filter(({ externalId }) => externalId !== "fifo")
      yield* Effect.forkScoped(Mirror.download(opened, { externalId: "fifo" }))
      yield* Effect.repeat(turn, { until: () => received(standIn, "RETR").length > 0 })
      const results = yield* Mirror.downloadAll(opened, others)
      assert.deepStrictEqual(
        [...results.values()].map(({ bytes, reason }) => reason ?? bytes?.toString()),
        others.map(({ externalId }) => externalId)
      )
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
            ? Effect.map(Mirror.download(opened, { externalId: "a" }), ({ reason }) => reason)
            : Effect.map(Effect.flip(opened.session.estimate), ({ reason }) => reason._tag)
        assert.strictEqual(yield* askedFor(standIn, silent, reason), "Transient")
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
