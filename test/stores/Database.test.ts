import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import { once } from "node:events"
import * as Net from "node:net"
import * as Path from "node:path"
import { inject } from "vitest"
import * as Database from "../../src/stores/Database.ts"
import { Embedded } from "../../src/stores/Embedded.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"

const withEnv = (env: Readonly<Record<string, string>>) =>
  Database.layer.pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { ...env } }))))

const urlOf = (change: { readonly database?: string; readonly password?: string }) => {
  const { database, password, socket, username } = { ...inject("postgres"), database: "postgres", ...change }
  const query = new URLSearchParams({ host: Path.dirname(socket), user: username, password })
  return `postgresql:///${database}?${query.toString()}`
}

const password = "hunter2-very-secret"

describe("Database", () => {
  it.effect("is that of DATABASE_URL where it is set", () =>
    Effect.gen(function* () {
      const { origin } = yield* Database.Database
      assert.deepInclude(origin, { _tag: "external", database: "postgres" })
      const rows = yield* SqlClient.SqlClient.use((sql) => sql`SELECT current_setting('application_name') AS name`)
      assert.deepStrictEqual(rows, [{ name: "idem" }])
    }).pipe(Effect.provide(withEnv({ DATABASE_URL: urlOf({}) })))
  )

  it.effect("has the options of DATABASE_URL besides Idem's own settings", () =>
    Effect.gen(function* () {
      const rows = yield* SqlClient.SqlClient.use(
        (sql) => sql`SELECT current_setting('search_path') AS path, current_setting('jit') AS jit`
      )
      assert.deepStrictEqual(rows, [{ path: "idem", jit: "off" }])
    }).pipe(Effect.provide(withEnv({ DATABASE_URL: `${urlOf({})}&options=-c%20search_path%3Didem` })))
  )

  it.live("is Idem's own where DATABASE_URL is not set, or empty", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const origin = Effect.map(Database.Database, ({ origin }) =>
        origin._tag === "embedded" ? { _tag: origin._tag, folder: origin.folder } : origin
      )
      for (const env of [{}, { DATABASE_URL: "" }]) {
        const found = yield* Effect.provide(origin, withEnv({ ...env, IDEM_DATA_DIR: folder }), { local: true })
        assert.deepStrictEqual(found, { _tag: "embedded", folder })
      }
    })
  )

  it.effect("that is Idem's own is waited for when this machine is busy", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const socket = Path.join(folder, "socket")
      const asked = yield* Deferred.make<void>()
      const silent = Net.createServer(() => Deferred.doneUnsafe(asked, Effect.void))
      yield* Effect.acquireRelease(
        Effect.promise(() => once(silent.listen(socket), "listening")),
        () => Effect.sync(() => silent.close())
      )
      const embedded = { folder, socket, database: "idem", username: "idem", pid: 1, started: false }
      const layer = Database.layerEmbedded.pipe(
        Layer.provide(Layer.succeed(Embedded, { ...embedded, password: Redacted.make(password) }))
      )
      const waiting = yield* Effect.forkChild(Effect.flip(Effect.provide(Database.Database, layer)))
      yield* Deferred.await(asked)
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(waiting.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.match(
        (yield* Fiber.join(waiting)).message,
        /^Idem's own database in .* can't be used: Connection timed out/
      )
    }).pipe(Effect.scoped)
  )

  it.effect("refuses a pooler that drops the settings of sessions, unless it is named as one", () =>
    Effect.gen(function* () {
      const { socket } = inject("postgres")
      // As PgBouncer with `ignore_startup_parameters = options`: the parameter is renamed to one that has no effect.
      const pooler = Net.createServer((client) => {
        const server = Net.connect(socket)
        const drop = (sent: Buffer) => sent.toString("latin1").replace("\0options\0", "\0a.ninth\0")
        client.on("data", (sent) => server.write(drop(sent), "latin1"))
        server.pipe(client)
        client.on("close", () => server.destroy())
        client.on("error", () => server.destroy())
        server.on("error", () => client.destroy())
      })
      yield* Effect.acquireRelease(
        Effect.promise(() => once(pooler.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => pooler.close())
      )
      const { port } = pooler.address() as Net.AddressInfo
      const url = new URL(`postgresql://127.0.0.1:${port}/postgres`)
      url.username = inject("postgres").username
      url.password = inject("postgres").password
      const failed = yield* Effect.flip(Effect.provide(Database.Database, withEnv({ DATABASE_URL: url.href })))
      assert.include(failed.message, "it is behind a pooler that drops the settings of sessions: set IDEM_PGBOUNCER=1")
      yield* Effect.provide(Database.Database, withEnv({ DATABASE_URL: url.href, IDEM_PGBOUNCER: "1" }))
    }).pipe(Effect.scoped)
  )

  const refusals: ReadonlyArray<readonly [string, string, RegExp]> = [
    [
      "a port where nothing listens",
      `postgresql://me:${password}@127.0.0.1:1/mail`,
      /^the database mail at 127\.0\.0\.1:1 can't be used: nothing listens there$/
    ],
    ["a host by name", `postgresql://me:${password}@localhost:1/mail`, /mail at localhost:1 .*nothing listens there/],
    ["no database", `postgresql://me:${password}@127.0.0.1:1`, /^the database me at/],
    ["another scheme", `mysql://me:${password}@127.0.0.1/mail`, /is not of the form postgresql:\/\//],
    ["a password with #", `postgresql://me:12#${password}@127.0.0.1/mail`, /percent-encoded: # is %23/],
    ["a password with /", `postgresql://me:12/${password}@127.0.0.1/mail`, /percent-encoded/],
    [
      "an unknown sslmode",
      `postgresql://me:${password}@127.0.0.1:1/mail?sslmode=foo`,
      /^DATABASE_URL: sslmode is not one of disable, allow, prefer, require, verify-ca, verify-full$/
    ],
    [
      "a parameter with a typing error",
      `postgresql://me:${password}@127.0.0.1:1/mail?sslmod=require`,
      /^DATABASE_URL: the parameter "sslmod" is not supported; did you mean sslmode\?$/
    ],
    [
      "a parameter that it does not support",
      `postgresql://me:${password}@127.0.0.1:1/mail?sslcert=me.pem`,
      /^DATABASE_URL: the parameter "sslcert" is not supported; the supported ones are connect_timeout, dbname, /
    ],
    ["a password with ?", `postgresql://me:12?${password}=3@127.0.0.1/mail`, /percent-encoded: # is %23, \? is %3F/],
    [
      "a schema of Prisma",
      `postgresql://me:${password}@127.0.0.1:1/mail?schema=idem`,
      /^DATABASE_URL: schema is a parameter of Prisma: set options=-c%20search_path%3DSCHEMA instead$/
    ],
    [
      "channel binding without TLS",
      `postgresql://me:${password}@127.0.0.1:1/mail?channel_binding=require`,
      /^DATABASE_URL: sslrootcert and channel_binding=require need TLS: add sslmode=verify-full$/
    ],
    [
      "certificate authorities that can't be read",
      `postgresql://me:${password}@127.0.0.1:1/mail?sslmode=verify-full&sslrootcert=/nowhere/ca.pem`,
      /^DATABASE_URL: sslrootcert: \/nowhere\/ca\.pem can't be read: /
    ],
    [
      "a timeout that is no number",
      `postgresql://me:${password}@127.0.0.1:1/mail?connect_timeout=soon`,
      /^DATABASE_URL: connect_timeout is not a whole number of seconds$/
    ],
    ["a port parameter that is none", `postgresql://me@127.0.0.1/mail?port=x`, /is not of the form postgresql:\/\//],
    ["no URL at all", password, /is not of the form postgresql:\/\//],
    ["a port that is none", `postgresql://me:${password}@127.0.0.1:99999/mail`, /is not of the form postgresql:\/\//]
  ]
  // The URLs are those that hosting providers and ORMs give out.
  const hosted = [
    "?sslmode=require&channel_binding=require",
    "?options=endpoint%3Dep-cool-1&sslmode=require",
    "?pgbouncer=true&connection_limit=1",
    "?sslmode=require&supa=base-pooler.x",
    "?sslmode=disable",
    "?schema=public&connect_timeout=300&pool_timeout=5",
    "?sslmode=verify-full&sslrootcert=system&target_session_attrs=read-write&application_name=app",
    "?uselibpqcompat=true&sslmode=require",
    "?ssl=true"
  ]
  it.live("accepts the parameters of hosting providers and ORMs", () =>
    Effect.gen(function* () {
      for (const query of hosted) {
        const url = `postgresql://me:${password}@127.0.0.1:1/mail${query}`
        const { message } = yield* Effect.flip(Effect.provide(Database.Database, withEnv({ DATABASE_URL: url })))
        assert.match(message, /^the database mail at 127\.0\.0\.1:1 can't be used: nothing listens there$/, query)
      }
    })
  )

  for (const [what, url, message] of refusals) {
    it.live(`refuses ${what} in one line that shows no password`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Effect.provide(Database.Database, withEnv({ DATABASE_URL: url })))
        assert.match(error.message, message)
        assert.notInclude(error.message, password)
        assert.notInclude(error.message, "\n")
      })
    )
  }

  it.live("says that a database is not there, and that a password is wrong", () =>
    Effect.gen(function* () {
      const errorOf = (url: string) => Effect.flip(Effect.provide(Database.Database, withEnv({ DATABASE_URL: url })))
      const missing = yield* errorOf(urlOf({ database: "nowhere" }))
      assert.match(missing.message, /^the database nowhere at .*database "nowhere" does not exist/)
      const wrong = yield* errorOf(urlOf({ password }))
      assert.match(wrong.message, /password authentication failed for user "idem"/)
      assert.notInclude(wrong.message, password)
    })
  )

  it.effect("is named without the password", () =>
    Effect.gen(function* () {
      const database = yield* Database.Database
      assert.notInclude(JSON.stringify(database), inject("postgres").password)
    }).pipe(Effect.provide(withEnv({ DATABASE_URL: urlOf({}) })))
  )

  // An interrupted slice drops its look-ups and commits, both in the callback that received a response.
  it.live("answers a transaction or a reserved session that begins as a look-up is dropped", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const reserved = Effect.flatMap(sql.reserve, (session) => session.execute("SELECT 3 AS n", [], undefined))
      for (const write of [sql.withTransaction(sql`SELECT 3 AS n`), Effect.scoped(reserved)]) {
        yield* sql`SELECT 1`
        const lookup = yield* Effect.forkChild(sql`SELECT 2`, { startImmediately: true })
        const written = yield* Effect.forkChild(write, { startImmediately: true })
        lookup.interruptUnsafe()
        assert.deepStrictEqual(yield* Fiber.join(written), [{ n: 3 }])
      }
    }).pipe(Effect.provide(withEnv({ DATABASE_URL: urlOf({}) })))
  )
})
