import { assert, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import { BodyAbsent } from "../../src/engine/store/BodyStore.ts"
import { BlobStore, layerMemory } from "../../src/stores/Blobs.ts"
import * as BlobLocation from "../../src/stores/blobs/BlobLocation.ts"
import * as FolderBlobs from "../../src/stores/blobs/FolderBlobs.ts"
import * as PostgresBlobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as FullDisk from "../chaos/FullDisk.ts"
import * as Database from "../support/Postgres.ts"
import { suite, Unfinished } from "./lawsOfBlobs.ts"

suite(
  "Memory blobs",
  Layer.merge(layerMemory, Layer.succeed(Unfinished, { count: Effect.succeed(0), age: Effect.void }))
)

const inPostgres = Layer.effect(
  Unfinished,
  SqlClient.SqlClient.use((sql) =>
    Effect.succeed({
      count: Effect.map(
        Effect.orDie(sql<{ readonly n: number }>`SELECT ((SELECT count(*) FROM blob_upload)
          + (SELECT count(DISTINCT upload) FROM blob_chunk WHERE upload NOT IN (SELECT upload FROM blob)))::float8 AS n`),
        ([row]) => row?.n ?? 0
      ),
      age: Effect.asVoid(Effect.orDie(sql`UPDATE blob_upload SET started_at = started_at - interval '25 hours'`))
    })
  )
)

suite("Postgres blobs", Layer.merge(PostgresBlobs.layer, inPostgres).pipe(Layer.provide(Database.layer)))

const unfinishedIn = (folder: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const unfinished = path.join(folder, "unfinished")
    const files = Effect.map(fs.readDirectory(unfinished), (names) => names.map((name) => path.join(unfinished, name)))
    const yesterday = Date.now() / 1000 - 25 * 3600
    return Unfinished.of({
      count: Effect.orDie(Effect.map(files, (all) => all.length)),
      age: Effect.orDie(
        Effect.flatMap(files, (all) =>
          Effect.forEach(all, (file) => fs.utimes(file, yesterday, yesterday), { discard: true })
        )
      )
    })
  })

const temporary = Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped())

const inFolder = Layer.unwrap(
  Effect.map(temporary, (folder) =>
    Layer.merge(FolderBlobs.layer(folder), Layer.effect(Unfinished, unfinishedIn(folder)))
  )
).pipe(Layer.provide(NodeServices.layer))

suite("Folder blobs", inFolder)

