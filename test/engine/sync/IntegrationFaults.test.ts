/** Faults in an integration's own code, and their effects. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Content, Ref } from "../../../src/contract/Content.ts"
import type { AnySession } from "../../../src/contract/Integration.ts"
import { Forbidden, IntegrationError } from "../../../src/contract/IntegrationError.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { connect, ids, sync } from "../../support/TestEngine.ts"
import { changed } from "./faultFixture.ts"

/** Replaces the download of one id. */
const downloading =
  (id: string, download: (ref: Ref, real: AnySession["download"]) => ReturnType<AnySession["download"]>) =>
  (session: AnySession): AnySession => ({
    ...session,
    download: (ref) => (ref.externalId === id ? download(ref, session.download) : session.download(ref))
  })

const withFields = (fields: object) => (ref: Ref, real: AnySession["download"]) =>
  Effect.map(real(ref), (content) => ({ ...content, ...fields }) as Content)

const withBody = (body: unknown) => (ref: Ref, real: AnySession["download"]) =>
  Effect.map(real(ref), (content) => ({ ...content, body }) as Content)

/** Nests an array this deep. */
const nested = (depth: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < depth; level += 1) value = [value]
  return value
}

/** Metadata that contains itself. */
const cyclic = () => {
  const found: Record<string, unknown> = {}
  found["self"] = found
  return found
}

/** Metadata of few objects, each with two references to the next one: JSON would have two to the power of 40 values. */
const shared = () => {
  let value: object = {}
  for (let level = 0; level < 40; level += 1) value = { a: value, b: value }
  return { value }
}

