import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as BlobLocation from "../../src/stores/blobs/BlobLocation.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import * as Database from "../support/Postgres.ts"

/** Does this with the blobs that a process with this folder (or none) gets. */
const using = <A, E, R>(folder: string | undefined, use: Effect.Effect<A, E, R>) =>
  Effect.provide(
    use,
    BlobLocation.layer.pipe(
      Layer.provide(
        ConfigProvider.layer(ConfigProvider.fromEnv({ env: folder === undefined ? {} : { IDEM_BLOB_DIR: folder } }))
      ),
      Layer.provide(NodeServices.layer)
    ),
    { local: true }
  )

const write = (text: string) =>
  BlobStore.use((blobs) => blobs.write(Stream.succeed(new TextEncoder().encode(text)))).pipe(
    Effect.map(({ hash }) => Buffer.from(hash).toString("hex"))
  )

const read = (hash: string) =>
  BlobStore.use((blobs) => Stream.runCollect(blobs.read(hash))).pipe(
    Effect.map((chunks) => Buffer.concat(Array.from(chunks)).toString())
  )

const refusal = (folder: string | undefined) => Effect.map(Effect.flip(using(folder, Effect.void)), (e) => e.message)

describe("the choice of where large bodies are", () => {
  it.live("a folder may be chosen later: what was in the database is still read", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* EmbeddedUser.folder, "blobs")
      const before = yield* using(undefined, write("in the database"))
      const after = yield* using(folder, write("in the folder"))
      const both = Effect.all([read(before), read(after)])
      assert.deepStrictEqual(yield* using(folder, both), ["in the database", "in the folder"])
      assert.isTrue(
        yield* using(
          folder,
          BlobStore.use((blobs) => blobs.has(before))
        )
      )
      const listed = yield* using(
        folder,
        BlobStore.use((blobs) => Stream.runCollect(blobs.list))
      )
      assert.sameMembers(
        Array.from(listed, ({ hash }) => hash),
        [before, after]
      )
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a folder whose first process was killed before it wrote the mark is taken by the next one", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* EmbeddedUser.folder, "blobs")
      yield* Effect.promise(() => Fs.mkdir(folder))
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "idem-database"), ""))
      const hash = yield* using(folder, write("in the folder"))
      assert.strictEqual(yield* using(folder, read(hash)), "in the folder")
      assert.sameMembers(yield* Effect.promise(() => Fs.readdir(folder)), [
        hash.slice(0, 2),
        "idem-database",
        "unfinished"
      ])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a blob in both is not removed while the copy in the folder is fresh", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* EmbeddedUser.folder, "blobs")
      const hash = yield* using(undefined, write("in both"))
      yield* SqlClient.SqlClient.use((sql) => sql`UPDATE blob SET touched_at = now() - interval '2 days'`)
      assert.strictEqual(yield* using(folder, write("in both")), hash)
      const remove = (untouchedFor: Duration.Duration) => BlobStore.use((blobs) => blobs.remove(hash, untouchedFor))
      assert.isFalse(yield* using(folder, remove(Duration.days(1))))
      assert.strictEqual(yield* using(folder, read(hash)), "in both")
      assert.isTrue(yield* using(folder, remove(Duration.zero)))
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("many may use one folder from the first moment on", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* EmbeddedUser.folder, "blobs")
      const hashes = yield* Effect.all(
        Array.from({ length: 8 }, () => using(folder, write("the same"))),
        { concurrency: 8 }
      )
      assert.strictEqual(new Set(hashes).size, 1)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a process without the folder is refused, and one with an empty folder, and nothing is put into that", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      const [folder, empty] = [Path.join(parent, "blobs"), Path.join(parent, "empty")]
      yield* using(folder, write("something"))
      assert.match(yield* refusal(undefined), /are in a folder: set IDEM_BLOB_DIR/)
      assert.match(yield* refusal(empty), /has no idem-database\. Is the disk mounted\?/)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(parent)), ["blobs"])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("another database's folder is refused", () =>
    Effect.gen(function* () {
      const folder = Path.join(yield* EmbeddedUser.folder, "blobs")
      // The databases of the tests are copies of one: as of a restored backup, their id is the same.
      const other = SqlClient.SqlClient.use((sql) => sql`UPDATE meta SET database_id = gen_random_uuid()`)
      yield* Effect.provide(Effect.andThen(other, using(folder, write("theirs"))), Database.layer, { local: true })
      assert.match(yield* refusal(folder), /of another database/)
      const own = yield* using(undefined, write("ours"))
      assert.strictEqual(yield* using(undefined, read(own)), "ours")
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a folder that can't be used is named, with the setting", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      yield* Effect.promise(() => Fs.writeFile(Path.join(parent, "file"), ""))
      assert.match(yield* refusal(Path.join(parent, "file", "blobs")), /^IDEM_BLOB_DIR: .* can't be used/)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )
})
