/** Faults of an integration's own code, and what they cost. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "../../../src/contract/Content.ts"
import * as Integration from "../../../src/contract/Integration.ts"
import type { AnySession } from "../../../src/contract/Integration.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { Limits } from "../../../src/engine/Limits.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { integration, MemorySource } from "../../support/MemorySource.ts"
import { VirtualClock } from "../../support/VirtualClock.ts"
import { connect, engineOver, ids, poll, sync } from "../../support/TestEngine.ts"

/** An engine over a source whose sessions are changed, and the lines of its log. */
const changed = (source: MemorySource, change: (session: AnySession) => AnySession, limits: Partial<Limits> = {}) => {
  const real = integration(source)
  const log: Array<string> = []
  const engine = engineOver(Memory.layer, {
    ...real,
    open: (options) => Effect.map(real.open(options), change)
  })
  const layer = engine.pipe(
    Layer.provideMerge(
      Layer.effect(
        Limits,
        Effect.map(Limits, (defaults) => ({ ...defaults, ...limits }))
      )
    ),
    Layer.provideMerge(Logger.layer([Logger.map(Logger.formatSimple, (line) => void log.push(line))]))
  )
  return { layer, log }
}

/** Replaces the download of one id. */
const downloading =
  (id: string, download: (ref: Ref, real: AnySession["download"]) => ReturnType<AnySession["download"]>) =>
  (session: AnySession): AnySession => ({
    ...session,
    download: (ref) => (ref.externalId === id ? download(ref, session.download) : session.download(ref))
  })

const withBody = (body: unknown) => (ref: Ref, real: AnySession["download"]) =>
  Effect.map(real(ref), (content) => ({ ...content, body }) as Content)

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

/** Waits of the engine pass at once. */
const onVirtualClock = <A, E>(work: Effect.Effect<A, E>) => {
  const clock = new VirtualClock(Date.parse("2026-01-01"))
  return Effect.promise(() => clock.run(Effect.provideService(work, Clock.Clock, clock)))
}

describe("a listing", () => {
  type Listed = Page<Schema.Json>

  /** A listing of these pages after those of the source, once there is a checkpoint. */
  const listing =
    (pages: (page: number) => Partial<Listed> | undefined, asked: { pages: number }) =>
    (session: AnySession): AnySession => ({
      ...session,
      list: (task, checkpoint, parts) =>
        Option.isNone(checkpoint)
          ? session.list(task, checkpoint, parts)
          : Stream.paginate(0, (number) =>
              Effect.sync(() => {
                asked.pages += 1
                if (asked.pages > 500) throw new Error("it goes on for ever")
                const page = pages(number)
                return page === undefined
                  ? ([[], Option.none()] as const)
                  : ([
                      [{ listed: [], download: [], checkpoint: checkpoint.value, ...page }],
                      Option.some(number + 1)
                    ] as const)
              })
            )
    })
  const known = ["m000001", "m000002"].map((externalId) => ({ externalId }))
  const repeating: ReadonlyArray<readonly [string, Partial<Listed>]> = [
    ["known ids", { listed: known }],
    ["an empty page", {}],
    ["the pages of a pass", { listed: known, listing: "pass" }],
    ["an id that can't be stored", { listed: [{ externalId: "" }] }],
    ["a patch and a deletion", { patches: [{ externalId: "m000001", metadata: { a: 1 } }], deleted: ["nobody"] }]
  ]
  for (const [name, page] of repeating) {
    it.effect(`that repeats ${name} under one checkpoint fails, in a sync, a poll and a dry run`, () => {
      const source = new MemorySource()
      source.addMany(3)
      const asked = { pages: 0 }
      const { layer } = changed(
        source,
        listing(() => page, asked)
      )
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* poll(connection)
        const result = yield* sync(connection)
        assert.strictEqual(result.error?.reason, "Malformed")
        assert.match(result.error?.message ?? "", /the listing repeats itself: 20 pages with nothing new/)
        asked.pages = 0
        const { error, next } = yield* poll(connection)
        assert.deepStrictEqual([error?.reason, asked.pages <= 21, next._tag], ["Malformed", true, "More"])
        const { failures } = Option.getOrThrow(yield* (yield* WholeStore).connection(connection.id))
        assert.strictEqual(failures, 2)
        const dry = yield* sync(connection, { dryRun: true })
        assert.match(dry.error?.message ?? "", /the listing repeats itself/)
      }).pipe(Effect.provide(layer))
    })
  }

  const moving: ReadonlyArray<readonly [string, (page: number) => Partial<Listed>]> = [
    [
      "a moving checkpoint",
      (page) => ({ listed: known, checkpoint: { position: 3, listing: { pass: "p", after: page } } })
    ],
    ["moving parts", (page) => ({ listed: known, parts: [{ key: `part ${page % 3}`, checkpoint: page }] })]
  ]
  for (const [name, page] of moving) {
    it.effect(`with nothing new for many pages and ${name} comes to its end`, () => {
      const source = new MemorySource()
      source.addMany(3)
      const asked = { pages: 0 }
      const { layer } = changed(
        source,
        listing(() => (asked.pages > 90 ? undefined : page(asked.pages)), asked)
      )
      return onVirtualClock(
        Effect.gen(function* () {
          const connection = yield* connect()
          yield* poll(connection)
          const result = yield* sync(connection)
          assert.deepStrictEqual([result.status, result.error], ["succeeded", null])
          assert.isAbove(asked.pages, 80)
        }).pipe(Effect.provide(layer))
      )
    })
  }

  const circling: ReadonlyArray<readonly [string, (page: number) => Schema.Json]> = [
    ["returns to where it was", (page) => page % 8],
    ["moves with the clock", (page) => Date.parse("2026-01-01") + page]
  ]
  for (const [name, after] of circling) {
    it.effect(`whose checkpoint ${name} for ever is polled less and less, and its sync ends`, () => {
      const source = new MemorySource()
      source.addMany(3)
      const asked = { pages: 0 }
      let download: ReadonlyArray<Ref> = []
      const page = () => ({
        listed: [...(asked.pages % 2 === 0 ? known : []), ...download],
        download,
        checkpoint: { position: 3, listing: { pass: "p", after: after(asked.pages) } }
      })
      const { layer } = changed(source, listing(page, asked))
      return onVirtualClock(
        Effect.gen(function* () {
          const connection = yield* connect()
          const delays = yield* Effect.forEach(Array.from({ length: 13 }), () =>
            Effect.map(poll(connection), ({ error, next }) =>
              error === null && next._tag === "Wait" ? Duration.toSeconds(next.delay) : 0
            )
          )
          assert.deepStrictEqual(delays.join(), [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60].join())
          // Something new ends the delays.
          source.add("new")
          download = [{ externalId: "new" }]
          const { counts, next } = yield* poll(connection)
          assert.deepStrictEqual([counts.stored, next._tag], [1, "More"])
          download = []
          asked.pages = 0
          const { error } = yield* sync(connection)
          assert.deepInclude(error, { reason: "Malformed" })
          assert.match(error?.message ?? "", /the listing repeats itself: 8 slices in a row/)
          assert.isBelow(asked.pages, 300)
        }).pipe(Effect.provide(layer))
      )
    })
  }

  it.effect("of known content is not slowed down, however long it is and whatever it lists first in each slice", () => {
    const source = new MemorySource()
    source.addMany(3)
    const asked = { pages: 0 }
    // The changes come first in each slice, again and again.
    const page = (number: number) => ({
      listed: number === 1 ? known : number % 3 === 0 ? [] : [{ externalId: `known ${asked.pages}` }],
      checkpoint: { position: 3, listing: { pass: "p", after: asked.pages } }
    })
    const { layer } = changed(
      source,
      listing((number) => (asked.pages > 400 ? undefined : page(number)), asked)
    )
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* poll(connection)
      const result = yield* sync(connection)
      assert.deepStrictEqual([result.status, result.error], ["succeeded", null])
      assert.isAbove(asked.pages, 400)
    }).pipe(Effect.provide(layer))
  })
})

