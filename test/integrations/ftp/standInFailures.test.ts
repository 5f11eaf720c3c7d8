import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { file, files, time } from "../../support/ftp/FtpStandIn.ts"

describe("a server that fails", () => {
  const first = (times: number, action: StandIn.Action) => {
    let left = times
    return () => (left-- > 0 ? action : undefined)
  }

  it.live("a connection that breaks is opened again, and the request repeated", () =>
    Effect.gen(function* () {
      const fail = first(1, { drop: true })
      const standIn = yield* StandIn.run({
        files: files("a"),
        script: (command) => (command === "MLSD" ? fail() : undefined)
      })
      const opened = yield* Mirror.open(standIn.source)
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(yield* Mirror.list(opened))), ["a"])
      assert.strictEqual(standIn.received.filter((line) => line.startsWith("USER")).length, 2)
    }).pipe(Effect.scoped)
  )

  it.live("a data connection that is reset before a refusal is read as the refusal", () =>
    Effect.gen(function* () {
      const present = files("there", "gone")
      const standIn = yield* StandIn.run({
        files: present,
        script: (command) => (command === "RETR" ? { data: "reset", last: "550 not this one" } : undefined)
      })
      const opened = yield* Mirror.open(standIn.source)
      const refs = Mirror.chosen(yield* Mirror.list(opened))
      present.delete("gone")
      const results = yield* Mirror.downloadAll(opened, refs)
      assert.strictEqual(results.get("gone")?.reason, "Gone")
      assert.include(["Transient", "Forbidden"], results.get("there")?.reason)
    }).pipe(Effect.scoped)
  )

  it.live("a file of which less came than the server says is not taken for whole", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("a", "whole"),
        script: (command, argument) =>
          command === "RETR" && argument === "/whole" ? { data: Buffer.from("who"), last: "226 done" } : undefined
      })
      const opened = yield* Mirror.open(standIn.source)
      const result = yield* Mirror.download(opened, { externalId: "whole" })
      assert.strictEqual(result.reason, "Transient")
      assert.match(result.message ?? "", /3 of its 5 bytes/)
    }).pipe(Effect.scoped)
  )

  it.live("a transfer that the server ends with an error fails, whatever bytes came", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("whole"),
        script: (command) =>
          command === "RETR" ? { data: Buffer.from("whole"), last: "451 the disk failed" } : undefined
      })
      const opened = yield* Mirror.open(standIn.source)
      // RFC 959 4.2.2: 451 is a local error about this file, so it proves nothing about the others.
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "whole" })).reason, "Forbidden")
    }).pipe(Effect.scoped)
  )

  it.live("a listing that the server cut short deletes nothing", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("cut/a", "b"),
        script: (command, argument) =>
          command === "MLSD" && argument === "/cut"
            ? {
                data: Buffer.from(`type=file;size=5;modify=${time}; a\r\n`),
                last: "226-Output truncated to 1 matches\r\n226 1 matches total"
              }
            : undefined
      })
      const pages = yield* Mirror.list(yield* Mirror.open(standIn.source))
      assert.deepStrictEqual(Mirror.idsOf(Mirror.listed(pages)), ["b", "cut/a"])
      assert.deepStrictEqual(pages.at(-1)?.covers, [{ prefix: "", except: ["cut/"] }])
      assert.match(Mirror.problems(pages).join(), /truncated/)
    }).pipe(Effect.scoped)
  )

  it.live("a server that falls silent is given up after the time-out", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({
        files: files("a"),
        script: (command) => (command === "RETR" ? { data: "silent", last: "" } : undefined)
      })
      const opened = yield* Mirror.openWith(standIn.source, { timeout: "100 millis" })
      assert.strictEqual((yield* Mirror.download(opened, { externalId: "a" })).reason, "Transient")
    }).pipe(Effect.scoped)
  )

  for (const [reply, reason] of [
    ["421 Too many connections from your IP address", "RateLimited"],
    ["530 Sorry, the maximum number of clients (3) for this user are already connected.", "RateLimited"],
    ["421 going down", "Transient"],
    ["530 Login incorrect.", "Unauthorized"]
  ] as const) {
    it.live(`"${reply}" at login is ${reason}`, () =>
      Effect.gen(function* () {
        const standIn = yield* StandIn.run({
          files: files("a"),
          script: (command) => (command === "PASS" ? `${reply} s3cret` : undefined)
        })
        const opened = yield* Mirror.open(standIn.source)
        const error = yield* Effect.flip(opened.session.account)
        assert.strictEqual(error.reason._tag, reason)
        assert.notInclude(error.message, "s3cret")
      }).pipe(Effect.scoped)
    )
  }

  it.live("an empty file has an empty body", () =>
    Effect.gen(function* () {
      const standIn = yield* StandIn.run({ files: new Map([["empty", file("", time)]]) })
      const opened = yield* Mirror.open(standIn.source)
      const result = yield* Mirror.download(opened, { externalId: "empty" })
      assert.strictEqual(result.bytes?.length, 0)
    }).pipe(Effect.scoped)
  )
})