describe("an item", () => {
  const dying = Stream.concat(Stream.succeed(new Uint8Array(3)), Stream.die(new RangeError("s3cret")))

  const faults: ReadonlyArray<readonly [string, Parameters<typeof downloading>[1], RegExp]> = [
    [
      "whose download throws",
      () => {
        throw new TypeError("s3cret")
      },
      /^the integration threw TypeError at sync\/IntegrationFaults\.test\.ts:\d+/
    ],
    ["whose download dies", () => Effect.die(new RangeError("s3cret")), /^the integration threw RangeError at /],
    ["whose body dies", withBody(dying), /^the integration threw RangeError at /],
    [
      "whose late fields die",
      (ref, real) => Effect.map(real(ref), (content) => ({ ...content, afterBody: Effect.die("s3cret") })),
      /^the integration threw a string/
    ],
    ["whose body is a text", withBody("text"), /`body` must be a Uint8Array, or a stream of them/],
    [
      "whose body is a stream of texts",
      withBody(Stream.succeed("text")),
      /`body` must be a Uint8Array, or a stream of them/
    ],
    ...Object.entries({ title: 5, mediaType: null, revision: 7, bodyKey: {} }).map(
      ([name, value]) =>
        [`whose ${name} is no text`, withFields({ [name]: value }), new RegExp(`\`${name}\` must be a text`)] as const
    ),
    ...Object.entries({ metadata: undefined, volatile: ["a"] }).map(
      ([name, value]) =>
        [`whose ${name} is no object`, withFields({ [name]: value }), new RegExp(`\`${name}\` must be an obj`)] as const
    ),
    ...(
      [
        ["a bigint", { sizes: [{ "in bytes": 5n }] }, /`metadata\.sizes\.0\.in bytes` is a bigint, not a JSON value/],
        ["a function", { read: () => 1 }, /`metadata\.read` is a function, not a JSON value/],
        ["a Date", { sent: new Date(0) }, /`metadata\.sent` is a Date, not a JSON value/],
        ["a Map", { labels: new Map([["a", 1]]) }, /`metadata\.labels` is a Map, not a JSON value/],
        [
          "a cycle",
          { more: cyclic() },
          /`metadata\.more\.self[.…self]*` contains itself, or nests more than 1000 deep/
        ],
        [
          "very deep values",
          { deep: nested(100_000) },
          /`metadata\.deep\.0[.…0]*` contains itself, or nests more than/
        ],
        ["more than 4 MiB", { text: "x".repeat(5_000_000) }, /`metadata\.text` is beyond the 4 MiB of JSON/],
        ["values without end", shared(), /`metadata\.value\.[ab.…]+` is beyond the 4 MiB of JSON/]
      ] as const
    ).map(([name, metadata, message]) => [`whose metadata has ${name}`, withFields({ metadata }), message] as const),
    ["whose volatile has a bigint", withFields({ volatile: { a: 5n } }), /`volatile\.a` is a bigint/],
    ["whose time is a Date", withFields({ occurredAt: new Date(0) }), /`occurredAt` must be a DateTime/],
    [
      "whose late title is no text",
      withFields({ afterBody: Effect.succeed({ title: 5, metadata: {} }) }),
      /`title` must be a text/
    ],
    ["whose time is null", withFields({ occurredAt: null }), /`occurredAt` must be a DateTime/],
    ["that is undefined", () => Effect.succeed(undefined as never), /a content must be an object/],
    [
      "whose download fails with another error",
      () => Effect.fail(new RangeError("s3cret") as never),
      /^the integration failed with RangeError at .*, which is no IntegrationError/
    ],
    ["whose download fails with a text", () => Effect.fail("s3cret" as never), /^the integration failed with a string/],
    ["whose download interrupts itself", () => Effect.interrupt, /^the integration interrupted itself/],
    [
      "whose body fails with a text",
      withBody(Stream.concat(Stream.succeed(new Uint8Array(3)), Stream.fail("s3cret"))),
      /^the integration failed with a string/
    ],
    [
      "whose body interrupts itself",
      withBody(Stream.fromEffect(Effect.interrupt)),
      /^the integration interrupted itself/
    ],
    ["whose late fields are no Effect", withFields({ afterBody: () => ({}) }), /`afterBody` must be an Effect/],
    ["whose bodyKey is too long", withFields({ bodyKey: "k".repeat(1025) }), /`bodyKey`: it may have at most 1024/],
    [
      "without a kind",
      (ref, real) => Effect.map(real(ref), (content) => ({ ...content, kind: undefined as never })),
      /`kind` must be a text/
    ]
  ]

  for (const [name, download, message] of faults) {
    it.effect(`${name} fails alone, and is stored once that is mended`, () => {
      const source = new MemorySource()
      source.addMany(30)
      let isBroken = true
      const broken = downloading("m000014", (ref, real) => (isBroken ? download(ref, real) : real(ref)))
      const { layer, log } = changed(source, broken)
      return Effect.gen(function* () {
        const connection = yield* connect()
        const result = yield* sync(connection)
        assert.deepStrictEqual([result.status, result.error], ["partial", null])
        assert.deepInclude(result.counts, { listed: 30, stored: 29, failed: 1 })
        const [row] = yield* (yield* WholeStore).ledger(connection.id, { limit: 1 })
        assert.deepInclude(row, { externalId: "m000014", reason: "Malformed", attempts: 1 })
        assert.match(row?.message ?? "", message)
        assert.notInclude(row?.message ?? "", "s3cret")
        if (message.source.includes("threw")) {
          assert.isTrue(
            log.some((line) => line.includes("m000014") && line.includes("s3cret")),
            log.join("\n")
          )
        }
        isBroken = false
        yield* sync(connection)
        assert.strictEqual((yield* ids(connection)).length, 30)
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("that is a copy with metadata that is no JSON fails alone", () => {
    const source = new MemorySource()
    source.add("original", { bodyKey: "key" })
    const copied = (ref: Ref) =>
      ref.copy === undefined ? ref : { ...ref, copy: { ...ref.copy, metadata: { size: 5n as never } } }
    const { layer } = changed(source, (session) => ({
      ...session,
      list: (task, checkpoint, parts) =>
        Stream.map(session.list(task, checkpoint, parts), (page) => ({ ...page, download: page.download.map(copied) }))
    }))
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      source.add("copy", { copyOf: "key" })
      source.add("other")
      const result = yield* sync(connection)
      assert.deepInclude(result.counts, { stored: 1, failed: 1 })
      const [row] = yield* (yield* WholeStore).ledger(connection.id, { limit: 1 })
      assert.match(row?.message ?? "", /^copy was not stored: `metadata\.size` is a bigint/)
    }).pipe(Effect.provide(layer))
  })

  it.effect("that throws counts to those after which a run is given up", () => {
    const source = new MemorySource()
    source.addMany(30)
    const { layer } = changed(
      source,
      (session) => ({
        ...session,
        download: () => {
          throw new TypeError("undefined")
        }
      }),
      { abortAfter: 5 }
    )
    return Effect.gen(function* () {
      const result = yield* sync(yield* connect())
      assert.strictEqual(result.error?.reason, "TooManyFailures")
    }).pipe(Effect.provide(layer))
  })
})

describe("a page", () => {
  type Listed = Page<Schema.Json>

  const faults: ReadonlyArray<readonly [string, (page: Listed) => unknown, RegExp]> = [
    ["without refs", (page) => ({ ...page, listed: undefined }), /^memory, page 2: `listed` must be an array of refs$/],
    [
      "with a revision that is no text",
      (page) => ({ ...page, listed: page.listed.map((ref) => ({ ...ref, revision: 5 })) }),
      /^memory, page 2: in `listed`: a revision must be a text, or absent$/
    ],
    [
      "with a patch that is no JSON",
      (page) => ({ ...page, patches: [{ externalId: "a", metadata: { size: 5n } }] }),
      /^memory, page 2: in `patches`: the patch of "a": `metadata.size` is a bigint, not a JSON value$/
    ],
    [
      "with a problem that has no message",
      (page) => ({ ...page, problems: [{ place: "a" }] }),
      /^memory, page 2: in `problems`: `place` and `message` must be texts$/
    ],
    [
      "that covers something and belongs to no listing",
      (page) => ({ ...page, listing: undefined, covers: [{ prefix: "" }] }),
      /^memory, page 2: `covers` and `complete` need `listing`/
    ]
  ]

  for (const [name, change, message] of faults) {
    it.effect(`${name} fails the run, and names its number and the domain; the pages before it are stored`, () => {
      const source = new MemorySource()
      source.addMany(30)
      const { layer } = changed(source, (session) => ({
        ...session,
        list: (task, checkpoint, parts) =>
          Stream.mapEffect(session.list(task, checkpoint, parts), (page, index) =>
            Effect.succeed(index === 1 ? (change(page) as Listed) : page)
          )
      }))
      return Effect.gen(function* () {
        const connection = yield* connect()
        for (const task of [{ dryRun: true }, {}]) {
          const { error } = yield* sync(connection, task)
          assert.deepStrictEqual(error?.reason, "Malformed")
          assert.match(error?.message ?? "", message)
        }
        assert.strictEqual((yield* ids(connection)).length, 10)
      }).pipe(Effect.provide(layer))
    })
  }

  for (const [name, list, message] of [
    ["fails with a text", () => Stream.fail("s3cret" as never), /^the integration failed with a string, which is no/],
    ["interrupts itself", () => Stream.fromEffect(Effect.interrupt), /^the integration interrupted itself/]
  ] as const) {
    it.effect(`of a listing that ${name} fails the run`, () => {
      const { layer } = changed(new MemorySource(), (session) => ({ ...session, list }))
      return Effect.gen(function* () {
        const { error, status } = yield* sync(yield* connect())
        assert.deepStrictEqual([status, error?.reason], ["failed", "Malformed"])
        assert.match(error?.message ?? "", message)
        assert.notInclude(error?.message ?? "", "s3cret")
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("of a listing that fails while a part of it was interrupted keeps the reason of the failure", () => {
    const forbidden = new IntegrationError({ reason: new Forbidden({ message: "no" }) })
    const interrupted = Effect.andThen(Effect.yieldNow, Effect.interrupt)
    const failing = TestClock.withLive(Effect.andThen(Effect.sleep(1), Effect.fail(forbidden)))
    const { layer } = changed(new MemorySource(), (session) => ({
      ...session,
      list: () => Stream.fromEffect(Effect.raceAll([interrupted, failing]))
    }))
    return Effect.gen(function* () {
      const { error } = yield* sync(yield* connect())
      assert.deepInclude(error, { reason: "Forbidden", message: "no" })
    }).pipe(Effect.provide(layer))
  })

  it.effect("that can't be listed, since the code throws, names the class and the line, and where the log is", () => {
    const { layer, log } = changed(new MemorySource(), (session) => ({
      ...session,
      list: () => {
        throw new TypeError("s3cret")
      }
    }))
    return Effect.gen(function* () {
      const { error } = yield* sync(yield* connect())
      assert.strictEqual(error?.reason, "Defect")
      assert.match(error?.message ?? "", /TypeError at sync\/IntegrationFaults\.test\.ts:\d+; .*createIdem/)
      assert.notInclude(error?.message ?? "", "s3cret")
      assert.include(log.join("\n"), "s3cret")
    }).pipe(Effect.provide(layer))
  })
})
