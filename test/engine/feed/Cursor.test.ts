import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { externalIdProblem } from "../../../src/contract/Content.ts"
import * as Cursor from "../../../src/engine/feed/Cursor.ts"
import type { Epoch } from "../../../src/engine/model/Change.ts"
import { ConnectionId } from "../../../src/engine/model/Connection.ts"
import { runs } from "../../support/Property.ts"

const mine = ConnectionId.make("0b1c0b1c-0000-4000-8000-000000000001")
const others = ConnectionId.make("0b1c0b1c-0000-4000-8000-000000000002")
const epoch: Epoch = { databaseId: "a database", number: 1, id: "its first" }
const later: Epoch = { ...epoch, number: 2, id: "its second" }
const elsewhere: Epoch = { ...epoch, databaseId: "another", id: "another's first" }

const Id = Schema.NonEmptyString.pipe(Schema.check(Schema.isMaxLength(300)))
const usable = (id: string): string => (externalIdProblem(id) === undefined ? id : `\ufeff${id.length}/é\n"`)
const Order = Schema.Literals(["id", "newest"])
const Millis = Schema.NullOr(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: -1e12, maximum: 1e13 }))))
const Transaction = Schema.BigInt.pipe(
  Schema.check(Schema.isBetweenBigInt({ minimum: 0n, maximum: 18_446_744_073_709_551_615n }))
)

const placeOf = (id: string, at: number | null) => ({
  externalId: usable(id),
  occurredAt: at === null ? null : DateTime.makeUnsafe(at)
})

