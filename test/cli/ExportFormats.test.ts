import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { fromContext, WholeStore, replaceMethods } from "../../src/testing/WholeStore.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { bytes } from "../support/MemorySource.ts"
import * as CommandLine from "./CommandLine.ts"
import { tree, stored } from "./exportFixture.ts"

describe("idem export --format eml and mbox", () => {
  it.effect("skip files without a media type", () =>
    Effect.gen(function* () {
      const untyped = replaceMethods((real) => ({
        ...real,
        contents: (id, selection) =>
          Effect.map(real.contents(id, selection), (page) => ({
            ...page,
            contents: page.contents.map((row) => ({ ...row, mediaType: null, kind: row.externalId }))
          }))
      }))
      const store = Layer.provide(untyped, Memory.layer)
      const { to, write } = yield* stored({ file: "text", message: "From: a@b.example\n\n" }, { store })
      assert.include(CommandLine.json(yield* write("eml")), { written: 1, skipped: 1 })
      assert.deepStrictEqual(Object.keys(tree(to)), ["message.eml"])
    })
  )

  it.effect("write mails, and skip what says that it is none", () =>
    Effect.gen(function* () {
      const { context, run, to, write } = yield* stored({ one: "From: a@b.example\n\nFrom me\n" })
      const skipped = CommandLine.json(yield* write("eml"))
      assert.include(skipped, { written: 0, skipped: 1 })
      assert.deepStrictEqual(tree(to), {})

      const store = fromContext(context)
      const mail = yield* store.createConnection({
        name: "mail/box",
        domain: "gmail",
        account: "me@example.com",
        config: {},
        credentials: new Uint8Array(),
        every: (yield* store.connections)[0]!.every
      })
      const lease = yield* Effect.fromOption(yield* store.acquire(mail.id, { holder: "a test", ttl: mail.every }))
      const fence = { connectionId: mail.id, fence: lease.fence }
      const runId = "11111111-1111-4111-8111-111111111111" as never
      yield* store.beginRun(fence, { runId, taskId: undefined })
      const body = bytes("From: Ada <ada@example.com>\r\nSubject: x\r\n\r\nFrom me\r\n>From you")
      yield* store.commit(fence, {
        runId,
        taskId: undefined,
        items: ["18c2", "../18C2"].map((externalId) => ({
          externalId,
          revision: undefined,
          kind: "message",
          title: undefined,
          occurredAt: DateTime.makeUnsafe("2026-01-02T03:04:05Z"),
          mediaType: "message/rfc822",
          metadata: {},
          volatile: {},
          body: { _tag: "Inline", hash: createHash("sha256").update(body).digest(), bytes: body } as const
        })),
        listed: [],
        inScope: true,
        ledgerUpdates: [],
        done: [],
        page: undefined,
        counts: {},
        problems: []
      })
      const ended = yield* run(["export", "mail/box", "--to", to])
      assert.strictEqual(ended.code, 0, ended.stderr)
      const raw = Buffer.from(body).toString("latin1")
      assert.deepStrictEqual(tree(to), { "..%2F18C2.eml": raw, "18c2.eml": raw })
      yield* run(["export", "mail/box", "--to", to, "--format", "mbox"])
      const message =
        "From ada@example.com Fri Jan  2 03:04:05 2026\n" +
        "From: Ada <ada@example.com>\r\nSubject: x\r\n\r\n>From me\r\n>>From you\n\n"
      assert.strictEqual(tree(to)["mail%2Fbox.mbox"], message + message)
    })
  )
})

describe("idem export --format ndjson", () => {
  it.effect("writes each content with its body, as text or base64", () =>
    Effect.gen(function* () {
      const binary = Uint8Array.from({ length: 1000 }, (_, index) => index % 251)
      const large = new Uint8Array(5 * 1024 * 1024).map((_, index) => index % 253)
      const { to, write } = yield* stored({ text: '\ufeffé\n"\u2028', binary, large, empty: "" })
      const ended = yield* write("ndjson")
      assert.strictEqual(ended.code, 0, ended.stderr)
      const lines = Fs.readFileSync(Path.join(to, "work.ndjson"), "utf8").trimEnd().split("\n")
      const bodies = Object.fromEntries(
        lines.map((line) => {
          const { body, bodyEncoding, externalId, hash, metadata } = JSON.parse(line)
          const raw = Buffer.from(body, bodyEncoding)
          assert.strictEqual(createHash("sha256").update(raw).digest("hex"), hash)
          assert.deepStrictEqual(metadata, { subject: externalId })
          return [externalId, [bodyEncoding, raw.length]]
        })
      )
      assert.deepStrictEqual(bodies, {
        text: ["utf8", 10],
        binary: ["base64", 1000],
        large: ["base64", large.length],
        empty: ["utf8", 0]
      })
    })
  )
})

describe("idem export of many bodies", () => {
  /** A store that returns bodies only once eight have been requested. */
  const inEights = replaceMethods((real) => {
    const waiting: Array<Deferred.Deferred<void>> = []
    const arrive = Effect.gen(function* () {
      const turn = yield* Deferred.make<void>()
      waiting.push(turn)
      if (waiting.length === 8) {
        for (const each of waiting.splice(0)) yield* Deferred.succeed(each, undefined)
      }
      yield* Deferred.await(turn)
    })
    return {
      ...real,
      body: (...args) => Stream.unwrap(Effect.as(arrive, real.body(...args)))
    } satisfies WholeStore
  }).pipe(Layer.provide(Memory.layer))

  it.effect("reads eight at once, and writes them in order", () =>
    Effect.gen(function* () {
      const ids = Array.from({ length: 24 }, (_, index) => `item${String(index).padStart(2, "0")}`)
      const { to, write } = yield* stored(Object.fromEntries(ids.map((id) => [id, `body of ${id}`])), {
        store: inEights
      })
      for (const format of ["ndjson", "files"]) assert.strictEqual((yield* write(format)).code, 0, format)
      const { "work.ndjson": lines = "", ...files } = tree(to)
      const bodies = lines.trimEnd().split("\n")
      assert.deepStrictEqual(
        bodies.map((line) => JSON.parse(line).body),
        ids.map((id) => `body of ${id}`)
      )
      assert.deepStrictEqual(files, Object.fromEntries(ids.map((id) => [id, `body of ${id}`])))
    })
  )
})
