/** The laws of stored content: the outcome of each commit, and look-ups of content. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { ContentPlace } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Model from "./model.ts"
import {
  aMomentLater,
  item,
  listed,
  metadataOf,
  ledgerUpdate,
  page,
  row,
  running,
  settle,
  stored,
  type Time
} from "./scenario.ts"
import { runs } from "../support/Property.ts"

/** Letters of any kind: astral, combining, NUL, lone surrogates. */
// prettier-ignore
const letters = [
  "a", "b", "é", "e\u0301", "😀", "\uffee", "\0", "\ud800", "\udc00", "\u2028", "'", '"', "\\", "/", "{"
] as const
const AnyText = Schema.Array(Schema.Literals(letters))

const AnyMetadata = Schema.Record(Schema.String, Schema.Json)

const cleaned = (text: string): string => text.toWellFormed().replaceAll("\0", "\uFFFD")

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: outcomes`, (it) => {
    it.effect("contents are read by their ids, in any state, and only those of their connection", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const run = yield* running()
        const other = yield* running()
        yield* run.commit({ items: [item("a"), item("b"), item("c")], ledgerUpdates: [ledgerUpdate("d")] })
        yield* other.commit({ items: [item("e")] })
        const rows = yield* store.contentsById(run.id, ["a", "c", "d", "e", "none", "\0", "a"])
        assert.deepStrictEqual([...rows].map(([id, { externalId, state }]) => [id, externalId, state]).toSorted(), [
          ["a", "a", "stored"],
          ["c", "c", "stored"],
          ["d", "d", "failed"]
        ])
        assert.strictEqual((yield* store.contentsById(run.id, [])).size, 0)
      })
    )

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

    it.effect(
      "an item without a revision takes the stored one away, unless it is unchanged and no page listed it",
      () =>
        Effect.gen(function* () {
          const { commit, id } = yield* running()
          const revision = Effect.map(row(id, "a"), (found) => found.revision)
          yield* commit({ items: [item("a", { revision: "r1" })] })
          const unknown = { revision: undefined }
          yield* commit({ items: [item("a", unknown)], listed: [] })
          assert.strictEqual(yield* revision, "r1")
          yield* commit({ items: [item("a", unknown)], listed: ["a"] })
          assert.isNull(yield* revision)
          yield* commit({ items: [item("a", { revision: "r1" })] })
          yield* commit({ items: [item("a", { ...unknown, text: "other" })], listed: [] })
          assert.isNull(yield* revision)
        })
    )

    it.effect("each part of unchanged content that may differ is kept, and the content leaves the ledger", () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        yield* commit({ items: [item("a")] })
        const unchanged = Effect.fnUntraced(function* (parts: Parameters<typeof item>[1]) {
          assert.strictEqual((yield* commit({ items: [item("a", parts)] })).outcomes.get("a"), "unchanged")
          return yield* row(id, "a")
        })
        const revised = { revision: "r2" }
        assert.strictEqual((yield* unchanged(revised)).revision, "r2")
        const read = { ...revised, volatile: { read: true } }
        assert.deepStrictEqual((yield* unchanged(read)).volatile, { read: true })
        const keyed = { ...read, bodyKey: "a key" }
        yield* unchanged(keyed)
        assert.isTrue((yield* store.copySources(id, ["a key"])).has("a key"))
        yield* commit({ ledgerUpdates: [ledgerUpdate("a", revised)] })
        yield* unchanged(keyed)
        assert.deepStrictEqual(yield* store.ledger(id, { limit: 1 }), [])
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
        const store = yield* WholeStore
        const { commit, fence, id, runId } = yield* running()
        yield* commit({ items: [item("a")], ledgerUpdates: [] })
        yield* commit({ page: page({ deleted: ["a"] }) })
        yield* settle(fence, { runId, atMost: 1, share: 0 })
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
        const store = yield* WholeStore
        const { commit, id } = yield* running()
        const ids = ["b", "a", "B", "é", "😀", "\uffee", "a/b", "a b", "%", "a\nb"]
        yield* commit({ items: ids.map((one) => item(one)) })
        const found: Array<string> = []
        let after: ContentPlace | undefined
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
      runs(40)
    )

    it.effect.prop(
      "an id of any Unicode is found by itself and by no other",
      { one: AnyText, other: AnyText },
      ({ one, other }) =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, id } = yield* running()
          const a = `x${cleaned(one.join(""))}`
          const b = `x${cleaned(other.join(""))}`
          yield* commit({ items: [item(a)] })
          assert.deepStrictEqual(yield* store.existing(id, [a, b]), new Set([a]))
          assert.deepStrictEqual(yield* stored(id), [a])
          assert.strictEqual((yield* row(id, a)).externalId, a)
        }),
      runs(40)
    )

    it.effect.prop(
      "any sequence of commits ends as the model of it does",
      { steps: Model.sequence(Model.Step) },
      ({ steps }) =>
        Effect.gen(function* () {
          const store = yield* WholeStore
          const { commit, fence, id } = yield* running()
          const model = Model.empty()
          for (const step of steps) {
            const expected = Model.apply(model, step)
            if (step._tag === "settle") {
              const { deleted } = yield* settle(fence, { atMost: 100, share: 1 })
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
      runs(60)
    )
  })
}
