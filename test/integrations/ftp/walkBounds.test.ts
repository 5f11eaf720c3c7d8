/** A walk leaves out folders that it can't read, that lead back, or that exceed a bound, and says so. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Errors from "../../../src/contract/IntegrationError.ts"
import type { ListedFolder } from "../../../src/integrations/ftp/EmptyFolders.ts"
import type { Entry, Listing } from "../../../src/integrations/ftp/Remote.ts"
import * as Walk from "../../../src/integrations/ftp/Walk.ts"

type Answer = (Partial<Omit<Listing, "entries">> & { readonly entries?: ReadonlyArray<Entry | string> }) | Errors.Reason

/** An entry of this name: a folder if the name ends with a slash. */
const entryOf = (entry: Entry | string): Entry =>
  typeof entry !== "string"
    ? entry
    : entry.endsWith("/")
      ? { name: entry.slice(0, -1), kind: "folder" }
      : { name: entry, kind: "file" }

/** Walks through folders that answer so. A folder without an answer has one file. */
const walk = (
  answers: Readonly<Record<string, Answer>>,
  options: Partial<Walk.Options<never>> & { readonly from?: Walk.Position } = {}
) =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    const listed: Array<ReadonlyArray<ListedFolder>> = []
    const { from, ...more } = options
    const steps = yield* Stream.runCollect(
      Walk.walk(
        {
          list: (folder) =>
            Effect.suspend(() => {
              asked.push(folder)
              const answer = answers[folder] ?? { entries: ["f"] }
              if ("_tag" in answer) return Effect.fail(new Errors.IntegrationError({ reason: answer }))
              return Effect.succeed({ problems: [], ...answer, entries: (answer.entries ?? []).map(entryOf) })
            }),
          confirm: (folders) => {
            listed.push(folders)
            return Effect.succeed({ unconfirmed: [], parts: [] })
          },
          maxDepth: 9,
          maxEntries: 1_000_000,
          takes: () => true,
          enters: () => true,
          ...more
        },
        from
      )
    )
    return {
      asked,
      steps,
      listed,
      files: steps.flatMap(({ files }) => files.map(({ path }) => path)),
      problems: steps.flatMap(({ problems }) => problems.map(({ message, place }) => `${place}: ${message}`)),
      unread: steps.at(-1)?.unread
    }
  })

const numbered = (count: number, name: (index: string) => string) =>
  Array.from({ length: count }, (_, index) => name(String(index).padStart(4, "0")))

