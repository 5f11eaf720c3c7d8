/** Removal for good while others store the same bytes: what only two sessions of a real database can show. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Stream from "effect/Stream"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { BlobStore } from "../../src/stores/Blobs.ts"
import * as FolderBlobs from "../../src/stores/blobs/FolderBlobs.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Purge from "../../src/stores/postgres/Purge.ts"
import * as Database from "../support/Postgres.ts"
import { awaitVisible } from "./awaitVisible.ts"
import { waiting, whileLocked } from "./locking.ts"
import { bytesOf, deleteStaged, item, nextRun, page, row, running, sha256, stored } from "./scenario.ts"

const layer = Postgres.layer.pipe(Layer.provideMerge(Blobs.layer), Layer.provideMerge(Database.layer))

const read = (hash: string) => Effect.flatMap(WholeStore, (store) => Effect.exit(Stream.runDrain(store.body(hash))))

const assertWhole = Effect.fnUntraced(function* (id: Parameters<typeof row>[0], externalId: string) {
  const { hash } = yield* row(id, externalId)
  assert.strictEqual((yield* read(hash ?? ""))._tag, "Success", `the body of ${externalId}`)
})

const largeItem = Effect.fnUntraced(function* (externalId: string, text: string) {
  const store = yield* WholeStore
  const blob = yield* store.writeBlob(Stream.succeed(bytesOf(text)))
  return { ...item(externalId), body: { _tag: "Blob", ...blob } as const }
})

const inFolder = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped()
  const context = yield* Layer.build(
    Postgres.layer.pipe(Layer.provide(FolderBlobs.layer(folder)), Layer.provide(Database.layer))
  )
  /** The names of all files in it. */
  const files = Effect.map(fs.readDirectory(folder, { recursive: true }), (names) =>
    names.map((name) => name.split("/").at(-1) ?? "").filter((name) => name.length === 64)
  )
  return { context, files }
})

