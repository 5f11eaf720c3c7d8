import { assert, describe, it } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Clock from "effect/Clock"
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
import * as S3Servers from "../support/S3Servers.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import * as Database from "../support/Postgres.ts"

const settings = (env: Readonly<Record<string, string>>) =>
  ConfigProvider.layer(
    ConfigProvider.fromEnv({ env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== "")) })
  ).pipe(Layer.provideMerge(NodeServices.layer))

/** Runs an effect in a process with these settings. An empty setting counts as unset. */
const usingSettings = <A, E, R>(env: Readonly<Record<string, string>>, use: Effect.Effect<A, E, R>) =>
  Effect.provide(use, settings(env), { local: true })

/** Runs an effect with the blob store of a process with these settings. */
const usingEnv = <A, E, R>(env: Readonly<Record<string, string>>, use: Effect.Effect<A, E, R>) =>
  Effect.provide(use, Layer.provideMerge(BlobLocation.layer, settings(env)), { local: true })

/** Runs an effect with the blob store of a process with this folder. */
const using = <A, E, R>(folder: string, use: Effect.Effect<A, E, R>) => usingEnv({ IDEM_BLOB_DIR: folder }, use)

/** The bucket, a folder that does not exist yet, and a path for a link to the folder. */
const places = Effect.gen(function* () {
  const parent = yield* EmbeddedUser.folder
  const bucket: Readonly<Record<string, string>> = S3Servers.settings(yield* S3Servers.servers.s3rver)
  return { bucket, folder: Path.join(parent, "blobs"), link: Path.join(parent, "link") }
})

const blobFolder = Effect.map(EmbeddedUser.folder, (parent) => Path.join(parent, "blobs"))

const write = (text: string) =>
  BlobStore.use((blobs) => blobs.write(Stream.succeed(new TextEncoder().encode(text)))).pipe(
    Effect.map(({ hash }) => Buffer.from(hash).toString("hex"))
  )

const read = (hash: string) =>
  BlobStore.use((blobs) => Stream.runCollect(blobs.read(hash))).pipe(
    Effect.map((chunks) => Buffer.concat(Array.from(chunks)).toString())
  )

/** A clock that is two days ahead. */
const muchLater = Effect.map(Clock.Clock, (clock): Clock.Clock => {
  const ahead = Duration.toMillis(Duration.days(2))
  return Object.assign(Object.create(clock) as Clock.Clock, {
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (now) => now + ahead),
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + ahead
  })
})

const refusalOf = (env: Readonly<Record<string, string>>) =>
  Effect.map(Effect.flip(usingEnv(env, Effect.void)), (error) => error.message)

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

  it.live("a folder whose first process was killed before it wrote the mark is taken by the next one", () =>
    Effect.gen(function* () {
      const folder = yield* blobFolder
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
        assert.match(yield* refusalOf(env), /^IDEM_BLOB_OLD: .* is the place that IDEM_BLOB_DIR: .* names/)
        assert.match((yield* Effect.flip(usingSettings(env, BlobLocation.move))).message, /is the place that/)
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
        assert.match((yield* Effect.flip(usingSettings(env, BlobLocation.move))).message, /is the place that/)
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