describe("a walk", () => {
  it.effect("lists files and folders in the order of their names, the selected ones alone", () =>
    Effect.gen(function* () {
      const answers = { "": { entries: ["b/", "z", "a/", "y", { name: "l", kind: "other" } as const] } }
      assert.deepStrictEqual((yield* walk(answers)).files, ["y", "z", "a/f", "b/f"])
      const some = yield* walk(answers, {
        takes: (path) => path !== "y" && path !== "a",
        enters: (path) => path === "b"
      })
      assert.deepStrictEqual([some.files, some.asked, some.problems], [["z", "b/f"], ["", "b"], []])
      const entries = [{ name: "a", kind: "file", size: 7, modified: "2024-01-02T03:04:05Z" } as const]
      const { steps } = yield* walk({ "": { entries } })
      assert.deepStrictEqual(steps[0]?.files, [{ path: "a", size: 7, modified: "2024-01-02T03:04:05Z" }])
    })
  )

  it.effect("leaves out folders that are too deep, and keeps what is stored below them", () =>
    Effect.gen(function* () {
      const answers = { "": { entries: ["a/"] }, a: { entries: ["b/", "f"] }, "a/b": { entries: ["c/", "f"] } }
      const { asked, files, problems, unread } = yield* walk(answers, { maxDepth: 2 })
      assert.deepStrictEqual(
        [asked, files],
        [
          ["", "a", "a/b"],
          ["a/f", "a/b/f"]
        ]
      )
      assert.deepStrictEqual(problems, ["a/b/c: it was left out: it is more than 2 folders deep"])
      assert.deepStrictEqual(unread, ["a/b/c/"])
    })
  )

  it.effect("enters no folder below itself, by its identity or else by what it holds", () =>
    Effect.gen(function* () {
      const loop = "it was left out: it leads back to a folder above it"
      const folder = (name: string, identity?: string): Entry => ({ name, kind: "folder", identity })
      const told = yield* walk({
        "": { entries: [folder("a", "1")], identity: "0" },
        // A folder beside it with the same identity is no loop.
        a: { entries: [folder("b", "2"), folder("c", "2"), folder("d", "0"), folder("e", "1")] }
      })
      assert.deepStrictEqual(told.asked, ["", "a", "a/b", "a/c"])
      assert.deepStrictEqual(told.problems, [`a/d: ${loop}`, `a/e: ${loop}`])
      assert.deepStrictEqual(told.unread, ["a/d/", "a/e/"])
      const own = yield* walk({ "": { entries: ["a/"], identity: "0" }, a: { identity: "0", entries: ["f"] } })
      assert.deepStrictEqual([own.files, own.problems], [[], [`a: ${loop}`]])
      const held = yield* walk({
        "": { entries: ["a/", "b/"], digest: "x" },
        a: { entries: ["c/"], digest: "x" },
        b: { entries: ["c/", "d/", "f"], digest: "y", identity: "1" },
        "b/c": { entries: ["f"], digest: "y" },
        "b/d": { entries: ["f"], digest: "z" }
      })
      assert.deepStrictEqual(held.files, ["b/f", "b/d/f"])
      assert.deepStrictEqual(held.problems, [`a: ${loop}`, `b/c: ${loop}`])
      // Two folders with other identities may hold the same.
      const same = yield* walk({
        "": { entries: ["a/"], identity: "0", digest: "x" },
        a: { entries: ["f"], identity: "1", digest: "x" }
      })
      assert.deepStrictEqual([same.files, same.problems], [["a/f"], []])
    })
  )

  it.effect("goes on without a folder that can't be listed, and ends if that is the root or the server", () =>
    Effect.gen(function* () {
      const root = { "": { entries: ["a/", "b/", "c/", "d/"] } }
      const { files, problems, unread } = yield* walk({
        ...root,
        a: new Errors.Forbidden({ message: "refused" }),
        b: new Errors.Malformed({ message: "unreadable" }),
        // Removed since its parent was listed.
        c: new Errors.Gone({ message: "gone" })
      })
      assert.deepStrictEqual(files, ["d/f"])
      assert.deepStrictEqual(problems, ["a: refused", "b: unreadable"])
      assert.deepStrictEqual(unread, ["a/", "b/", "c/"])
      for (const reason of [new Errors.Transient({ message: "reset" }), new Errors.Unauthorized({ message: "out" })]) {
        assert.strictEqual((yield* Effect.flip(walk({ ...root, a: reason }))).reason._tag, reason._tag)
      }
      const refused = yield* Effect.flip(walk({ "": new Errors.Forbidden({ message: "refused" }) }))
      assert.strictEqual(refused.message, "refused")
    })
  )

  it.effect("keeps what may be stored under names that a server did not show", () =>
    Effect.gen(function* () {
      const names = numbered(21, (index) => `n${index}`)
      const { files, problems, unread } = yield* walk({
        "": { entries: ["a/", "b/", "c/", "l/"], unread: ["x"] },
        a: { entries: ["f"], unread: names.slice(1), problems: ["2 lines can't be read"] },
        b: { entries: ["f"], unread: names },
        c: { entries: ["f"], incomplete: "it has too many names" },
        l: { entries: ["f", { name: "s", kind: "link" }, { name: "t", kind: "link" }] }
      })
      assert.deepStrictEqual(files, ["a/f", "b/f", "c/f", "l/f"])
      assert.deepStrictEqual(problems, [
        "a: 2 lines can't be read",
        "c: the server did not list all of it: it has too many names",
        "l: 2 links in it were not followed"
      ])
      assert.deepStrictEqual(unread, ["x", ...names.slice(1).map((name) => `a/${name}`), "b/", "c/"])
      const root = yield* walk({ "": { unread: names, problems: ["odd"], entries: ["f"] } })
      assert.deepStrictEqual([root.unread, root.problems], [[""], ["/: odd"]])
    })
  )

  it.effect("deletes nothing once the prefixes that it could not read are too many to store, also later", () =>
    Effect.gen(function* () {
      // With its two quotes and a comma, each of the prefixes takes 100 characters.
      const folders = numbered(402, (index) => `${index}${"x".repeat(92)}`)
      const answers = Object.fromEntries(folders.map((name) => [name, new Errors.Gone({ message: "gone" })]))
      const of = (count: number) =>
        walk({ ...answers, "": { entries: folders.slice(0, count).map((name) => `${name}/`) } })
      assert.strictEqual((yield* of(399)).unread?.length, 399)
      assert.isNull((yield* of(402)).unread)
      const from = { folder: "", after: null, unread: null }
      assert.isNull((yield* walk({ "": { entries: ["a"] } }, { from })).unread)
    })
  )

  it.effect("ends after the most entries, also if an earlier slice has listed most of them", () =>
    Effect.gen(function* () {
      const answers = { "": { entries: ["a/", "b/"] }, a: { entries: ["1", "2"] }, b: { entries: ["3"] } }
      const whole = yield* walk(answers, { maxEntries: 5 })
      assert.deepStrictEqual([whole.files, whole.problems, whole.unread], [["a/1", "a/2", "b/3"], [], []])
      const cut = yield* walk(answers, { maxEntries: 4 })
      assert.deepStrictEqual(cut.files, ["a/1", "a/2"])
      assert.deepStrictEqual(cut.problems, [
        `b: the listing ended here, after more than 4 files and folders: exclude folders, or raise "maxEntries"`
      ])
      assert.isNull(cut.unread)
      assert.isUndefined(cut.steps.at(-1)?.position)
      const from = { folder: "a", after: "2", unread: [], entries: 4 }
      assert.deepStrictEqual((yield* walk(answers, { maxEntries: 5, from })).files, ["b/3"])
      assert.deepStrictEqual((yield* walk(answers, { maxEntries: 4, from })).files, [])
    })
  )

  it.effect("makes pages of 500 files, 100 folders and about 100 problems", () =>
    Effect.gen(function* () {
      const many = yield* walk({ "": { entries: [...numbered(501, (index) => `f${index}`), "z/"] } })
      assert.deepStrictEqual(
        many.steps.map(({ files }) => files.length),
        [500, 2]
      )
      const files = numbered(400, String)
      const two = yield* walk({ "": { entries: ["a/", "b/"] }, a: { entries: files }, b: { entries: files } })
      assert.deepStrictEqual(
        two.steps.map((step) => step.files.length),
        [500, 300]
      )
      const empty = { entries: [] }
      const folders = numbered(101, (index) => `d${index}`)
      const hollow = yield* walk({
        "": { entries: folders.map((name) => `${name}/`) },
        ...Object.fromEntries(folders.map((name) => [name, empty]))
      })
      assert.deepStrictEqual(
        hollow.listed.map((page) => page.length),
        [101, 1]
      )
      const bad = (count: number) => ({ entries: ["f"], problems: numbered(count, String) })
      const told = yield* walk({ "": { entries: ["a/", "b/", "c/"] }, a: bad(101), b: bad(99), c: bad(1) })
      assert.deepStrictEqual(
        told.steps.map(({ problems }) => problems.length),
        [100, 100, 0]
      )
    })
  )

  it.effect("asks once a page which of its folders are empty, and keeps what may be stored in the others", () =>
    Effect.gen(function* () {
      const parts = [{ key: "a", checkpoint: { emptySince: 1 } }]
      const listed: Array<ReadonlyArray<ListedFolder>> = []
      const { steps, unread } = yield* walk(
        {
          "": { entries: ["a/", "b/", "c/"] },
          a: { entries: [] },
          b: { entries: [], problems: ["a line can't be read"] },
          c: { entries: ["f"] }
        },
        {
          confirm: (folders) => {
            listed.push(folders)
            return Effect.succeed({ unconfirmed: ["", "a"], parts })
          }
        }
      )
      assert.deepStrictEqual(listed, [
        [
          { folder: "", isEmpty: false },
          { folder: "a", isEmpty: true },
          { folder: "b", isEmpty: false },
          { folder: "c", isEmpty: false }
        ]
      ])
      assert.deepStrictEqual([steps.map((step) => step.parts), unread], [[parts], ["", "a/"]])
    })
  )

  it.effect("says of a folder what it has said before only once, wherever it is taken up", () =>
    Effect.gen(function* () {
      const answers = {
        "": { entries: ["a/", "b/", { name: "l", kind: "link" } as const], problems: ["odd"], unread: ["x"] },
        a: { entries: ["1", "2", { name: "l", kind: "link" } as const], problems: ["odd"] }
      }
      const from = { folder: "a", after: "1", unread: [], entries: 6 }
      const { files, problems, steps, unread } = yield* walk(answers, { from })
      assert.deepStrictEqual([files, problems, unread], [["a/2", "b/f"], [], ["x"]])
      assert.isUndefined(steps.at(-1)?.position)
      const root = { "": { entries: ["p", "q", "c/"] } }
      const inRoot = (after: string | null) => walk(root, { from: { folder: "", after, unread: [] } })
      assert.deepStrictEqual((yield* inRoot("p")).files, ["q", "c/f"])
      assert.deepStrictEqual((yield* inRoot(null)).files, ["p", "q", "c/f"])
    })
  )

  it.effect("goes on from a folder that was removed with the one above it", () =>
    Effect.gen(function* () {
      const gone = new Errors.Gone({ message: "gone" })
      const from = { folder: "a/b/c", after: "f", unread: [] }
      const answers = { "": { entries: ["a/", "d/"] }, a: gone, "a/b": gone, "a/b/c": gone }
      const { files, problems, unread } = yield* walk(answers, { from })
      assert.deepStrictEqual([files, problems, unread], [["d/f"], [], ["a/", "a/b/", "a/b/c/"]])
    })
  )

  it.effect("taken up within a folder finds the loops that lead out of it", () =>
    Effect.gen(function* () {
      const folder = (name: string, identity: string): Entry => ({ name, kind: "folder", identity })
      const answers = {
        "": { entries: [folder("a", "1")] },
        a: { entries: [folder("a", "3"), folder("b", "2")] },
        "a/b": { entries: [folder("c", "1"), folder("d", "2"), "f"] }
      }
      const { asked, problems } = yield* walk(answers, { from: { folder: "a/b", after: "f", unread: [] } })
      assert.deepStrictEqual(asked, ["", "a", "a/b"])
      assert.strictEqual(problems.length, 2)
    })
  )
})
