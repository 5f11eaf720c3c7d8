/** A walk returns each file once, in one order, wherever it is resumed. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Names from "../../../src/integrations/ftp/Names.ts"
import type { Entry, Listing } from "../../../src/integrations/ftp/Remote.ts"
import * as Walk from "../../../src/integrations/ftp/Walk.ts"
import { runs } from "../../support/Property.ts"

const listingOf = (paths: ReadonlyArray<string>, folder: string): Listing => {
  const entries = new Map<string, Entry>()
  for (const path of paths) {
    if (folder !== "" && !path.startsWith(`${folder}/`)) continue
    const [name = "", ...below] = (folder === "" ? path : path.slice(folder.length + 1)).split("/")
    entries.set(name, { name, kind: below.length === 0 ? "file" : "folder" })
  }
  return { entries: [...entries.values()].toReversed(), problems: [] }
}

const walk = (paths: ReadonlyArray<string>, from?: Walk.Position) =>
  Stream.runCollect(
    Walk.walk(
      {
        list: (folder) => Effect.sync(() => listingOf(paths, folder)),
        confirm: () => Effect.succeed({ unconfirmed: [], parts: [] }),
        maxDepth: 9,
        maxEntries: 1_000_000,
        takes: () => true,
        enters: () => true
      },
      from
    )
  )

const found = (steps: ReadonlyArray<Walk.Step>) => steps.flatMap((step) => step.files.map(({ path }) => path))

describe("Walk", () => {
  it.effect.prop(
    "each file once, and the rest of them from every position",
    [
      // A folder's path, and its number of files, which is enough for several pages.
      Schema.Array(
        Schema.Tuple([
          Schema.Array(Schema.Literals(["a", "b", "a b", "é", "%", "z"])).check(Schema.isMaxLength(4)),
          Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: 700 })))
        ])
      )
    ],
    ([folders]) =>
      Effect.gen(function* () {
        const paths = [
          ...new Set(
            folders.flatMap(([names, count]) =>
              Array.from({ length: count }, (_, index) =>
                Names.join(names.map((name) => `d${name}`).join("/"), `f${index}`)
              )
            )
          )
        ]
        const whole = yield* walk(paths)
        assert.deepStrictEqual([...found(whole)].sort(), [...paths].sort())
        assert.isTrue(whole.every((step) => step.files.length <= 500))
        for (const [index, step] of whole.entries()) {
          if (step.position === undefined) continue
          const rest = yield* walk(paths, step.position)
          assert.deepStrictEqual([...found(whole.slice(0, index + 1)), ...found(rest)], found(whole))
        }
        assert.isUndefined(whole.at(-1)?.position)
      }),
    runs(40)
  )

  it.effect("counts each entry once, wherever it is taken up", () =>
    Effect.gen(function* () {
      const paths = Array.from({ length: 350 }, (_, index) => `d${index}/f`)
      const whole = yield* walk(paths)
      assert.isAtLeast(whole.length, 3)
      for (const [index, { position }] of whole.slice(0, -1).entries()) {
        const rest = yield* walk(paths, position)
        assert.deepStrictEqual(
          rest.map((step) => step.position?.entries),
          whole.slice(index + 1).map((step) => step.position?.entries)
        )
      }
    })
  )

  it.effect("goes on from a place that is no more, without what lay before it", () =>
    Effect.gen(function* () {
      const paths = ["a/x", "b/x", "b/y", "c/d/x", "z"]
      const from = (folder: string, after: string | null) => ({ folder, after, unread: [] })
      assert.deepStrictEqual(found(yield* walk(paths, from("b", "w"))), ["b/x", "b/y", "c/d/x"])
      assert.deepStrictEqual(found(yield* walk(paths, from("bb", null))), ["c/d/x"])
      assert.deepStrictEqual(found(yield* walk(paths, from("c/a/gone", "x"))), ["c/d/x"])
      assert.deepStrictEqual(found(yield* walk(paths, from("zz/gone", "x"))), [])
    })
  )

  it.effect("a folder of names that are too long does not end the walk of a later slice", () =>
    Effect.gen(function* () {
      // Each name is allowed; the path is longer than an external id may be.
      const deep = Array.from({ length: 4 }, (_, index) => String(index).repeat(250)).join("/")
      const paths = [...Array.from({ length: 100 }, (_, index) => `${deep}/${"n".repeat(30)}${index}`), "z/x"]
      const whole = yield* walk(paths)
      assert.deepStrictEqual(found(whole), ["z/x"])
      const places = whole.flatMap(({ problems }) => problems.map(({ place }) => place.length))
      assert.deepStrictEqual([places.length, Math.max(...places)], [100, 200])
      const position = whole[0]?.position
      assert.strictEqual(position?.folder, deep)
      const rest = yield* walk(paths, position)
      assert.deepStrictEqual(found(rest), ["z/x"])
      // The first slice has reported the problems of this folder.
      assert.deepStrictEqual(
        rest.flatMap(({ problems }) => problems),
        []
      )
    })
  )
})