describe("a page", () => {
  type Listed = Page<Schema.Json>
  const faults: ReadonlyArray<readonly [string, (page: Listed) => unknown, RegExp]> = [
    [
      "with too large a checkpoint",
      (page) => ({ ...page, checkpoint: { position: "x".repeat(70_000) } }),
      /^memory, page 2: the checkpoint has 70015 bytes, more than 65536$/
    ],
    [
      "with too many refs",
      (page) => ({ ...page, listed: Array.from({ length: 1001 }, (_, id) => ({ externalId: `${id}` })) }),
      /^memory, page 2: `listed` has 1001 refs, more than 1000$/
    ],
    ["without refs", (page) => ({ ...page, listed: undefined }), /^memory, page 2: `listed` must be an array of refs$/],
    [
      "with a number for an id",
      (page) => ({ ...page, listed: [{ externalId: 42 }] }),
      /^memory, page 2: in `listed`: an external id must be a text$/
    ],
    [
      "that covers something and belongs to no listing",
      (page) => ({ ...page, listing: undefined, covers: [{ prefix: "" }] }),
      /^memory, page 2: `covers` and `complete` need `listing`/
    ],
    [
      "that is complete and belongs to no listing",
      (page) => ({ ...page, listing: undefined, complete: true }),
      /^memory, page 2: `covers` and `complete` need `listing`/
    ],
    [
      "with too large a part",
      (page) => ({ ...page, parts: [{ key: "a", checkpoint: "x".repeat(5000) }] }),
      /^memory, page 2: the checkpoint of part "a" has 5002 bytes, more than 4096$/
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

  it.effect("whose checkpoint does not fit its schema names the field", () => {
    const Checkpoint = Schema.Struct({ after: Schema.String })
    const notes = Integration.make({
      domain: "memory",
      config: Schema.Struct({}),
      credentials: Schema.Struct({ token: Schema.String }),
      checkpoint: Checkpoint,
      scope: [],
      quota: () => ({ unitsPerMinute: 1_000_000 }),
      open: () =>
        Effect.succeed({
          account: Effect.succeed("me"),
          estimate: Effect.succeed({ unitsPerItem: 1 }),
          list: () => Stream.succeed({ listed: [], download: [], checkpoint: { after: 1 as never } }),
          download: () => Effect.die("none")
        })
    })
    return Effect.gen(function* () {
      const { error } = yield* sync(yield* connect())
      assert.strictEqual(error?.reason, "Malformed")
      assert.match(error?.message ?? "", /^memory, page 1: the checkpoint does not fit its schema: .*string.*"after"/s)
    }).pipe(Effect.provide(engineOver(Memory.layer, notes)))
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
