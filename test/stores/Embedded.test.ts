import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { stopUnused } from "../support/PostgresServer.ts"

const isRoot = process.getuid?.() === 0

const query = <A>(
  server: Embedded.Embedded["Service"],
  run: (sql: SqlClient.SqlClient) => Effect.Effect<A, unknown>,
  password = server.password
) =>
  Effect.gen(function* () {
    const { database, socket, username } = server
    return yield* Effect.provide(
      SqlClient.SqlClient.use(run),
      PgClient.layer({ path: socket, database, username, password, maxConnections: 1 }),
      { local: true }
    )
  })

const file = {
  mode: (path: string) => Effect.promise(async () => (await Fs.stat(path)).mode & 0o777),
  owner: (path: string) => Effect.promise(async () => (await Fs.stat(path)).uid),
  names: (path: string) => Effect.promise(() => Fs.readdir(path)),
  exists: (path: string) =>
    Effect.promise(() =>
      Fs.stat(path).then(
        () => true,
        () => false
      )
    )
}

/** Puts another process's number where a killed server has left its own. */
const blame = (cluster: string, pid: number) =>
  Effect.promise(async () => {
    const path = Path.join(cluster, "postmaster.pid")
    const [, ...rest] = (await Fs.readFile(path, "utf8")).split("\n")
    await Fs.writeFile(path, [String(pid), ...rest].join("\n"))
  })