const reasonOf = <A>(effect: Effect.Effect<A, { readonly reason: string }>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

describe("a cursor of contents", () => {
  it.effect.prop(
    "gives back the place it was made of, in letters that every shell and URL takes",
    { id: Id, order: Order, at: Millis },
    ({ at, id, order }) =>
      Effect.gen(function* () {
        const list = { epoch, connectionId: mine, order }
        const place = placeOf(id, order === "id" ? null : at)
        const cursor = Cursor.ofContent(list, place)
        assert.match(cursor, /^[A-Za-z0-9_-]+$/)
        assert.deepStrictEqual(yield* Cursor.contentPlace(list, cursor), place)
      }),
    runs()
  )

  it.effect("takes the longest id, with each character escaped", () =>
    Effect.gen(function* () {
      const list = { epoch, connectionId: mine, order: "id" } as const
      const place = { externalId: "\u0001".repeat(1024), occurredAt: null }
      assert.deepStrictEqual(yield* Cursor.contentPlace(list, Cursor.ofContent(list, place)), place)
    })
  )

  it.effect("is refused by another list, and by another time of the database", () =>
    Effect.gen(function* () {
      const list = { epoch, connectionId: mine, order: "id" } as const
      const cursor = Cursor.ofContent(list, placeOf("a", null))
      const reason = (other: Partial<typeof list>) => reasonOf(Cursor.contentPlace({ ...list, ...other }, cursor))
      assert.strictEqual(yield* reason({ connectionId: others }), "foreign")
      assert.strictEqual(yield* reasonOf(Cursor.contentPlace({ ...list, order: "newest" }, cursor)), "foreign")
      assert.strictEqual(yield* reason({ epoch: elsewhere }), "foreign")
      assert.strictEqual(yield* reason({ epoch: later }), "gone")
      assert.strictEqual(yield* reasonOf(Cursor.changePlace(mine, cursor)), "foreign")
    })
  )
})

it("a cursor of contents by their ids holds no time, and one by time does", () => {
  const place = placeOf("a", Date.UTC(2026, 0, 1))
  const timeOf = (order: "id" | "newest") => {
    const cursor = Cursor.ofContent({ epoch, connectionId: mine, order }, place)
    return (JSON.parse(Buffer.from(cursor, "base64url").toString()) as ReadonlyArray<unknown>).at(-1)
  }
  assert.deepStrictEqual([timeOf("id"), timeOf("newest")], [null, Date.UTC(2026, 0, 1)])
})

describe("a cursor of changes", () => {
  it.effect.prop(
    "gives back the place it was made of",
    { id: Schema.NullOr(Id), transaction: Transaction, since: Schema.UndefinedOr(Transaction), all: Schema.Boolean },
    ({ all, id, since, transaction }) =>
      Effect.gen(function* () {
        const list = all ? undefined : mine
        const place = { transaction, row: id === null ? null : { connectionId: mine, externalId: usable(id) } }
        const cursor = Cursor.ofChange(epoch, list, place, since)
        assert.match(cursor, /^[A-Za-z0-9_-]+$/)
        const found = yield* Cursor.changePlace(list, cursor)
        assert.deepStrictEqual(found.place, place)
        // At the end of the changes, the reader has all changes before the position.
        assert.strictEqual(found.since, id === null ? transaction : (since ?? transaction))
        yield* found.check(epoch)
      }),
    runs()
  )

  it.effect("is refused by another list, and by another time of the database", () =>
    Effect.gen(function* () {
      const place = { transaction: 7n, row: null }
      const check = Effect.fnUntraced(function* (list: ConnectionId | undefined, cursor: string, now: Epoch) {
        yield* (yield* Cursor.changePlace(list, cursor)).check(now)
      })
      const ofMine = Cursor.ofChange(epoch, mine, place)
      const ofAll = Cursor.ofChange(epoch, undefined, place)
      yield* check(mine, ofMine, epoch)
      yield* check(undefined, ofAll, epoch)
      assert.strictEqual(yield* reasonOf(check(others, ofMine, epoch)), "foreign")
      assert.strictEqual(yield* reasonOf(check(undefined, ofMine, epoch)), "foreign")
      assert.strictEqual(yield* reasonOf(check(mine, ofAll, epoch)), "foreign")
      assert.include((yield* Effect.flip(check(mine, ofAll, epoch))).message, "to all connections' changes")
      assert.include((yield* Effect.flip(check(others, ofMine, epoch))).message, "to another connection's changes")
      assert.strictEqual(yield* reasonOf(check(mine, ofMine, elsewhere)), "foreign")
      assert.strictEqual(yield* reasonOf(check(mine, ofMine, later)), "gone")
      const ofContent = { epoch, connectionId: mine, order: "id" } as const
      assert.strictEqual(yield* reasonOf(Cursor.contentPlace(ofContent, ofMine)), "foreign")
    })
  )
})

it.effect("a cursor of changes moves from its epoch to another, and no other cursor does", () =>
  Effect.gen(function* () {
    const place = { transaction: 7n, row: { connectionId: mine, externalId: "a" } }
    const moved = (cursor: string) => Cursor.inEpoch(cursor, { from: epoch, to: elsewhere })
    const cursor = moved(Cursor.ofChange(epoch, mine, place, 5n))
    if (cursor === undefined) return assert.fail("the cursor was not moved")
    const found = yield* Cursor.changePlace(mine, cursor)
    assert.deepStrictEqual([found.place, found.since], [place, 5n])
    yield* found.check(elsewhere)
    const others = [
      Cursor.ofChange(later, mine, place),
      Cursor.ofChange({ ...epoch, databaseId: "another" }, mine, place),
      Cursor.ofContent({ epoch, connectionId: mine, order: "id" }, placeOf("a", null)),
      "!!"
    ]
    for (const other of others) assert.isUndefined(moved(other))
  })
)

const json = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
const list = { epoch, connectionId: mine, order: "id" } as const

for (const text of [
  "",
  "m000001",
  "!!",
  "WyIw",
  "%00",
  json(["0b1c"]),
  json("a".repeat(20_000)),
  json(["changes!"]),
  json({ length: 1 }),
  Buffer.from([0xff, 0xfe, 0x00]).toString("base64url")
]) {
  it.effect(`no cursor of any list is made of ${JSON.stringify(text.slice(0, 20))}`, () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* reasonOf(Cursor.contentPlace(list, text)), "malformed")
      assert.strictEqual(yield* reasonOf(Cursor.changePlace(undefined, text)), "malformed")
    })
  )
}

it.effect("a cursor that somebody made up never reaches the database", () =>
  Effect.gen(function* () {
    for (const contents of [
      ["id", "d", "e", mine, "", null],
      ["id", "d", "e", mine, "a\0", null],
      ["newest", "d", "e", mine, "a", 1e300],
      ["newest", "d", "e", mine, "a", 9e15],
      ["id", "d".repeat(10_000), "e", mine, "a", null]
    ]) {
      assert.strictEqual(yield* reasonOf(Cursor.contentPlace(list, json(contents))), "malformed")
    }
    for (const [transaction, row] of [
      ["18446744073709551616", null],
      ["-1", null],
      ["1; DROP TABLE content", null],
      [1, null],
      ["1", ["no uuid", "a"]],
      ["1", [`${mine}0`, "a"]],
      ["1", [`0${mine}`, "a"]],
      ["1", [mine, "a\0"]]
    ]) {
      const cursor = json(["changes", "d", "e", null, transaction, row])
      assert.strictEqual(yield* reasonOf(Cursor.changePlace(undefined, cursor)), "malformed")
    }
  })
)
