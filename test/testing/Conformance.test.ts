import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { AnySession, Integration } from "../../src/contract/Integration.ts"
import type { Page } from "../../src/contract/Page.ts"
import { Malformed } from "../../src/contract/IntegrationError.ts"
import * as Conformance from "../../src/testing/Conformance.ts"
import * as Parts from "../support/PartsSource.ts"
import { bytes, fault, integration, MemorySource } from "../support/MemorySource.ts"

/** The scripted source in memory, with its integration changed by `change`. */
const scripted = (change: (session: AnySession, source: MemorySource) => AnySession = (session) => session) =>
  Effect.sync((): Conformance.ScriptedSource => {
    const source = new MemorySource()
    source.pageSize = 12
    source.by = "revision"
    const real = integration(source)
    const changed: Integration = {
      ...real,
      open: (options) => Effect.map(real.open(options), (session) => change(session, source))
    }
    let version = 1
    const at = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
    return {
      integration: changed,
      config: {},
      credentials: { token: "t" },
      usesChecker: true,
      add: (count) =>
        Effect.sync(() => {
          const before = new Set(source.items.keys())
          for (let index = before.size; index < before.size + count; index += 1) {
            source.add(`${index % 2 === 0 ? "a" : "b"}${index}`, { at })
          }
          return [...source.items.keys()].filter((id) => !before.has(id))
        }),
      ids: Effect.sync(() => [...source.items.keys()]),
      edit: (id) =>
        Effect.sync(() => {
          version += 1
          source.add(id, { revision: String(version), body: bytes(`edit ${version} of ${id}`), at })
        }),
      remove: (id) => Effect.sync(() => source.remove(id)),
      fail: (id, failing) =>
        Effect.sync(() => {
          source.answer = (method) =>
            failing && method === `download ${id}` ? fault(new Malformed({ message: "cut off" })) : Effect.void
        }),
      expire: Effect.sync(() => {
        source.expiredBefore = source.log.length
      }),
      repeat: Effect.sync(() => {
        source.repeats = true
      }),
      narrowed: { config: { folder: "a" }, keeps: (id) => id.startsWith("a") },
      requests: Effect.sync(() => source.calls.length),
      open: Effect.sync(() => source.open)
    }
  })

const named = (name: string, source: ReturnType<typeof scripted>) => {
  const law = Conformance.laws(source).find((one) => one.name.startsWith(name))
  if (law === undefined) throw new Error(`no law begins with ${name}`)
  return law
}

describe("an integration that keeps every law", () => {
  for (const law of Conformance.laws(scripted())) it.live(law.name, () => law.check)
})

describe("an integration with parts", () => {
  const parted = (change?: Parameters<typeof Parts.integration>[1]) =>
    Effect.sync((): Conformance.ScriptedSource => {
      const source = new Parts.PartsSource()
      return {
        integration: Parts.integration(source, change),
        config: {},
        credentials: {},
        usesChecker: true,
        add: (count) => Effect.sync(() => source.add(count)),
        ids: Effect.sync(() => source.ids())
      }
    })
  const without = ["edit", "remove", "fail", "failable", "expire", "repeat", "narrowed", "requests", "open"] as const

  describe("keeps every law", () => {
    for (const law of Conformance.laws(parted(), { without })) it.live(law.name, () => law.check)
  })

  for (const [law, what, change] of [
    [
      "a crash after any commit",
      "moves its parts ahead of their items",
      (moves, items) => moves.map((move) => ({ ...move, checkpoint: { listed: items } }))
    ],
    [
      "a crash between two pages",
      "moves its parts ahead of its pages",
      (moves, items) => moves.map((move) => ({ ...move, checkpoint: { listed: items } }))
    ],
    ["parts are bounded", "moves a part twice", (moves) => [...moves, ...moves]]
  ] as const satisfies ReadonlyArray<readonly [string, string, Parameters<typeof Parts.integration>[1]]>) {
    it.live(`that ${what} breaks "${law}"`, () =>
      Effect.gen(function* () {
        const broken = Conformance.laws(parted(change), { without }).find((one) => one.name.startsWith(law))
        if (broken === undefined) return assert.fail(`no law begins with ${law}`)
        assert.strictEqual((yield* Effect.flip(broken.check))._tag, "LawBroken")
      })
    )
  }
})

