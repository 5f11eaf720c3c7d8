/** Permanent removal: no table and no folder keeps any of the removed data. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as SqlClient from "effect/sql/SqlClient"
import * as FolderBlobs from "../../src/stores/blobs/FolderBlobs.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Database from "../support/Postgres.ts"
import {
  bytesOf,
  deleteStaged,
  item,
  largeItem,
  ledgerUpdate,
  nextRun,
  page,
  row,
  running,
  sha256
} from "./scenario.ts"

const inFolder = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped()
  const context = yield* Layer.build(
    Postgres.layer.pipe(Layer.provide(FolderBlobs.layer(folder)), Layer.provide(Database.layer))
  )
  /** The names of all files in the folder. */
  const files = Effect.map(fs.readDirectory(folder, { recursive: true }), (names) =>
    names.map((name) => name.split("/").at(-1) ?? "").filter((name) => name.length === 64)
  )
  return { context, files }
})

it.layer(NodeServices.layer, { excludeTestServices: true })("removal from Postgres with a folder", (it) => {
  it.effect("a large body leaves the folder with the connection, or the purge, that was the last to name it", () =>
    Effect.gen(function* () {
      const { context, files } = yield* inFolder
      const names = yield* Effect.gen(function* () {
        const store = yield* WholeStore
        const goes = yield* running()
        const stays = yield* running()
        yield* goes.commit({ items: [yield* largeItem("a", "of one"), yield* largeItem("b", "of both")] })
        yield* stays.commit({ items: [yield* largeItem("b", "of both"), yield* largeItem("c", "to be purged")] })
        const before = yield* files
        yield* store.disconnect(goes.id, true)
        const after = yield* files
        yield* stays.commit({ page: page({ deleted: ["c"] }) })
        yield* deleteStaged(stays.fence)
        const { updatedAt } = yield* row(stays.id, "c")
        yield* store.purge(stays.id, DateTime.add(updatedAt, { minutes: 1 }))
        const { hash } = yield* row(stays.id, "b")
        assert.strictEqual((yield* Effect.exit(Stream.runDrain(store.body(hash ?? ""))))._tag, "Success")
        return [before, after, yield* files].map((hashes) => hashes.toSorted())
      }).pipe(Effect.provideContext(context))
      const hashes = (...texts: ReadonlyArray<string>) =>
        texts.map((text) => Buffer.from(sha256(bytesOf(text))).toString("hex")).toSorted()
      assert.deepStrictEqual(names, [
        hashes("of one", "of both", "to be purged"),
        hashes("of both", "to be purged"),
        hashes("of both")
      ])
    }).pipe(Effect.scoped)
  )
})

const layer = Postgres.layer.pipe(Layer.provide(Blobs.layer), Layer.provideMerge(Database.layer))

it.layer(layer, { excludeTestServices: true })("removal from Postgres", (it) => {
  it.effect("nothing of a connection that was removed with its contents is in any table", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const marker = "MARKER-5b1d"
      const run = yield* running()
      const id = (word: string) => `${word} ${marker}`
      const task = { force: true, forceIds: [id("forced")], dryRun: false }
      const { id: taskId } = yield* store.openTask(run.id, { task, spec: marker, resumeWithin: Duration.days(1) })
      yield* run.commit({
        items: [
          item(id("a"), { text: marker, title: marker, metadata: { marker }, volatile: { marker } }),
          yield* largeItem(id("large"), `large ${marker}`)
        ],
        ledgerUpdates: [ledgerUpdate(id("failed"), { reason: marker, message: marker, retryIn: undefined })],
        problems: [{ place: marker, message: marker }]
      })
      const next = yield* nextRun(run)
      yield* next.commit({
        taskId,
        done: [id("forced")],
        page: page({
          checkpoint: { marker },
          scope: marker,
          deleted: [id("a")],
          seen: [id("large")],
          listing: marker,
          parts: [{ key: marker, checkpoint: { marker } }]
        })
      })
      yield* sql`UPDATE connection SET config = ${JSON.stringify({ marker })}::json, checkpoint = '{"m":"MARKER-5b1d"}',
        account = ${marker}, lease_holder = ${marker} WHERE id = ${run.id}`
      const tables = yield* sql<{ readonly name: string }>`SELECT table_name AS name FROM information_schema.tables
        WHERE table_schema = 'public'`
      const holding = Effect.fnUntraced(function* () {
        const found: Array<string> = []
        for (const { name } of tables) {
          // Bytes are shown as hex.
          const rows = yield* sql`SELECT 1 FROM ${sql(name)} AS t WHERE t::text LIKE ${`%${marker}%`}
            OR t::text LIKE ${`%${Buffer.from(marker).toString("hex")}%`} LIMIT 1`
          if (rows.length > 0) found.push(name)
        }
        return found.toSorted()
      })
      assert.deepStrictEqual(yield* holding(), [
        "blob_chunk",
        "body",
        "connection",
        "content",
        "listing",
        "part",
        "run",
        "seen",
        "staged_deletion",
        "task",
        "task_done"
      ])
      yield* store.disconnect(run.id, true)
      assert.deepStrictEqual(yield* holding(), [])
      assert.deepStrictEqual(
        yield* sql`SELECT 1 FROM blob_chunk`,
        yield* sql`SELECT 1 FROM blob_chunk
        WHERE upload IN (SELECT upload FROM blob)`
      )
    })
  )
})
