import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as PlatformError from "effect/PlatformError"
import * as Sink from "effect/Sink"
import { bytes, MemorySource } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"

describe("idem contents and show", () => {
  it.effect("page through what is stored by a cursor of their own connection", () =>
    Effect.gen(function* () {
      const { connect, run } = yield* CommandLine.connected(5)
      yield* run(["sync", "work"])
      const ids: Array<unknown> = []
      let after: ReadonlyArray<string> = []
      do {
        const page = CommandLine.json(yield* run(["contents", "work", "--limit", "2", ...after, "--json"]))
        const rows = page["contents"]
        assert.deepStrictEqual(Object.keys(rows[0] ?? {}), [
          "externalId",
          "kind",
          "state",
          "revision",
          "hash",
          "size",
          "title",
          "occurredAt",
          "updatedAt"
        ])
        ids.push(...rows.map((row: Record<string, string>) => row["externalId"]))
        after = page["next"] === null ? [] : ["--after", String(page["next"])]
      } while (after.length > 0)
      assert.deepStrictEqual(ids, ["m000000", "m000001", "m000002", "m000003", "m000004"])

      yield* connect("other")
      const { next } = CommandLine.json(yield* run(["contents", "work", "--limit", "1", "--json"]))
      const stranger = yield* run(["contents", "other", "--after", String(next)])
      assert.strictEqual(stranger.code, 2)
      assert.include(stranger.stderr, "another connection")
      assert.strictEqual((yield* run(["contents", "work", "--after", "x"])).code, 2)
    })
  )

  it.effect("give back a body byte for byte, and all that is known without it", () =>
    Effect.gen(function* () {
      const source = new MemorySource()
      const body = Uint8Array.from({ length: 70_000 }, (_, index) => index % 256)
      source.add("a/b c", {
        body,
        metadata: { subject: "x\u001b[31m" },
        at: DateTime.makeUnsafe("2026-01-02T03:04:05Z")
      })
      source.add("empty", { body: bytes("") })
      const { connect, run } = yield* CommandLine.make(source)
      yield* connect("work")
      yield* run(["sync", "work"])
      assert.deepStrictEqual(new Uint8Array((yield* run(["show", "work", "a/b c", "--raw"])).stdout), body)
      assert.strictEqual((yield* run(["show", "work", "empty", "--raw"])).stdout.length, 0)
      const document = CommandLine.json(yield* run(["show", "work", "a/b c", "--json"]))
      assert.include(document, { externalId: "a/b c", size: 70_000, occurredAt: "2026-01-02T03:04:05.000Z" })
      assert.match(String(document["hash"]), /^[0-9a-f]{64}$/)
      assert.include(CommandLine.text(yield* run(["show", "work", "a/b c"])), "x\\u{1b}[31m")
      const unknown = yield* run(["show", "work", "nothing"])
      assert.deepStrictEqual([unknown.code, unknown.stdout.length], [1, 0])
      assert.include(unknown.stderr, `"work" has no content with the id "nothing"`)
    })
  )

  it.effect("end quietly where nobody reads any more", () =>
    Effect.gen(function* () {
      const { run } = yield* CommandLine.connected(2)
      yield* run(["sync", "work"])
      const closed = () =>
        Sink.fail(
          PlatformError.systemError({
            module: "Stdio",
            method: "stdout",
            _tag: "Unknown",
            cause: Object.assign(new Error("write EPIPE"), { code: "EPIPE" })
          })
        )
      for (const args of [
        ["contents", "work"],
        ["show", "work", "m000001", "--raw"]
      ]) {
        const ended = yield* run(args, { stdout: closed })
        assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      }
    })
  )
})
