import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as BlobLocation from "../../src/stores/blobs/BlobLocation.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import * as Database from "../support/Postgres.ts"
import { usingSettings, usingEnv, using, places, blobFolder, write, read, muchLater, refusalOf } from "./blobFixture.ts"

describe("bodies that move", () => {
  it.live("go from the database to a folder, to a bucket and back, and are read all the while", () =>
    Effect.gen(function* () {
      const { bucket, folder } = yield* places
      const old = (place: string) => ({ IDEM_BLOB_OLD: place })
      const hash = yield* usingEnv({}, write("on its way"))
      const steps = [
        { IDEM_BLOB_DIR: folder },
        { ...bucket, ...old(folder) },
        { ...bucket, IDEM_BLOB_URL: "s3://idem-blobs/else", ...old("s3://idem-blobs/some/where") },
        { ...bucket, IDEM_BLOB_URL: "", ...old("s3://idem-blobs/else") }
      ]
      for (const env of steps) {
        assert.strictEqual(yield* usingEnv(env, read(hash)), "on its way")
        const added = yield* usingEnv(env, write(JSON.stringify(env)))
        yield* usingEnv(env, BlobLocation.move)
        if ("IDEM_BLOB_URL" in env && env.IDEM_BLOB_URL !== "") {
          assert.match(yield* refusalOf({ IDEM_BLOB_DIR: folder }), /has no idem-database/)
        }
        assert.deepStrictEqual(yield* usingEnv(env, BlobLocation.move), { bodies: 0, bytes: 0 })
        const only = { ...env, IDEM_BLOB_OLD: "" }
        assert.strictEqual(yield* usingEnv(only, read(hash)), "on its way")
        assert.strictEqual(yield* usingEnv(only, read(added)), JSON.stringify(env))
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("are missed at once if the former place is empty or missing", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      const [old, unmounted] = [Path.join(parent, "old"), Path.join(parent, "unmounted")]
      const env = { IDEM_BLOB_DIR: Path.join(parent, "new"), IDEM_BLOB_OLD: old }
      const hash = yield* using(old, write("on the old disk"))
      assert.strictEqual(yield* usingEnv(env, read(hash)), "on the old disk")
      yield* Effect.promise(() => Fs.rename(old, unmounted))
      assert.match(
        yield* refusalOf(env),
        /^IDEM_BLOB_OLD: .*Is the disk mounted\? If nothing is left to move, unset IDEM_BLOB_OLD$/
      )
      assert.match((yield* Effect.flip(usingSettings(env, BlobLocation.move))).message, /Is the disk mounted/)
      yield* Effect.promise(() => Fs.rename(unmounted, old))
      assert.strictEqual((yield* usingSettings(env, BlobLocation.move)).bodies, 1)
      assert.strictEqual(yield* usingEnv(env, read(hash)), "on the old disk")
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("move although one of them is damaged, which stays and is named", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const hashes = yield* using(folder, Effect.forEach(["a", "b", "c"], write))
      const [damaged = "", ...sound] = hashes.toSorted()
      const file = Path.join(folder, damaged.slice(0, 2), damaged.slice(2, 4), damaged)
      yield* Effect.promise(() => Fs.writeFile(file, "bit rot"))
      const env = { IDEM_BLOB_OLD: folder }
      const error = yield* Effect.flip(usingSettings(env, BlobLocation.move))
      assert.include(error.message, damaged)
      assert.strictEqual(yield* Effect.promise(() => Fs.readFile(file, "utf8")), "bit rot")
      const rows = yield* SqlClient.SqlClient.use((sql) => sql`SELECT encode(hash, 'hex') AS hash FROM blob`)
      assert.includeMembers(
        rows.map(({ hash }) => hash),
        sound
      )
      // The old place still belongs to the database.
      assert.match(yield* refusalOf({}), /are outside of it/)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("arrive whole although the new place has a part of one, which a broken copy left there", () =>
    Effect.gen(function* () {
      const { bucket, folder } = yield* places
      const file = (hash: string) => Path.join(folder, hash.slice(0, 2), hash.slice(2, 4), hash)
      const text = "the only whole copy"
      const hash = yield* usingEnv({}, write(text))
      yield* using(folder, Effect.void)
      yield* Effect.promise(() => Fs.mkdir(Path.dirname(file(hash)), { recursive: true }))
      yield* Effect.promise(() => Fs.writeFile(file(hash), text.slice(0, 4)))
      const env = { IDEM_BLOB_DIR: folder }
      assert.deepStrictEqual(yield* usingEnv(env, BlobLocation.move), { bodies: 1, bytes: text.length })
      assert.strictEqual(yield* using(folder, read(hash)), text)

      const toBucket = { ...bucket, IDEM_BLOB_OLD: folder }
      yield* usingEnv(toBucket, write(text))
      assert.deepStrictEqual(yield* usingEnv(toBucket, BlobLocation.move), { bodies: 0, bytes: 0 })
      assert.strictEqual(yield* usingEnv(bucket, read(hash)), text)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("stay where they are if the new place keeps the damaged copy that it has", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const text = "the only whole copy"
      const hash = yield* using(folder, write(text))
      yield* usingEnv({ IDEM_BLOB_OLD: folder }, write(text))
      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE blob_chunk SET bytes = 'the'::bytea`
      const error = yield* Effect.flip(usingSettings({ IDEM_BLOB_OLD: folder }, BlobLocation.move))
      assert.include(error.message, hash)
      assert.strictEqual(yield* using(folder, read(hash)), text)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("are found by who reads while they move, in the middle of a body too", () =>
    Effect.gen(function* () {
      const { bucket, folder } = yield* places
      const text = "x".repeat(3_000_000)
      const hash = yield* usingEnv({}, write(text))
      const env = { IDEM_BLOB_DIR: folder }
      const got = yield* usingEnv(
        env,
        BlobStore.use((blobs) =>
          Stream.runFoldEffect(
            blobs.read(hash),
            () => ({ size: 0, moved: false }),
            ({ moved, size }, chunk) =>
              Effect.as(moved ? Effect.void : usingEnv(env, BlobLocation.move), {
                size: size + chunk.length,
                moved: true
              })
          )
        )
      )
      assert.strictEqual(got.size, text.length)
      assert.match(yield* refusalOf(bucket), /is not where this database's large bodies are/)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )
})

describe("a move from a place to itself is refused and removes nothing", () => {
  it.live("for a folder, another spelling of it, and a link to it", () =>
    Effect.gen(function* () {
      const { folder, link } = yield* places
      const hash = yield* using(folder, write("the only copy"))
      yield* Effect.promise(() => Fs.symlink(folder, link))
      for (const [current, old] of [
        [folder, folder],
        [folder, `${folder}/`],
        [folder, link],
        [link, folder]
      ] as const) {
        const env = { IDEM_BLOB_DIR: current, IDEM_BLOB_OLD: old }
        assert.match(yield* refusalOf(env), /^IDEM_BLOB_OLD: .* and IDEM_BLOB_DIR: .* are the same place/)
        assert.match((yield* Effect.flip(usingSettings(env, BlobLocation.move))).message, /are the same place/)
        assert.strictEqual(yield* using(folder, read(hash)), "the only copy")
      }
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(Path.join(folder, "unfinished"))), [])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("for a bucket, with and without a slash", () =>
    Effect.gen(function* () {
      const { bucket } = yield* places
      const hash = yield* usingEnv(bucket, write("the only copy"))
      const url = bucket["IDEM_BLOB_URL"] ?? ""
      for (const old of [url, `${url.replace(/\/$/, "")}/`, `${url.replace(/\/$/, "")}//`]) {
        const env = { ...bucket, IDEM_BLOB_OLD: old }
        assert.match((yield* Effect.flip(usingSettings(env, BlobLocation.move))).message, /are the same place/)
        assert.strictEqual(yield* usingEnv(bucket, read(hash)), "the only copy")
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("and one place below another is another place: all bodies arrive, and no sweep removes them", () =>
    Effect.gen(function* () {
      const { bucket, folder } = yield* places
      const hash = yield* usingEnv({}, write("on its way"))
      const base = (bucket["IDEM_BLOB_URL"] ?? "").replace(/\/$/, "")
      const steps = [
        { IDEM_BLOB_DIR: folder },
        { IDEM_BLOB_DIR: Path.join(folder, "unfinished"), IDEM_BLOB_OLD: folder },
        { IDEM_BLOB_DIR: folder, IDEM_BLOB_OLD: Path.join(folder, "unfinished") },
        { ...bucket, IDEM_BLOB_URL: `${base}/unfinished`, IDEM_BLOB_OLD: folder },
        { ...bucket, IDEM_BLOB_URL: base, IDEM_BLOB_OLD: `${base}/unfinished` },
        { ...bucket, IDEM_BLOB_URL: "", IDEM_BLOB_OLD: base }
      ]
      for (const env of steps) {
        const sweep = BlobStore.use((blobs) => blobs.sweep)
        yield* usingEnv(env, Effect.provideService(sweep, Clock.Clock, yield* muchLater))
        assert.strictEqual(yield* usingEnv(env, read(hash)), "on its way")
        assert.strictEqual((yield* usingEnv(env, BlobLocation.move)).bodies, 1)
        assert.strictEqual(yield* usingEnv(env, read(hash)), "on its way")
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )
})