it.layer(NodeServices.layer, { excludeTestServices: true })("Postgres with a folder, removing at once", (it) => {
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
        yield* assertWhole(stays.id, "b")
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

it.layer(layer, { excludeTestServices: true })("Postgres, removing at once", (it) => {
  for (const kind of ["body", "blob"] as const) {
    it.effect(
      `a ${kind} that a commit has found, and not committed yet, outlives the removal of all else that names it`,
      () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const store = yield* WholeStore
          const goes = yield* running()
          const stays = yield* running()
          const make = (id: string) =>
            kind === "body" ? Effect.succeed(item(id, { text: "of two" })) : largeItem(id, "large, of two")
          yield* goes.commit({ items: [yield* make("a")] })
          const found = yield* make("b")
          const { committer, remover } = yield* whileLocked(
            sql`SELECT 1 FROM run WHERE id = ${stays.runId} FOR UPDATE`,
            Effect.gen(function* () {
              const committer = yield* Effect.forkChild(stays.commit({ items: [found] }))
              yield* waiting(1)
              const remover = yield* Effect.forkChild(store.disconnect(goes.id, true))
              yield* waiting(2)
              return { committer, remover }
            })
          )
          yield* Fiber.join(committer)
          yield* Fiber.join(remover)
          assert.isTrue(Option.isNone(yield* store.connection(goes.id)))
          yield* assertWhole(stays.id, "b")
        })
    )
  }

  it.effect("a commit that comes to a body which is being removed waits, and writes it anew", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const goes = yield* running()
      const stays = yield* running()
      // Locked in the order of their hashes: the removal has the first when it waits for the second.
      const [first = "", second = ""] = ["one of two bodies", "another of two bodies"].toSorted((a, b) =>
        Buffer.compare(sha256(bytesOf(a)), sha256(bytesOf(b)))
      )
      yield* goes.commit({ items: [item("1", { text: first }), item("2", { text: second })] })
      const { committer, remover } = yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf(second))} FOR UPDATE`,
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(store.disconnect(goes.id, true))
          yield* waiting(1)
          const committer = yield* Effect.forkChild(stays.commit({ items: [item("a", { text: first })] }))
          yield* waiting(2)
          return { committer, remover }
        })
      )
      yield* Fiber.join(remover)
      yield* Fiber.join(committer)
      yield* assertWhole(stays.id, "a")
    })
  )

  it.effect(
    "a commit whose blob was removed since it was written fails, and writes nothing; the next one is whole",
    () =>
      Effect.gen(function* () {
        const store = yield* WholeStore
        const goes = yield* running()
        const stays = yield* running()
        yield* goes.commit({ items: [yield* largeItem("a", "large, and removed")] })
        const found = yield* largeItem("b", "large, and removed")
        yield* store.disconnect(goes.id, true)
        const error = yield* Effect.flip(stays.commit({ items: [item("c"), found] }))
        assert.strictEqual(error._tag, "StoreError")
        assert.include(error.message, "the body of b was removed")
        assert.deepStrictEqual(yield* stored(stays.id), [])
        yield* stays.commit({ items: [item("c"), yield* largeItem("b", "large, and removed")] })
        yield* assertWhole(stays.id, "b")
      })
  )

  it.effect("a body that a copy's commit has looked at is not removed before that commit has ended", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const goes = yield* running()
      const stays = yield* running()
      yield* goes.commit({ items: [item("a", { text: "to be copied" })] })
      const bytes = bytesOf("to be copied")
      const copy = { ...item("b"), body: { _tag: "Kept", hash: sha256(bytes), size: bytes.length } as const }
      const { first, remover } = yield* whileLocked(
        Purge.lockKept(sql, [copy]),
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(store.disconnect(goes.id, true))
          const removed = Effect.as(Fiber.await(remover), "removed" as const)
          return { first: yield* Effect.raceFirst(removed, Effect.as(waiting(1), "waits" as const)), remover }
        })
      )
      assert.strictEqual(first, "waits")
      yield* Fiber.join(remover)
      // The commit named no body in the end. The next commit finds the body gone, and writes nothing.
      const error = yield* Effect.flip(stays.commit({ items: [item("c"), copy] }))
      assert.include(error.message, "a body was removed")
      assert.deepStrictEqual(yield* stored(stays.id), [])
    })
  )

  it.effect("a blob whose body was stored again meanwhile stays when its removal comes to it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const blobs = yield* BlobStore
      const { commit, id } = yield* running()
      // As a commit leaves it that stored the body again after the row was dropped, and before the blob was removed.
      yield* commit({ items: [yield* largeItem("a", "large, and stored again")] })
      const hash = sha256(bytesOf("large, and stored again"))
      assert.isFalse(yield* Purge.removeBlob(sql, blobs, hash, Duration.zero))
      yield* assertWhole(id, "a")
    })
  )

  it.effect("a commit in the middle of a purge of its own connection waits for it, and both are whole", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      yield* run.commit({ items: [item("a", { text: "purged and back" })] })
      yield* sql`UPDATE content SET state = 'deleted', updated_at = now() - interval '1 day'
        WHERE connection_id = ${run.id}`
      const { committer, purger } = yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf("purged and back"))} FOR UPDATE`,
        Effect.gen(function* () {
          const purger = yield* Effect.forkChild(store.purge(run.id, (yield* row(run.id, "a")).createdAt))
          yield* waiting(1)
          const committer = yield* Effect.forkChild(run.commit({ items: [item("a", { text: "purged and back" })] }))
          yield* waiting(2)
          return { committer, purger }
        })
      )
      assert.strictEqual((yield* Fiber.join(purger)).deleted, 1)
      assert.strictEqual((yield* Fiber.join(committer)).outcomes.get("a"), "stored")
      yield* assertWhole(run.id, "a")
    })
  )

  it.effect("a disconnection that is cut short while it deletes contents is finished when it is repeated", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      yield* run.commit({ items: [item("a", { text: "deleted at the second attempt" })] })
      const hash = sha256(bytesOf("deleted at the second attempt"))
      yield* whileLocked(
        sql`SELECT 1 FROM body WHERE hash = ${hash} FOR UPDATE`,
        Effect.gen(function* () {
          const remover = yield* Effect.forkChild(store.disconnect(run.id, true))
          yield* waiting(1)
          yield* Fiber.interrupt(remover)
        })
      )
      const { credentials, paused } = Option.getOrThrow(yield* store.connection(run.id))
      assert.deepStrictEqual([credentials, paused], [null, "disconnected"])
      assert.strictEqual((yield* Effect.flip(run.commit({ items: [item("b")] })))._tag, "Superseded")
      yield* store.disconnect(run.id, true)
      assert.isTrue(Option.isNone(yield* store.connection(run.id)))
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM content WHERE connection_id = ${run.id}`, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM body WHERE hash = ${hash}`, [])
    })
  )

  it.effect("what a removal that was cut short has left, the feed hides, and the collector finishes", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const store = yield* WholeStore
      const run = yield* running()
      const stays = yield* running()
      yield* stays.commit({ items: [item("kept")] })
      yield* run.commit({ items: [item("a", { text: "left behind" })] })
      // As it is after the first transaction: the connection is gone, its contents are not.
      yield* sql`DELETE FROM connection WHERE id = ${run.id}`
      yield* awaitVisible
      const { changes } = yield* store.changes({ limit: 1000 })
      const told = new Set(changes.map(({ connectionId }) => connectionId))
      assert.deepStrictEqual([told.has(stays.id), told.has(run.id)], [true, false])
      yield* store.collectBodies(Duration.days(1))
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM content WHERE connection_id = ${run.id}`, [])
      assert.deepStrictEqual(yield* sql`SELECT 1 FROM body WHERE hash = ${sha256(bytesOf("left behind"))}`, [])
      yield* assertWhole(stays.id, "kept")
    })
  )

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
        misses: [
          { ...item(id("failed")), outcome: "failed", reason: marker, message: marker, attempts: 1, retryIn: undefined }
        ],
        problems: [{ place: marker, message: marker }]
      })
      const next = yield* nextRun(run)
      yield* next.commit({
        taskId,
        done: [id("forced")],
        page: {
          checkpoint: { marker },
          scope: marker,
          deleted: [id("a")],
          patches: [],
          seen: [id("large")],
          listing: marker,
          parts: [{ key: marker, checkpoint: { marker } }],
          forgetsParts: false,
          covers: [],
          complete: false
        }
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
