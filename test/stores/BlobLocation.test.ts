import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
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
import * as FullDisk from "../chaos/FullDisk.ts"
import * as S3Servers from "../support/S3Servers.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import * as Database from "../support/Postgres.ts"
import { usingEnv, using, usingSettings, blobFolder, write, read, refusal, refusalOf } from "./blobFixture.ts"

describe("the choice of where large bodies are", () => {
  it.live("a folder may be chosen later: what was in the database is still read", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const before = yield* usingEnv({}, write("in the database"))
      const after = yield* using(folder, write("in the folder"))
      const both = Effect.all([read(before), read(after)])
      assert.deepStrictEqual(yield* using(folder, both), ["in the database", "in the folder"])
      const has = BlobStore.use((blobs) => blobs.has(before))
      assert.isTrue(yield* using(folder, has))
      const list = BlobStore.use((blobs) => Stream.runCollect(blobs.list))
      const hashes = (yield* using(folder, list)).map(({ hash }) => hash)
      assert.sameMembers(hashes, [before, after])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a folder whose mark is cut short, by a kill or a full disk, is taken by the next process", () =>
    Effect.gen(function* () {
      const rows = yield* SqlClient.SqlClient.use(
        (sql) => sql<{ id: string }>`SELECT database_id::text AS id FROM meta`
      )
      const id = rows[0]?.id ?? ""
      for (const cut of [0, 1, id.length / 2, id.length - 1]) {
        const folder = yield* blobFolder
        yield* Effect.promise(() => Fs.mkdir(folder))
        yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "idem-database"), id.slice(0, cut)))
        const hash = yield* using(folder, write("in the folder"))
        assert.strictEqual(yield* using(folder, read(hash)), "in the folder")
        assert.sameMembers(yield* Effect.promise(() => Fs.readdir(folder)), [
          hash.slice(0, 2),
          "idem-database",
          "unfinished"
        ])
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a blob in both is not removed while the copy in the folder is fresh", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const hash = yield* usingEnv({}, write("in both"))
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
      const folder = yield* blobFolder
      const hashes = yield* Effect.all(
        Array.from({ length: 8 }, () => using(folder, write("the same"))),
        { concurrency: 8 }
      )
      assert.strictEqual(new Set(hashes).size, 1)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a process that opens a place and stores nothing does not make it the place of the bodies", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      const [first, second] = [Path.join(parent, "first"), Path.join(parent, "second")]
      yield* using(first, Effect.void)
      const hash = yield* using(second, write("in the second"))
      assert.strictEqual(yield* using(second, read(hash)), "in the second")
      assert.match(yield* refusalOf({ IDEM_BLOB_DIR: first }), /has no idem-database/)
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("of processes that opened an empty place, only those of the database that stores first may use it", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const other = SqlClient.SqlClient.use((sql) => sql`UPDATE meta SET database_id = gen_random_uuid()`)
      const theirs = Effect.provide(Effect.andThen(other, using(folder, write("theirs"))), Database.layer, {
        local: true
      })
      const blobs = yield* using(folder, BlobStore)
      const hash = yield* theirs
      for (const change of [
        blobs.write(Stream.succeed(new Uint8Array(1))),
        blobs.remove(hash, Duration.zero),
        blobs.sweep
      ]) {
        assert.match((yield* Effect.flip(change)).message, /holds the large bodies of another database/)
      }
      assert.isTrue(yield* blobs.has(hash))
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a check writes to the place, and leaves nothing there", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      const flag = `${folder}-full`
      yield* usingSettings({ IDEM_BLOB_DIR: folder }, BlobLocation.check)
      yield* Effect.promise(() => Fs.writeFile(flag, ""))
      const full = Effect.provide(BlobLocation.check, Layer.merge(NodeServices.layer, FullDisk.layer(flag)))
      const env = ConfigProvider.layer(ConfigProvider.fromEnv({ env: { IDEM_BLOB_DIR: folder } }))
      const { message } = yield* Effect.flip(Effect.provide(full, env))
      assert.match(message, /^IDEM_BLOB_DIR: .* can't be used: .*no space left/)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(folder, { recursive: true })), ["unfinished"])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a process without the folder is refused, and one with an empty folder, and nothing is put into that", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      const [folder, empty] = [Path.join(parent, "blobs"), Path.join(parent, "empty")]
      yield* using(folder, write("something"))
      assert.match(yield* refusalOf({}), /are outside of it: set IDEM_BLOB_DIR or IDEM_BLOB_URL/)
      assert.match(yield* refusalOf({ IDEM_BLOB_DIR: empty }), /has no idem-database\. Is the disk mounted\?/)
      assert.deepStrictEqual(yield* Effect.promise(() => Fs.readdir(parent)), ["blobs"])
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("another database's folder is refused", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
      // The test databases are copies of one database, so their ids are equal, like that of a restored backup.
      const other = SqlClient.SqlClient.use((sql) => sql`UPDATE meta SET database_id = gen_random_uuid()`)
      yield* Effect.provide(Effect.andThen(other, using(folder, write("theirs"))), Database.layer, { local: true })
      assert.match(yield* refusalOf({ IDEM_BLOB_DIR: folder }), /of another database/)
      const own = yield* usingEnv({}, write("ours"))
      assert.strictEqual(yield* usingEnv({}, read(own)), "ours")
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  it.live("a folder that can't be used is named, with the setting", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      yield* Effect.promise(() => Fs.writeFile(Path.join(parent, "file"), ""))
      for (const folder of [Path.join(parent, "file", "blobs"), "/proc/nope"]) {
        assert.match(yield* refusalOf({ IDEM_BLOB_DIR: folder }), /^IDEM_BLOB_DIR: .* can't be used: .+/, folder)
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )
})

describe("a bucket that can't be used is refused in one line without a secret", () => {
  const cases: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, RegExp]> = [
    [
      "another bucket",
      { IDEM_BLOB_URL: "s3://no-such-bucket/x" },
      /^IDEM_BLOB_URL: s3:\/\/no-such-bucket\/x\/ can't be used: there is no such bucket$/
    ],
    [
      "a wrong secret",
      { AWS_SECRET_ACCESS_KEY: "wr0ng-secret" },
      /can't be used: the credentials are not accepted: check AWS_SECRET_ACCESS_KEY$/
    ],
    [
      "a wrong key",
      { AWS_ACCESS_KEY_ID: "wr0ng-key" },
      /can't be used: the credentials are not accepted: check AWS_ACCESS_KEY_ID$/
    ],
    ["no credentials", { AWS_SECRET_ACCESS_KEY: "" }, /^IDEM_BLOB_URL needs AWS_SECRET_ACCESS_KEY, which is not set$/],
    ["a form that is none", { IDEM_BLOB_URL: "https://bucket" }, /^IDEM_BLOB_URL is not of the form s3:/],
    ["both settings", { IDEM_BLOB_DIR: "/tmp/x" }, /^IDEM_BLOB_DIR and IDEM_BLOB_URL are both set/]
  ]
  it.live("with the name of the setting, if that is wrong or missing", () =>
    Effect.gen(function* () {
      const bucket = { IDEM_BLOB_URL: "s3://bucket/p", AWS_ACCESS_KEY_ID: "a key", AWS_SECRET_ACCESS_KEY: "a secret" }
      for (const [setting, wrong] of [
        ["IDEM_BLOB_URL", { IDEM_BLOB_URL: "bucket" }],
        ["IDEM_BLOB_URL", { IDEM_BLOB_URL: "https://bucket" }],
        ["IDEM_BLOB_URL", { IDEM_BLOB_DIR: "/tmp/x" }],
        ["AWS_ACCESS_KEY_ID", { AWS_ACCESS_KEY_ID: "" }],
        ["IDEM_BLOB_ENDPOINT", { IDEM_BLOB_ENDPOINT: "nowhere" }]
      ] as const) {
        const error = yield* refusal({ ...bucket, ...wrong })
        assert.deepInclude(error, { _tag: "StoreError", setting })
      }
    }).pipe(Effect.scoped, Effect.provide(Database.layer))
  )

  for (const [name, wrong, message] of cases) {
    it.live(name, () =>
      Effect.gen(function* () {
        const running = yield* S3Servers.servers.s3rver
        const said = yield* refusalOf({ ...S3Servers.settings(running), ...wrong })
        assert.match(said, message)
        assert.notInclude(said, "wr0ng")
        assert.notInclude(said, "\n")
      }).pipe(Effect.scoped, Effect.provide(Database.layer))
    )
  }
})
