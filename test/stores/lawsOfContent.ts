/** The laws of content: outcomes, the ledger, patches, and deletions. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Coverage } from "../../src/contract/Page.ts"
import { type ContentState, type Fence, Store } from "../../src/engine/Store.ts"
import * as Model from "./model.ts"
import { beginRun, item, metadataOf, miss, page, row, running, stored, take, Time } from "./scenario.ts"

/** Text of any kind: astral, combining, NUL, lone surrogates. */
const AnyText = Schema.Array(
  Schema.Literals([
    "a",
    "b",
    "é",
    "e\u0301",
    "😀",
    "\uffee",
    "\0",
    "\ud800",
    "\udc00",
    "\u2028",
    "'",
    '"',
    "\\",
    "/",
    "{"
  ])
)

const AnyMetadata = Schema.Record(Schema.String, Schema.Json)

const cleaned = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD")

/** Lets later things be later for the store, however coarse its clock. */
const aMomentLater = Time.use((time) => time.pass(Duration.seconds(1)))

const listed = Effect.fnUntraced(function* (id: Fence["connectionId"], state: ContentState) {
  const store = yield* Store
  const { contents } = yield* store.contents(id, { state, limit: 100 })
  return contents.map((one) => one.externalId)
})

const staged = (id: Fence["connectionId"]) =>
  Store.use((store) =>
    Effect.map(store.deletions(id, { limit: 100 }), (rows) => rows.map((one) => `${one.externalId} ${one.cause}`))
  )

