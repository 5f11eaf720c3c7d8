import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Ref } from "../../../src/contract/Content.ts"
import type { AnySession } from "../../../src/contract/Integration.ts"
import type { Page } from "../../../src/contract/Page.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { VirtualClock } from "../../support/VirtualClock.ts"
import { connect, poll, sync } from "../../support/TestEngine.ts"
import { changed } from "./faultFixture.ts"

/** Runs the work on a virtual clock, so that the engine's waits pass at once. */
const onVirtualClock = <A, E>(work: Effect.Effect<A, E>) => {
  const clock = new VirtualClock(Date.parse("2026-01-01"))
  return Effect.promise(() => clock.run(Effect.provideService(work, Clock.Clock, clock)))
}

describe("a listing", () => {
  type Listed = Page<Schema.Json>

  /** A listing of these pages after the source's pages, once there is a checkpoint. */
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

  const only = (ref: Ref): Partial<Listed> => ({ listed: [ref], download: [ref] })
  const contentOf = (number: number) => ({ kind: "message", metadata: { number }, body: new Uint8Array([number]) })

  const repeating: ReadonlyArray<readonly [string, Partial<Listed>]> = [
    ["known ids", { listed: known }],
    ["an empty page", {}],
    ["the pages of a pass", { listed: known, listing: "pass" }],
    ["an id that can't be stored", { listed: [{ externalId: "" }] }],
    ["a patch and a deletion", { patches: [{ externalId: "m000001", metadata: { a: 1 } }], deleted: ["nobody"] }]
  ]

  it.effect("passes nothing that it showed to another listing that replaces it in the same run", () => {
    const source = new MemorySource()
    source.addMany(3)
    const pages: ReadonlyArray<Partial<Listed>> = [
      { listing: "first", listed: known },
      { listing: "second", listed: [{ externalId: "m000000" }], covers: [{ prefix: "" }], complete: true }
    ]
    const { layer } = changed(
      source,
      listing((number) => pages[number], { pages: 0 })
    )
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      assert.strictEqual((yield* poll(connection)).counts.deleted, 2)
    }).pipe(Effect.provide(layer))
  })

  const bringing: ReadonlyArray<readonly [string, (number: number) => Partial<Listed>]> = [
    ["new content", (number) => only({ externalId: `new ${number}`, content: contentOf(number) })],
    ["changed content", (number) => only({ externalId: "m000001", content: contentOf(number) })],
    ["patches", (number) => ({ patches: [{ externalId: "m000001", metadata: { number } }] })],
    ["ids that are gone", (number) => only({ externalId: `gone ${number}` })]
  ]

  for (const [name, page] of bringing) {
    it.effect(`under one checkpoint that brings ${name} does not repeat itself`, () => {
      const source = new MemorySource()
      source.addMany(3)
      const { layer } = changed(source, listing(page, { pages: 0 }))
      return Effect.gen(function* () {
        const connection = yield* connect()
        yield* sync(connection)
        const { error, next } = yield* poll(connection)
        assert.deepStrictEqual([error, next._tag], [null, "More"])
      }).pipe(Effect.provide(layer))
    })
  }

  it.effect("with endless problems keeps the first hundred", () => {
    const source = new MemorySource()
    source.addMany(3)
    const problems = (page: number) =>
      Array.from({ length: 60 }, (_, index) => ({ place: `place ${page}.${index}`, message: "no access" }))
    const { layer } = changed(
      source,
      listing((number) => (number < 3 ? { problems: problems(number) } : undefined), { pages: 0 })
    )
    return Effect.gen(function* () {
      const connection = yield* connect()
      yield* sync(connection)
      const result = yield* poll(connection)
      assert.deepStrictEqual(result.problems, [...problems(0), ...problems(1).slice(0, 40)])
    }).pipe(Effect.provide(layer))
  })

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
          // A new item ends the delays.
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
    // Each slice begins again with the changes.
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