describe("Embedded", () => {
  it.live("is started by the first, used by all, and stopped by the last", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const first = yield* EmbeddedUser.start(folder)
      const server = yield* first.server
      assert.isTrue(server.started)
      const second = yield* EmbeddedUser.start(folder)
      assert.deepStrictEqual(yield* second.server, { ...server, started: false })

      yield* first.leave
      assert.isTrue(yield* EmbeddedUser.runs(server.pid))
      yield* second.leave
      assert.isFalse(yield* EmbeddedUser.runs(server.pid))
      assert.isFalse(yield* file.exists(Path.join(folder, "postgres", "postmaster.pid")))
    })
  )

  it.live("survives the kill of its starter, serves the next, and is stopped by it", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const starter = yield* EmbeddedUser.start(folder)
      const { pid } = yield* starter.server
      yield* starter.kill
      assert.isTrue(yield* EmbeddedUser.runs(pid))

      const next = yield* EmbeddedUser.start(folder)
      const server = yield* next.server
      assert.deepStrictEqual([server.pid, server.started], [pid, false])
      yield* next.leave
      assert.isFalse(yield* EmbeddedUser.runs(pid))
    })
  )

  it.live("does not wait for users that were killed", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const [stays, dies] = yield* Effect.all([EmbeddedUser.start(folder), EmbeddedUser.start(folder)])
      const { pid } = yield* stays.server
      yield* dies.server
      yield* dies.kill
      yield* stays.leave
      assert.isFalse(yield* EmbeddedUser.runs(pid))
    })
  )

  it.live("is one server for many that begin at the same moment", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const users = yield* Effect.all(Array.from({ length: 4 }, () => EmbeddedUser.start(folder)))
      const servers = yield* Effect.all(users.map((user) => user.server))
      assert.strictEqual(new Set(servers.map((server) => server.pid)).size, 1)
      assert.strictEqual(servers.filter((server) => server.started).length, 1)
      yield* Effect.all(
        users.map((user) => user.leave),
        { concurrency: "unbounded" }
      )
      assert.isFalse(yield* EmbeddedUser.runs(servers[0]?.pid ?? 0))
    })
  )

  it.live("counts users within one process too", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const { pid } = yield* Effect.scoped(
        Effect.gen(function* () {
          const outer = yield* Embedded.make({ folder })
          const inner = yield* Effect.scoped(Embedded.make({ folder }))
          assert.deepStrictEqual([inner.pid, inner.started], [outer.pid, false])
          assert.isTrue(yield* EmbeddedUser.runs(outer.pid))
          assert.isFalse(yield* stopUnused(folder))
          return outer
        })
      )
      assert.isFalse(yield* EmbeddedUser.runs(pid))
      assert.isTrue(yield* stopUnused(folder))
    })
  )

  it.live("does not end with a Ctrl-C in its starter's terminal", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const starter = yield* EmbeddedUser.start(folder)
      const { pid } = yield* starter.server
      const stays = yield* EmbeddedUser.start(folder)
      yield* stays.server
      const exited = once(starter.process, "exit")
      process.kill(-(starter.process.pid ?? 0), "SIGINT")
      yield* Effect.promise(() => exited)
      assert.isTrue(yield* EmbeddedUser.runs(pid))
      yield* stays.leave
      assert.isFalse(yield* EmbeddedUser.runs(pid))
    })
  )

  it.live("leaves no server where its start is interrupted", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      yield* Effect.scoped(Embedded.make({ folder }))
      const watcher = Fs.watch(Path.join(folder, "postgres"))
      const starting = Effect.promise(async () => {
        for await (const event of watcher) if (event.filename === "postmaster.pid") return
      })
      const fiber = yield* Effect.forkChild(Effect.scoped(Effect.andThen(Embedded.make({ folder }), Effect.never)))
      yield* starting
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
      assert.isFalse(yield* file.exists(Path.join(folder, "postgres", "postmaster.pid")))
    })
  )

  it.live("makes the database anew where making it was killed half way", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const watcher = Fs.watch(folder)
      const making = Effect.promise(async () => {
        for await (const event of watcher) if (event.filename?.startsWith("postgres.new.")) return
      })
      const killed = yield* EmbeddedUser.start(folder)
      yield* making
      yield* killed.kill
      assert.isFalse(yield* file.exists(Path.join(folder, "postgres")))

      const server = yield* Embedded.make({ folder })
      assert.deepStrictEqual(yield* query(server, (sql) => sql`SELECT 1 AS one`), [{ one: 1 }])
    }).pipe(Effect.scoped)
  )

  it.live("keeps what was written, after a clean end and after a kill of the server itself", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const first = yield* Effect.scoped(
        Effect.tap(Embedded.make({ folder }), (server) =>
          query(server, (sql) => sql`CREATE TABLE kept AS SELECT 1 AS n`)
        )
      )
      const second = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* Embedded.make({ folder })
          assert.notStrictEqual(server.pid, first.pid)
          yield* query(server, (sql) => sql`INSERT INTO kept VALUES (2)`)
          process.kill(server.pid, "SIGKILL")
          return server
        })
      )
      const third = yield* Embedded.make({ folder })
      assert.notStrictEqual(third.pid, second.pid)
      assert.deepStrictEqual(yield* query(third, (sql) => sql`SELECT n FROM kept ORDER BY n`), [{ n: 1 }, { n: 2 }])
    }).pipe(Effect.scoped)
  )

  it.live("is started again for those who use it, at the same socket, where it was killed", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const server = yield* Embedded.make({ folder })
      const other = yield* EmbeddedUser.start(folder)
      yield* other.server
      for (let killed = server.pid, times = 0; times < 2; times += 1) {
        process.kill(killed, "SIGKILL")
        // Fails until one of the two has started it.
        const pidOf = Effect.promise(() => Fs.readFile(Path.join(server.folder, "postgres", "postmaster.pid"), "utf8"))
        const before = killed
        yield* query(server, (sql) => sql`SELECT 1`).pipe(
          Effect.andThen(pidOf),
          Effect.tap((text) => Effect.sync(() => void (killed = Number.parseInt(text, 10)))),
          Effect.eventually,
          Effect.repeat({ until: () => killed !== before })
        )
        assert.isTrue(yield* EmbeddedUser.runs(killed))
      }
      yield* other.leave
    }).pipe(Effect.scoped)
  )

  it.live("is not kept from starting by another process that has a dead server's number", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const cluster = Path.join(folder, "postgres")
      const dead = yield* Effect.scoped(
        Effect.tap(Embedded.make({ folder }), ({ pid }) => Effect.sync(() => process.kill(pid, "SIGKILL")))
      )
      const uid = yield* file.owner(cluster)
      const other = yield* Effect.acquireRelease(
        Effect.sync(() =>
          ChildProcess.spawn("/bin/sh", ["-c", "read line"], { uid, cwd: "/", stdio: ["pipe", "ignore", "ignore"] })
        ),
        (child) => Effect.sync(() => child.kill())
      )
      yield* blame(cluster, other.pid ?? 0)
      const server = yield* Embedded.make({ folder })
      assert.isTrue(server.started)
      assert.notStrictEqual(server.pid, dead.pid)
      assert.isTrue(yield* EmbeddedUser.runs(other.pid ?? 0))
    }).pipe(Effect.scoped)
  )

  it.live("starts no second server beside one whose processes can't be seen", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      const { pid, socket } = yield* Effect.scoped(
        Effect.tap(Embedded.make({ folder }), ({ pid }) => Effect.sync(() => process.kill(pid, "SIGKILL")))
      )
      // The system takes a moment to end a killed process.
      yield* Effect.repeat(EmbeddedUser.runs(pid), { until: (runs) => !runs })
      yield* Effect.promise(() => Fs.rm(socket, { force: true }))
      yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const other = Net.createServer((connection) => connection.destroy())
          other.listen(socket)
          await once(other, "listening")
          return other
        }),
        (other) => Effect.sync(() => other.close())
      )
      const error = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(error.message, /runs in another container/)
    }).pipe(Effect.scoped)
  )

  it.live("works where the path of its folder is too long for a socket, and leaves nothing elsewhere", () =>
    Effect.gen(function* () {
      const parent = yield* EmbeddedUser.folder
      yield* Effect.promise(() => Fs.chmod(parent, 0o755))
      const folder = Path.join(parent, "d".repeat(60), "d".repeat(60), "data")
      const { socket } = yield* Effect.scoped(
        Effect.gen(function* () {
          const server = yield* Embedded.make({ folder })
          assert.isAtMost(Buffer.byteLength(server.socket), 107)
          assert.strictEqual(yield* file.mode(Path.dirname(server.socket)), 0o700)
          assert.deepStrictEqual(yield* query(server, (sql) => sql`SELECT 1 AS one`), [{ one: 1 }])
          const attached = yield* EmbeddedUser.start(folder)
          assert.deepStrictEqual((yield* attached.server).socket, server.socket)
          yield* attached.leave
          return server
        })
      )
      assert.isFalse(yield* file.exists(Path.dirname(socket)))
    })
  )

  it.live("lets nobody in who is not its owner, and listens on no port", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folder
      const server = yield* Embedded.make({ folder })
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres.password")), 0o600)
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres.log")), 0o600)
      assert.strictEqual(yield* file.mode(Path.join(folder, "postgres")), 0o700)
      assert.strictEqual((yield* file.mode(folder)) & 0o066, 0)
      assert.isAtLeast(Redacted.value(server.password).length, 32)
      assert.deepStrictEqual(
        yield* query(
          server,
          (sql) => sql`SELECT current_setting('listen_addresses') AS listen, current_setting('fsync') AS fsync,
            current_setting('password_encryption') AS passwords`
        ),
        [{ listen: "", fsync: "on", passwords: "scram-sha-256" }]
      )
      const refused = yield* Effect.flip(query(server, (sql) => sql`SELECT 1`, Redacted.make("wrong")))
      assert.include(JSON.stringify(refused), "AuthenticationError")
    }).pipe(Effect.scoped)
  )

  it.live("refuses the data of another major version, and leaves it as it is", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      yield* Effect.scoped(Embedded.make({ folder }))
      yield* Effect.promise(() => Fs.writeFile(Path.join(folder, "postgres", "PG_VERSION"), "12\n"))
      const error = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(error.message, /holds data of PostgreSQL 12, and this Idem brings \d+/)
    }).pipe(Effect.scoped)
  )

  it.live("says where its folder can't be created", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Embedded.make({ folder: "/proc/nope/data" }))
      assert.match(error.message, /nope\/data can't be made: .+; IDEM_DATA_DIR names another folder$/)
      const folder = Path.join(yield* EmbeddedUser.folder, "two\nlines")
      const broken = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(broken.message, /^IDEM_DATA_DIR holds a line break/)
    }).pipe(Effect.scoped)
  )

  it.live("says why it does not start", () =>
    Effect.gen(function* () {
      const folder = yield* EmbeddedUser.folderWithData
      yield* Effect.scoped(Embedded.make({ folder }))
      const settings = { max_wal_size: "nonsense" }
      const error = yield* Effect.flip(Effect.scoped(Embedded.make({ folder, settings })))
      assert.match(error.message, /did not start in .*: .*max_wal_size.*nonsense/)
      // As in a copy of the folder that belongs to another user.
      yield* Effect.promise(() => Fs.chmod(Path.join(folder, "postgres", "postgresql.conf"), 0))
      const closed = yield* Effect.flip(Effect.scoped(Embedded.make({ folder })))
      assert.match(closed.message, /did not start in .*; its files must belong .*: chown -R \d+:\d+ .*postgres$/)
      assert.notInclude(error.message, "\n")

      const inFile = yield* Effect.flip(Embedded.make({ folder: Path.join(folder, "postgres.password", "data") }))
      assert.match(inFile.message, / is not a folder; IDEM_DATA_DIR names another folder$/)
    }).pipe(Effect.scoped)
  )

  // PostgreSQL refuses to run as root; where these are skipped, the tests above have run as an ordinary user.
  describe.skipIf(!isRoot)("as root", () => {
    it.live("runs as another user, who can read neither the password nor the key", () =>
      Effect.gen(function* () {
        const folder = yield* EmbeddedUser.folder
        const server = yield* Embedded.make({ folder })
        assert.notStrictEqual(yield* file.owner(`/proc/${server.pid}`), 0)
        assert.strictEqual(yield* file.owner(Path.join(folder, "postgres.password")), 0)
      }).pipe(Effect.scoped)
    )

    it.live("puts its data in /var/lib/idem where a folder of root's shuts the server out, one for each folder", () =>
      Effect.gen(function* () {
        const closed = yield* EmbeddedUser.folder
        const places: Array<string> = []
        for (const name of ["one", "two"]) {
          const folder = Path.join(closed, name, "data")
          const first = yield* EmbeddedUser.start(folder)
          const server = yield* first.server
          places.push(server.folder)
          yield* Effect.addFinalizer(() => Effect.promise(() => Fs.rm(server.folder, { recursive: true, force: true })))
          assert.match(server.folder, /^\/var\/lib\/idem\/data-[0-9a-f]{12}$/)
          const attached = yield* EmbeddedUser.start(folder)
          assert.deepStrictEqual(yield* attached.server, { ...server, started: false })
          yield* Effect.all([first.leave, attached.leave])
          assert.isFalse(yield* EmbeddedUser.runs(server.pid))
        }
        assert.notStrictEqual(places[0], places[1])
      }).pipe(Effect.scoped)
    )
  })

  describe.skipIf(isRoot)("as an ordinary user", () => {
    it.live("says when the folder may not be written to", () =>
      Effect.gen(function* () {
        const folder = yield* EmbeddedUser.folder
        yield* Effect.promise(() => Fs.chmod(folder, 0o500))
        const error = yield* Effect.flip(Embedded.make({ folder }))
        assert.match(error.message, /can't be written to: permission denied; IDEM_DATA_DIR names another folder/)
      }).pipe(Effect.scoped)
    )
  })
})