it.live("a body that is written again to a folder replaces a file that was cut short", () =>
  Effect.gen(function* () {
    const folder = yield* temporary
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const text = "all of the body"
    const read = yield* Effect.gen(function* () {
      const blobs = yield* BlobStore
      const write = blobs.write(Stream.make(new TextEncoder().encode(text)))
      const hash = Buffer.from((yield* write).hash).toString("hex")
      yield* fs.truncate(path.join(folder, hash.slice(0, 2), hash.slice(2, 4), hash), 4)
      yield* write
      return Buffer.concat(yield* Stream.runCollect(blobs.read(hash))).toString()
    }).pipe(Effect.provide(FolderBlobs.layer(folder)))
    assert.strictEqual(read, text)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)

/** The blob store of a process whose environment names this folder; undefined for none. */
const chosen = (folder: string | undefined) =>
  Layer.provide(
    BlobLocation.layer,
    ConfigProvider.layer(ConfigProvider.fromEnv({ env: folder === undefined ? {} : { IDEM_BLOB_DIR: folder } }))
  )

const onDatabase = <A, E>(layer: Layer.Layer<A, E, SqlClient.SqlClient | FileSystem.FileSystem | Path.Path>) =>
  layer.pipe(Layer.provide(Database.layer), Layer.provide(NodeServices.layer))

suite("The choice of the database", onDatabase(Layer.merge(chosen(undefined), inPostgres)))

const inChosenFolder = Layer.unwrap(
  Effect.map(temporary, (folder) => Layer.merge(chosen(folder), Layer.effect(Unfinished, unfinishedIn(folder))))
)

suite("The choice of a folder", onDatabase(inChosenFolder))

/** Reads blobs that were written to the database before, through the choice of a folder. */
const inDatabaseBefore = Layer.effect(
  BlobStore,
  Effect.gen(function* () {
    const chosen = yield* BlobStore
    const database = yield* Layer.build(Layer.fresh(PostgresBlobs.layer))
    return { ...chosen, write: Context.get(database, BlobStore).write }
  })
).pipe(Layer.provide(Layer.unwrap(Effect.map(temporary, chosen))))

suite(
  "The choice of a folder, for blobs that were in the database before",
  onDatabase(Layer.merge(inDatabaseBefore, inPostgres))
)

/** The same blob in both places: in the database from before, and written again since. */
const inBoth = Layer.effect(
  BlobStore,
  Effect.gen(function* () {
    const chosen = yield* BlobStore
    const before = Context.get(yield* Layer.build(Layer.fresh(PostgresBlobs.layer)), BlobStore)
    return {
      ...chosen,
      write: (bytes) =>
        Effect.tap(before.write(bytes), ({ hash }) => chosen.write(before.read(Buffer.from(hash).toString("hex"))))
    } satisfies BlobStore["Service"]
  })
).pipe(Layer.provide(Layer.unwrap(Effect.map(temporary, chosen))))

suite("The choice of a folder, for blobs that are in both", onDatabase(Layer.merge(inBoth, inPostgres)))

it.effect("a folder whose disk is not mounted proves no blob absent", () =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const { read } = yield* Effect.provide(BlobStore, FolderBlobs.layer(folder))
    const failure = Effect.flip(Stream.runDrain(read("00".repeat(32))))
    assert.instanceOf(yield* failure, BodyAbsent)
    yield* fs.remove(folder, { recursive: true })
    assert.notInstanceOf(yield* failure, BodyAbsent)
    yield* fs.makeDirectory(folder)
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)

it.effect("a folder on a full disk is named, and holds nothing half written", () =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const folder = yield* fs.makeTempDirectoryScoped()
    const flag = `${folder}/full`
    yield* fs.writeFileString(flag, "")
    const { write } = yield* Effect.provide(
      BlobStore,
      FolderBlobs.layer(folder).pipe(Layer.provide(Layer.merge(NodeServices.layer, FullDisk.layer(flag))))
    )
    const { message } = yield* Effect.flip(write(Stream.succeed(new Uint8Array(100))))
    assert.match(message, /^storing a large body: .+ can't be used: .+no space left/)
    assert.include(message, folder)
    assert.deepStrictEqual(yield* fs.readDirectory(`${folder}/unfinished`), [])
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
)

it.effect("Postgres blobs: a body whose commit took effect keeps its bytes, though the answer was lost", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const lost = new SqlError({ reason: new ConnectionError({ cause: new Error("Connection closed") }) })
    let orders = 1
    const losing = new Proxy(sql, {
      get: (target, key) =>
        key === "withTransaction"
          ? <A, E, R>(effect: Effect.Effect<A, E, R>) =>
              Effect.tap(target.withTransaction(effect), () => (orders-- > 0 ? Effect.fail(lost) : Effect.void))
          : Reflect.get(target, key)
    })
    const blobs = yield* Layer.build(PostgresBlobs.layer).pipe(
      Effect.provideService(SqlClient.SqlClient, losing),
      Effect.map(Context.get(BlobStore))
    )
    const bytes = new TextEncoder().encode("a large body")
    assert.strictEqual((yield* Effect.flip(blobs.write(Stream.make(bytes))))._tag, "StoreError")
    const { hash } = yield* blobs.write(Stream.make(bytes))
    const read = yield* Stream.runCollect(blobs.read(Buffer.from(hash).toString("hex")))
    assert.strictEqual(Buffer.concat(read).toString(), "a large body")
    assert.strictEqual(orders, -1)
  }).pipe(Effect.scoped, Effect.provide(Database.layer))
)
