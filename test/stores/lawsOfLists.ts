/** The laws of lists: order, filters, and pages that neither skip nor repeat rows during concurrent writes. */
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { ContentPlace, ContentSelection } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { deleteStaged, item, ledgerUpdate, page, running, type Time } from "./scenario.ts"
import { runs } from "../support/Property.ts"

const times = [
  "2026-01-01T00:00:00.000Z",
  "2026-01-01T00:00:00.001Z",
  "1900-02-03T04:05:06.789Z",
  "2030-01-01T00:00:00Z"
]
const Instant = Schema.NullOr(Schema.Literals(times))
const Kind = Schema.Literals(["message", "file"])
/** Titles and searches with letters that are special in `LIKE`, in both cases. */
const Text = Schema.Array(Schema.Literals(["a", "A", "%", "_", "\\", "é", "É", " ", "😀"]))

const utc = (at: string) => DateTime.makeUnsafe(at)

/** Returns the ids of a selection, page by page. `between` runs after each page, while the list is being read. */
const listAll = Effect.fnUntraced(function* (
  id: ConnectionId,
  selection: ContentSelection,
  between: Effect.Effect<unknown, unknown> = Effect.void
) {
  const store = yield* WholeStore
  const found: Array<string> = []
  let after: ContentPlace | undefined
  do {
    const { contents, next } = yield* store.contents(id, { ...selection, after })
    assert.isAtMost(contents.length, selection.limit)
    found.push(...contents.map((row) => row.externalId))
    after = next ?? undefined
    yield* between
  } while (after !== undefined)
  return found
})

export const suite = <E>(name: string, layer: Layer.Layer<Store | Time, E>): void => {
  it.layer(layer)(`${name}: lists`, (it) => {
    it.effect("the newest come first, those of one time by their ids backwards, and unknown times last", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const at = (externalId: string, time: string | null) =>
          item(externalId, { occurredAt: time === null ? undefined : utc(time) })
        yield* commit({
          items: [
            at("b", null),
            at("a", null),
            at("old", "1969-12-31T23:59:59.999Z"),
            at("x", "2026-01-01T00:00:00Z"),
            at("y", "2026-01-01T00:00:00Z"),
            at("\uffee", "2026-01-01T00:00:00Z"),
            at("😀", "2026-01-01T00:00:00Z"),
            at("new", "2026-01-01T00:00:00.001Z")
          ]
        })
        const expected = ["new", "😀", "\uffee", "y", "x", "old", "b", "a"]
        for (const limit of [1, 2, 3, 100]) {
          assert.deepStrictEqual(yield* listAll(id, { state: "stored", order: "newest", limit }), expected)
        }
      })
    )

    it.effect("a list goes on where it was, whatever is added before and behind", () =>
      Effect.gen(function* () {
        const { commit, id } = yield* running()
        const minute = (n: number) => utc(`2026-01-01T00:${String(n).padStart(2, "0")}:00Z`)
        yield* commit({ items: [1, 3, 5, 7].map((n) => item(`m${n}`, { occurredAt: minute(n) })) })
        let added = 10
        const add = Effect.suspend(() => {
          added += 1
          return commit({ items: [item(`m${added}`, { occurredAt: minute(added) })] })
        })
        const newest = yield* listAll(id, { state: "stored", order: "newest", limit: 1 }, add)
        assert.deepStrictEqual(newest, ["m7", "m5", "m3", "m1"])
        const before = yield* listAll(id, { state: "stored", limit: 100 })
        const stored = commit({ items: [item("a", {}), item("z", {})] })
        const byId = yield* listAll(id, { state: "stored", limit: 2 }, stored)
        assert.deepStrictEqual(byId, [...before, "z"])
      })
    )

    it.effect("what is in the ledger, deleted or gone is listed under its state, the newest first too", () =>
      Effect.gen(function* () {
        const { commit, fence, id } = yield* running()
        yield* commit({ items: [item("a"), item("b"), item("c")] })
        yield* commit({ page: page({ deleted: ["a", "b"] }) })
        yield* deleteStaged(fence)
        yield* commit({
          ledgerUpdates: [
            ledgerUpdate("c"),
            ledgerUpdate("d"),
            ledgerUpdate("e", { outcome: "gone", retryIn: undefined })
          ]
        })
        const ids = (state: ContentSelection["state"]) => listAll(id, { state, order: "newest", limit: 1 })
        assert.deepStrictEqual(yield* ids("deleted"), ["b", "a"])
        assert.deepStrictEqual(yield* ids("failed"), ["c", "d"])
        assert.deepStrictEqual(yield* ids("gone"), ["e"])
        assert.deepStrictEqual(yield* ids("stored"), ["c"])
      })
    )

    it.effect.prop(
      "any filters in any order, with pages of any size, find what the model finds",
      {
        rows: Schema.Array(
          Schema.Struct({
            id: Schema.Literals(["a", "b", "c", "d", "é", "😀"]),
            at: Instant,
            kind: Kind,
            title: Schema.NullOr(Text)
          })
        ),
        kind: Schema.NullOr(Kind),
        since: Instant,
        until: Instant,
        text: Schema.NullOr(Text),
        newest: Schema.Boolean,
        limit: Schema.Literals([1, 2, 5])
      },
      ({ rows, ...given }) =>
        Effect.gen(function* () {
          const { commit, id } = yield* running()
          const distinct = [...new Map(rows.map((row) => [row.id, row])).values()]
          yield* commit({
            items: distinct.map((row) =>
              item(row.id, {
                kind: row.kind,
                occurredAt: row.at === null ? undefined : utc(row.at),
                title: row.title === null ? undefined : row.title.join("")
              })
            )
          })
          const text = given.text?.join("")
          const since = given.since === null ? undefined : utc(given.since)
          const until = given.until === null ? undefined : utc(given.until)
          const isFound = (row: (typeof distinct)[number]) => {
            const at = row.at === null ? undefined : Date.parse(row.at)
            return (
              (given.kind === null || row.kind === given.kind) &&
              (given.since === null || (at !== undefined && at >= Date.parse(given.since))) &&
              (given.until === null || (at !== undefined && at < Date.parse(given.until))) &&
              (text === undefined ||
                (row.title !== null && row.title.join("").toLowerCase().includes(text.toLowerCase())))
            )
          }
          const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
          const millis = (at: string | null) => (at === null ? -Infinity : Date.parse(at))
          const expected = distinct
            .filter(isFound)
            .toSorted((a, b) =>
              !given.newest
                ? byBytes(a.id, b.id)
                : millis(a.at) === millis(b.at)
                  ? byBytes(b.id, a.id)
                  : millis(b.at) - millis(a.at)
            )
          const found = yield* listAll(id, {
            state: "stored",
            order: given.newest ? "newest" : "id",
            kind: given.kind ?? undefined,
            since,
            until,
            text,
            limit: given.limit
          })
          assert.deepStrictEqual(
            found,
            expected.map((row) => row.id)
          )
        }),
      runs(80)
    )
  })
}