describe("a law that is broken is found, and says what to do", () => {
  it.live("a hint that is taken as proof of a deletion", () =>
    Effect.gen(function* () {
      const trusting = scripted((session) => ({
        ...session,
        list: (task, checkpoint, parts) =>
          session
            .list(task, checkpoint, parts)
            .pipe(Stream.map((page) => (parts.hinted.only ? { ...page, deleted: parts.hinted.parts } : page)))
      }))
      const error = yield* Effect.flip(named("hints that are forged", trusting).check)
      assert.include(error.found, "deleted by a forged hint")
    })
  )

  const broken = (name: string, what: string, change: (session: AnySession, source: MemorySource) => AnySession) =>
    it.live(what, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(named(name, scripted(change)).check)
        assert.strictEqual(error._tag, "LawBroken")
        assert.isTrue(error.law.startsWith(name))
        assert.isAbove(error.remedy.length, 20)
      })
    )

  type Listed = Page<Schema.Json>
  type Listing = ReturnType<AnySession["list"]>
  const listing = (session: AnySession, change: (listing: Listing) => Listing): AnySession => ({
    ...session,
    list: (task, checkpoint, parts) => change(session.list(task, checkpoint, parts))
  })
  const pages = (session: AnySession, change: (page: Listed) => Listed): AnySession =>
    listing(session, Stream.map(change))

  let revisions = 0
  broken("a sync stores everything", "downloads everything at each poll", (session, source) =>
    listing(
      session,
      Stream.concat(
        Stream.suspend(() => {
          const listed = [...source.items.keys()].map((externalId) => ({ externalId, revision: String(revisions++) }))
          return Stream.succeed({ listed, download: listed, checkpoint: { position: source.log.length } })
        })
      )
    )
  )

  broken("a sync stores everything", "leaves out the last of each page", (session) =>
    pages(session, (page) => ({ ...page, listed: page.listed.slice(0, -1), download: page.download.slice(0, -1) }))
  )

  broken("many items that are added later", "skips a change at the end of each full page", (session, source) =>
    pages(session, (page) => {
      if (page.listing !== undefined || page.listed.length < source.pageSize) return page
      const listed = page.listed.slice(0, -1)
      return { ...page, listed, download: page.download.filter((ref) => listed.includes(ref)) }
    })
  )

  broken("what changes at the source while", "takes its checkpoint at the end of the listing", (session, source) =>
    pages(session, (page) =>
      page.listing === undefined
        ? page
        : { ...page, checkpoint: { ...(page.checkpoint as object), position: source.log.length } }
    )
  )

  broken("what the source removes", "reports only the first deletion of a page", (session) =>
    pages(session, (page) => ({ ...page, deleted: page.deleted?.slice(0, 1) ?? [] }))
  )

  broken("a crash after any commit", "moves its checkpoint ahead of the work", (session, source) =>
    pages(session, (page) => ({ ...page, checkpoint: { position: source.log.length } }))
  )

  broken("a crash between two pages", "says after its first page that all was listed", (session, source) =>
    pages(session, (page) => ({ ...page, checkpoint: { position: source.log.length } }))
  )

  broken(
    "a crash between two pages",
    "says after the second page of any listing that all was listed",
    (session, source) =>
      listing(session, (listed) =>
        Stream.map(Stream.zipWithIndex(listed), ([page, index]) =>
          index === 1 ? { ...page, checkpoint: { position: source.log.length } } : page
        )
      )
  )

  it.live("throws, which is said with its stack, and without the remedy of a law", () =>
    Effect.gen(function* () {
      const throwing = scripted((session) => ({
        ...session,
        list: () => {
          throw new TypeError("cannot read x of undefined")
        }
      }))
      const error = yield* Effect.flip(named("a sync stores everything", throwing).check)
      assert.include(error.message, "TypeError: cannot read x of undefined")
      assert.include(error.message, "Conformance.test.ts")
      assert.strictEqual(error.remedy, "")
    })
  )

  it.live("names no field of its config as its scope", () =>
    Effect.gen(function* () {
      const unscoped = Effect.map(scripted(), (source) => ({
        ...source,
        integration: {
          ...source.integration,
          decodeConfig: (input: unknown) =>
            Effect.map(source.integration.decodeConfig(input), (decoded) => ({ ...decoded, scope: {} }))
        }
      }))
      const error = yield* Effect.flip(named("a changed scope", unscoped).check)
      assert.include(error.message, "Name the config fields that decide what is listed in `scope`")
    })
  )

  broken("a failing item", "leaves a failing item out", (session, source) =>
    listing(
      session,
      Stream.mapEffect((page) =>
        Effect.map(
          Effect.filter(page.download, (ref) => Effect.isSuccess(source.answer(`download ${ref.externalId}`))),
          (download) => ({
            ...page,
            download,
            listed: page.listed.filter((ref) => download.some((one) => one.externalId === ref.externalId))
          })
        )
      )
    )
  )

  broken("a download that throws", "downloads only what its session has listed", (session) => {
    const listed = new Set<string>()
    return {
      ...listing(
        session,
        Stream.tap((page) => Effect.sync(() => page.listed.forEach((ref) => listed.add(ref.externalId))))
      ),
      download: (ref) =>
        listed.has(ref.externalId) ? session.download(ref) : fault(new Malformed({ message: "unknown" }))
    }
  })

  let fetches = 0
  broken("with force everything", "gives another body at each fetch", (session) => ({
    ...session,
    download: (ref) => {
      fetches += 1
      return Effect.map(session.download(ref), (content) => ({ ...content, body: bytes(`fetch ${fetches}`) }))
    }
  }))

  /** Continues for ever after the last page, with empty pages at these positions. */
  const endless = (session: AnySession, position: (number: number) => number) =>
    listing(
      session,
      Stream.concat(
        Stream.map(
          Stream.iterate(0, (number) => number + 1),
          (number) => ({ listed: [], download: [], checkpoint: { position: position(number) } })
        )
      )
    )
  broken("a listing comes", "repeats its last page", (session) => endless(session, () => 60))
  broken("a listing comes", "goes on past its last page", (session) => endless(session, (number) => number))

  broken("`covers` says only", "covers all from its first page on", (session) =>
    pages(session, (page) => (page.listing === undefined ? page : { ...page, covers: [{ prefix: "" }] }))
  )

  broken("pages are bounded", "lists everything in one page", (session, source) => {
    source.pageSize = 10_000
    return session
  })

  broken("every request", "asks the source past `call`", (session, source) => ({
    ...session,
    download: (ref) =>
      Effect.andThen(
        Effect.sync(() => source.calls.push("past call")),
        session.download(ref)
      )
  }))

  broken("a task's window", "lists what it likes, whatever the window", (session) => ({
    ...session,
    list: ({ dryRun, force, forceIds }, checkpoint, parts) =>
      session.list({ dryRun, force, forceIds }, checkpoint, parts)
  }))

  broken("a task's window", "lists nothing where there is a window", (session) => ({
    ...session,
    list: (task, checkpoint, parts) =>
      task.window === undefined ? session.list(task, checkpoint, parts) : Stream.empty
  }))

  broken("an interruption", "leaves open what it opened", (session, source) => {
    source.open += 1
    return session
  })
})