/** A pass over the source that saw these ids and covers this. */
const pass = Effect.fnUntraced(function* (
  { commit, fence }: Pick<Effect.Success<ReturnType<typeof running>>, "commit" | "fence">,
  seen: ReadonlyArray<string>,
  options: { readonly deletes?: boolean; readonly covers?: ReadonlyArray<Coverage>; readonly listing?: string } = {}
) {
  const store = yield* Store
  const listing = options.listing ?? "a listing"
  yield* store.beginListing(fence, { listing, deletes: options.deletes ?? true })
  yield* commit({ page: page({ listing, seen, covers: options.covers ?? [{ prefix: "" }] }) })
})

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: outcomes`, (it) => {
    it.effect("the first write is stored, the same again unchanged, another body or metadata updated", () =>
      Effect.gen(function* () {
        const { commit } = yield* running()
        const outcome = Effect.fnUntraced(function* (one: ReturnType<typeof item>) {
          const { outcomes } = yield* commit({ items: [one] })
          return outcomes.get(one.externalId)
        })
        const base = { metadata: { from: "you", to: ["a", "b"], n: 1 } }
        assert.strictEqual(yield* outcome(item("a", base)), "stored")
        assert.strictEqual(yield* outcome(item("a", base)), "unchanged")
        assert.strictEqual(yield* outcome(item("a", { metadata: { n: 1, to: ["a", "b"], from: "you" } })), "unchanged")
        assert.strictEqual(yield* outcome(item("a", { ...base, revision: "r2", volatile: { url: 1 } })), "unchanged")
        assert.strictEqual(yield* outcome(item("a", { ...base, text: "other" })), "updated")
        assert.strictEqual(yield* outcome(item("a", { metadata: { from: "me" }, text: "other" })), "updated")
      })
    )

    it.effect(
      "unchanged content keeps the time of its last change, and takes the new revision and volatile metadata",
      () =>
        Effect.gen(function* () {
          const { commit, id } = yield* running()
          yield* commit({ items: [item("a")] })
          yield* aMomentLater
          yield* commit({ items: [item("a", { revision: "r2", volatile: { url: "https://example.com/?sig=1" } })] })
          const after = yield* row(id, "a")
          assert.strictEqual(after.revision, "r2")
          assert.deepStrictEqual(after.volatile, { url: "https://example.com/?sig=1" })
          assert.deepStrictEqual(after.updatedAt, after.createdAt)
          yield* commit({ items: [item("a", { revision: undefined, text: "other" })] })
          const changed = yield* row(id, "a")
          assert.isNull(changed.revision)
          assert.isTrue(DateTime.toEpochMillis(changed.updatedAt) > DateTime.toEpochMillis(changed.createdAt))
        })
    )

    for (const [word, change] of [
      ["title", { title: undefined }],
      ["kind", { kind: "file" }],
      ["media type", { mediaType: "text/plain" }],
      ["date", { occurredAt: undefined }]
    ] as const) {
      it.effect(`another ${word} is an update`, () =>
        Effect.gen(function* () {
          const { commit } = yield* running()
          yield* commit({ items: [item("a")] })
          assert.deepStrictEqual((yield* commit({ items: [item("a", change)] })).outcomes, new Map([["a", "updated"]]))
          assert.deepStrictEqual(
            (yield* commit({ items: [item("a", change)] })).outcomes,
            new Map([["a", "unchanged"]])
          )
        })
      )
    }

    it.effect("what was deleted and comes back is stored anew", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, fence, id, runId } = yield* running()
        yield* commit({ items: [item("a")], misses: [] })
        yield* commit({ page: page({ deleted: ["a"] }) })
        yield* store.settleDeletions(fence, { runId, atMost: 1, share: 0 })
        assert.deepStrictEqual(yield* store.existing(id, ["a"]), new Set())
        assert.deepStrictEqual((yield* commit({ items: [item("a")] })).outcomes, new Map([["a", "stored"]]))
        assert.deepStrictEqual(yield* stored(id), ["a"])
      })
    )

    it.effect("two ids with the same bytes are two contents", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const { outcomes } = yield* commit({ items: [item("a", { text: "same" }), item("b", { text: "same" })] })
        assert.deepStrictEqual(
          outcomes,
          new Map([
            ["a", "stored"],
            ["b", "stored"]
          ])
        )
        assert.strictEqual((yield* row(id, "a")).hash, (yield* row(id, "b")).hash)
      })
    )

    it.effect("an empty batch is no trouble", () =>
      Effect.gen(function* () {
        const { commit } = yield* running()
        assert.deepStrictEqual(yield* commit({}), { outcomes: new Map(), patched: 0 })
        assert.strictEqual((yield* commit({ page: page({}) })).patched, 0)
      })
    )

    it.effect("a date that no calendar has is unknown", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        yield* commit({
          items: [
            item("far", { occurredAt: DateTime.makeUnsafe(8_640_000_000_000_000) }),
            item("past", { occurredAt: DateTime.makeUnsafe(-8_640_000_000_000_000) })
          ]
        })
        assert.isNull((yield* row(id, "far")).occurredAt)
        assert.isNull((yield* row(id, "past")).occurredAt)
      })
    )

    it.effect("contents come in the order of their bytes, page by page, each once", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        const ids = ["b", "a", "B", "é", "😀", "\uffee", "a/b", "a b", "%", "a\nb"]
        yield* commit({ items: ids.map((one) => item(one)) })
        const found: Array<string> = []
        let after: string | undefined
        do {
          const { contents, next } = yield* store.contents(id, { state: "stored", limit: 3, after })
          found.push(...contents.map((one) => one.externalId))
          after = next ?? undefined
        } while (after !== undefined)
        assert.deepStrictEqual(
          found,
          ids.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
        )
      })
    )

    it.effect.prop(
      "text and metadata are kept but for NUL and lone surrogates, and are then equal to themselves",
      { text: AnyText, metadata: AnyMetadata },
      ({ metadata, text: parts }) =>
        Effect.gen(function* () {
          const { commit, id } = yield* running()
          const text = parts.join("")
          const given = item("a", {
            title: text,
            kind: text,
            metadata: { ...metadata, text, [text]: [text] },
            volatile: { text }
          })
          yield* commit({ items: [given] })
          const found = yield* row(id, "a")
          assert.strictEqual(found.title, cleaned(text))
          assert.strictEqual(found.kind, cleaned(text))
          assert.deepStrictEqual(found.volatile, { text: cleaned(text) })
          assert.isTrue(JSON.stringify(found.metadata).isWellFormed())
          assert.deepStrictEqual((yield* commit({ items: [given] })).outcomes, new Map([["a", "unchanged"]]))
        }),
      { arbitrary: { runs: 40 } }
    )

    it.effect.prop(
      "an id of any Unicode is found by itself and by no other",
      { one: AnyText, other: AnyText },
      ({ one, other }) =>
        Effect.gen(function* () {
          const store = yield* Store
          const { commit, id } = yield* running()
          const a = `x${cleaned(one.join(""))}`
          const b = `x${cleaned(other.join(""))}`
          yield* commit({ items: [item(a)] })
          assert.deepStrictEqual(yield* store.existing(id, [a, b]), new Set([a]))
          assert.deepStrictEqual(yield* stored(id), [a])
          assert.strictEqual((yield* row(id, a)).externalId, a)
        }),
      { arbitrary: { runs: 40 } }
    )

    it.effect.prop(
      "any sequence of commits ends as the model of it does",
      { steps: Schema.Array(Model.Step) },
      ({ steps }) =>
        Effect.gen(function* () {
          const store = yield* Store
          const { commit, fence, id } = yield* running()
          const model = Model.empty()
          for (const step of steps) {
            const expected = Model.apply(model, step)
            if (step._tag === "settle") {
              const { deleted } = yield* store.settleDeletions(fence, { runId: undefined, atMost: 100, share: 1 })
              assert.strictEqual(deleted, expected)
            } else {
              const { outcomes, patched } = yield* commit(Model.batchOf(step))
              assert.deepStrictEqual(step._tag === "store" ? outcomes.get(step.id) : patched, expected)
            }
          }
          assert.deepStrictEqual(yield* store.existing(id, Model.ids), Model.existing(model))
          assert.deepStrictEqual(yield* store.revisions(id, Model.ids), Model.revisions(model))
          for (const state of ["stored", "failed", "dead", "deferred", "gone", "deleted"] as const) {
            assert.deepStrictEqual(yield* listed(id, state), Model.listed(model, state), state)
          }
          for (const one of yield* stored(id)) {
            assert.deepStrictEqual(yield* metadataOf(id, one), model.get(one)?.metadata)
          }
        }),
      { arbitrary: { runs: 60 } }
    )
  })

  it.layer(layer)(`${name}: the ledger`, (it) => {
    it.effect("a failed item is known, waits for its time, and is dead after its last attempt", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        yield* commit({ misses: [miss("a", { revision: "r7", message: "bu\0sy" })] })
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r7")]]))
        const [first] = yield* store.ledger(id, { limit: 10 })
        assert.deepStrictEqual(
          { ...first, nextAttemptAt: null },
          {
            externalId: "a",
            state: "failed",
            revision: "r7",
            reason: "Transient",
            message: "bu\uFFFDsy",
            attempts: 1,
            nextAttemptAt: null
          }
        )
        assert.deepStrictEqual(yield* store.retriesDue(id, 10), [])
        yield* Time.use((time) => time.pass(Duration.minutes(2)))
        assert.deepStrictEqual(
          (yield* store.retriesDue(id, 10)).map((one) => one.externalId),
          ["a"]
        )
        yield* commit({ misses: [miss("a", { attempts: 5, retryIn: undefined })] })
        assert.deepStrictEqual(yield* store.retriesDue(id, 10), [])
        const [dead] = yield* store.ledger(id, { limit: 10 })
        assert.strictEqual(dead?.state, "dead")
        assert.strictEqual(dead?.attempts, 5)
        assert.isNull(dead?.nextAttemptAt)
        assert.deepStrictEqual(yield* store.existing(id, ["a"]), new Set(["a"]))
        assert.deepStrictEqual(yield* listed(id, "dead"), ["a"])
        assert.strictEqual((yield* store.totals(id)).dead, 1)
      })
    )

    it.effect("a deferred item costs no attempt, is due at once, and starts afresh under another revision", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        const attempts = Effect.map(store.ledger(id, { limit: 1 }), ([first]) => first?.attempts)
        yield* commit({ misses: [miss("a", { attempts: 2 })] })
        yield* commit({ misses: [miss("a", { outcome: "deferred", attempts: 0 })] })
        assert.strictEqual(yield* attempts, 2)
        const [deferred] = yield* store.retriesDue(id, 10)
        assert.strictEqual(deferred?.state, "deferred")
        assert.isNull(deferred?.nextAttemptAt)
        yield* commit({ misses: [miss("a", { outcome: "deferred", attempts: 0, revision: "r2" })] })
        assert.strictEqual(yield* attempts, 0)
      })
    )

    it.effect("the longest due come first, and no more than asked for", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        yield* commit({ misses: [miss("late", { retryIn: Duration.minutes(3) })] })
        yield* commit({ misses: [miss("early", { retryIn: Duration.minutes(1) })] })
        yield* Time.use((time) => time.pass(Duration.minutes(4)))
        yield* commit({ misses: [miss("deferred", { outcome: "deferred" })] })
        const due = Effect.fnUntraced(function* (limit: number) {
          return (yield* store.retriesDue(id, limit)).map((one) => one.externalId)
        })
        assert.deepStrictEqual(yield* due(10), ["early", "late", "deferred"])
        assert.deepStrictEqual(yield* due(2), ["early", "late"])
      })
    )

    it.effect("stored content whose update failed stays readable, under its old revision, and is in the ledger", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        const before = yield* row(id, "a")
        yield* commit({ misses: [miss("a", { revision: "r2" })] })
        assert.deepStrictEqual(yield* row(id, "a"), before)
        assert.deepStrictEqual(yield* stored(id), ["a"])
        assert.deepStrictEqual(yield* listed(id, "failed"), ["a"])
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r2")]]))
        yield* commit({ items: [item("a", { revision: "r2" })] })
        assert.deepStrictEqual(yield* store.ledger(id, { limit: 10 }), [])
        assert.deepStrictEqual(yield* store.revisions(id, ["a"]), new Map([["a", Option.some("r2")]]))
      })
    )

    it.effect("what is gone is not known afterwards; stored content that is gone is staged", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        const gone = { outcome: "gone", reason: "Gone", attempts: 0, retryIn: undefined } as const
        yield* commit({ items: [item("stored")], misses: [miss("failed")] })
        yield* commit({ misses: [miss("failed", gone), miss("never", gone), miss("stored", gone)] })
        assert.deepStrictEqual(yield* store.existing(id, ["failed", "never", "stored"]), new Set(["stored"]))
        assert.deepStrictEqual(yield* listed(id, "gone"), ["failed", "never"])
        assert.deepStrictEqual(yield* staged(id), ["stored event"])
        assert.deepStrictEqual(yield* store.ledger(id, { limit: 10 }), [])
        const back = yield* commit({ items: [item("failed")] })
        assert.deepStrictEqual(back.outcomes, new Map([["failed", "stored"]]))
      })
    )

    it.effect("redriven rows, all or those named, are due now with no attempts, and their connection with them", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, fence, id } = yield* running()
        yield* commit({
          items: [item("fine"), item("stored")],
          misses: [miss("a"), miss("b", { attempts: 9, retryIn: undefined }), miss("c", { outcome: "deferred" })]
        })
        yield* commit({ misses: [miss("stored", { attempts: 9, retryIn: undefined })] })
        yield* store.release(fence, { pollIn: Duration.hours(9) })
        assert.deepStrictEqual(yield* store.redrive(id, ["b", "fine", "nobody"]), ["b"])
        assert.deepStrictEqual(
          (yield* store.retriesDue(id, 10)).map((one) => `${one.externalId} ${one.attempts}`).toSorted(),
          ["b 0", "c 0"]
        )
        assert.isTrue((yield* store.due(1000)).some((due) => due.connectionId === id))
        assert.deepStrictEqual([...(yield* store.redrive(id, undefined))].toSorted(), ["a", "b", "c", "stored"])
        assert.deepStrictEqual((yield* store.retriesDue(id, 10)).map((one) => one.externalId).toSorted(), [
          "a",
          "b",
          "c",
          "stored"
        ])
        assert.deepStrictEqual(yield* stored(id), ["fine", "stored"])
      })
    )

    it.effect("the ledger is read whole or by id, in the order of ids", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const { commit, id } = yield* running()
        yield* commit({ misses: ["c", "a", "b"].map((one) => miss(one)) })
        const read = Effect.fnUntraced(function* (options: Parameters<typeof store.ledger>[1]) {
          return (yield* store.ledger(id, options)).map((one) => one.externalId)
        })
        assert.deepStrictEqual(yield* read({ limit: 10 }), ["a", "b", "c"])
        assert.deepStrictEqual(yield* read({ limit: 2 }), ["a", "b"])
        assert.deepStrictEqual(yield* read({ limit: 10, externalIds: ["c", "x"] }), ["c"])
      })
    )
  })

  it.layer(layer)(`${name}: patches`, (it) => {
    it.effect("a patch merges by RFC 7396, and counts only what it changes", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a", { metadata: { labels: ["x"], at: { b: 1, c: 2 }, keep: 1 } }), item("b")] })
        const patch = { labels: ["y"], at: { b: null, d: 3 }, gone: null }
        const patches = ["a", "nobody", "no\0id"].map((externalId) => ({ externalId, metadata: patch }))
        yield* aMomentLater
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 1)
        const patched = yield* row(id, "a")
        assert.deepStrictEqual(patched.metadata, { labels: ["y"], at: { c: 2, d: 3 }, keep: 1 })
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 0)
        assert.deepStrictEqual(yield* row(id, "a"), patched)
      })
    )

    it.effect("patches of one id apply in their order, and to what the same batch stores", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const { patched } = yield* commit({
          items: [item("a", { metadata: {} })],
          page: page({
            patches: [
              { externalId: "a", metadata: { n: 1, m: 1 } },
              { externalId: "a", metadata: { n: 2, m: null } }
            ]
          })
        })
        assert.strictEqual(patched, 1)
        assert.deepStrictEqual(yield* metadataOf(id, "a"), { n: 2 })
      })
    )

    it.effect("what is not stored takes no patch", () =>
      Effect.gen(function* () {
        const { commit } = yield* running()
        yield* commit({ misses: [miss("a")] })
        const patches = [{ externalId: "a", metadata: { n: 1 } }]
        assert.strictEqual((yield* commit({ page: page({ patches }) })).patched, 0)
      })
    )
  })

  it.layer(layer)(`${name}: deletions`, (it) => {
    /** A connection with these ids stored before anything else happens. */
    const withStored = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
      const run = yield* running()
      yield* run.commit({ items: ids.map((one) => item(one)) })
      yield* aMomentLater
      return run
    })

    it.effect("a listing that covers all stages what it did not see, and nothing else", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ misses: [miss("failed")] })
        yield* pass(run, ["a", "c"])
        assert.deepStrictEqual(yield* staged(run.id), ["b absence"])
      })
    )

    it.effect("what is stored while the listing goes on is not absent from it", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a"])
        yield* run.commit({ misses: [miss("retried")] })
        yield* store.beginListing(run.fence, { listing: "l", deletes: true })
        yield* aMomentLater
        yield* run.commit({ items: [item("new"), item("retried")] })
        yield* run.commit({ page: page({ listing: "l", seen: ["a"], covers: [{ prefix: "" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), [])
      })
    )

    it.effect("marks last from page to page and from run to run, and beginning again changes nothing", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c"])
        yield* store.beginListing(run.fence, { listing: "l", deletes: true })
        yield* run.commit({ page: page({ listing: "l", seen: ["a"] }) })
        yield* store.release(run.fence, {})
        const fence = yield* take(run.id)
        const runId = yield* beginRun(fence)
        yield* store.beginListing(fence, { listing: "l", deletes: true })
        yield* store.commit(fence, {
          runId,
          taskId: undefined,
          items: [],
          misses: [],
          done: [],
          counts: {},
          problems: [],
          page: page({ listing: "l", seen: ["b"], covers: [{ prefix: "" }] })
        })
        assert.deepStrictEqual(yield* staged(run.id), ["c absence"])
      })
    )

    it.effect("a listing that another has taken the place of proves nothing", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b"])
        yield* store.beginListing(run.fence, { listing: "first", deletes: true })
        yield* store.beginListing(run.fence, { listing: "second", deletes: true })
        yield* run.commit({ page: page({ listing: "first", seen: [], covers: [{ prefix: "" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), [])
      })
    )

    it.effect("a part covers the ids with its prefix and none of its exceptions, taken literally", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a/1", "a/2", "a/x/1", "a%", "b/1", "A/1", "a_", "a"])
        yield* pass(run, ["a/1"], { covers: [{ prefix: "a/", except: ["a/x/"] }] })
        assert.deepStrictEqual(yield* staged(run.id), ["a/2 absence"])
        yield* run.commit({ page: page({ listing: "a listing", covers: [{ prefix: "a%" }, { prefix: "a_" }] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a% absence", "a/2 absence", "a_ absence"])
      })
    )

    it.effect(
      "after a change of scope nothing is staged: what was not seen leaves the scope until it is seen again",
      () =>
        Effect.gen(function* () {
          const run = yield* withStored(["in", "out"])
          yield* pass(run, ["in"], { deletes: false })
          assert.deepStrictEqual(yield* staged(run.id), [])
          assert.deepStrictEqual(yield* stored(run.id), ["in", "out"])
          yield* pass(run, ["in"], { listing: "next" })
          assert.deepStrictEqual(yield* staged(run.id), [])
          yield* pass(run, ["in", "out"], { listing: "third" })
          yield* pass(run, ["in"], { listing: "fourth" })
          assert.deepStrictEqual(yield* staged(run.id), ["out absence"])
        })
    )

    it.effect("an id that is listed or stored again leaves the stage", () =>
      Effect.gen(function* () {
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ page: page({ deleted: ["a", "b", "c", "no\0id", "nobody"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["a event", "b event", "c event"])
        yield* run.commit({ items: [item("a")], page: page({ seen: ["b"] }) })
        assert.deepStrictEqual(yield* staged(run.id), ["c event"])
      })
    )

    it.effect("a deleted id that is only in the ledger becomes gone", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored([])
        yield* run.commit({ misses: [miss("a"), miss("b", { outcome: "deferred" })] })
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        assert.deepStrictEqual(yield* listed(run.id, "gone"), ["a", "b"])
        assert.deepStrictEqual(yield* store.existing(run.id, ["a", "b"]), new Set())
        assert.deepStrictEqual(yield* staged(run.id), [])
      })
    )

    it.effect("deletions under the threshold are applied: the content is deleted softly, and not known", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c"])
        yield* run.commit({ misses: [miss("b")] })
        yield* run.commit({ page: page({ deleted: ["b"] }) })
        const settled = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 1, share: 0 })
        assert.deepStrictEqual(settled, { deleted: 1, held: 0 })
        assert.deepStrictEqual(yield* listed(run.id, "deleted"), ["b"])
        assert.deepStrictEqual(yield* stored(run.id), ["a", "c"])
        assert.deepStrictEqual(yield* store.existing(run.id, ["b"]), new Set())
        assert.deepStrictEqual(yield* store.ledger(run.id, { limit: 10 }), [])
        assert.isNotNull((yield* row(run.id, "b")).hash)
        assert.strictEqual(Option.getOrThrow(yield* store.run(run.runId)).counts.deleted, 1)
        assert.deepStrictEqual(yield* store.settleDeletions(run.fence, { runId: undefined, atMost: 0, share: 0 }), {
          deleted: 0,
          held: 0
        })
      })
    )

    it.effect("deletions above the threshold are held until a person approves them", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
        const held = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 1, share: 0.4 })
        assert.deepStrictEqual(held, { deleted: 0, held: 2 })
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 2)
        assert.deepStrictEqual(yield* stored(run.id), ["a", "b", "c", "d"])
        assert.strictEqual(yield* store.approveDeletions(run.id), 2)
        assert.deepStrictEqual(yield* stored(run.id), ["c", "d"])
        assert.strictEqual((yield* store.totals(run.id)).deletionsHeld, 0)
        assert.strictEqual(yield* store.approveDeletions(run.id), 0)
      })
    )

    it.effect("a share of what is stored is a threshold too, and it is inclusive", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a", "b", "c", "d"])
        yield* run.commit({ page: page({ deleted: ["a", "b"] }) })
        const settled = yield* store.settleDeletions(run.fence, { runId: run.runId, atMost: 0, share: 0.5 })
        assert.deepStrictEqual(settled, { deleted: 2, held: 0 })
      })
    )

    it.effect("totals count what is stored, in the ledger and deleted, and the bytes that are stored", () =>
      Effect.gen(function* () {
        const store = yield* Store
        const run = yield* withStored(["a"])
        yield* run.commit({
          items: [item("b", { text: "12345" }), item("c", { text: "123" })],
          misses: [miss("d"), miss("e", { outcome: "deferred" }), miss("f", { retryIn: undefined })],
          page: page({ deleted: ["c"] })
        })
        yield* run.commit({ misses: [miss("b")] })
        yield* store.settleDeletions(run.fence, { runId: undefined, atMost: 9, share: 1 })
        assert.deepStrictEqual(yield* store.totals(run.id), {
          stored: 2,
          failed: 2,
          dead: 1,
          deferred: 1,
          deleted: 1,
          bytes: 5 + "body of a".length,
          deletionsHeld: 0
        })
      })
    )
  })
}
