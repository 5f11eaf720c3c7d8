/** Starting, sharing and stopping an embedded server, and recovery from crashes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as EmbeddedUser from "../support/EmbeddedUser.ts"
import { stopUnused } from "../support/PostgresServer.ts"
import { file, query } from "./embeddedFixture.ts"

/** Replaces the process id that a killed server has left with another process's id. */
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
      // On a busy machine the kill may come after the database was created: then another folder is tried.
      const killed = Effect.gen(function* () {
        const folder = yield* EmbeddedUser.folder
        const user = yield* EmbeddedUser.start(folder)
        yield* Effect.repeat(file.names(folder), {
          until: (names) => names.some((name) => name === "postgres" || name.startsWith("postgres.new."))
        })
        yield* user.kill
        return folder
      })
      const folder = yield* Effect.repeat(killed, {
        until: (folder) => Effect.map(file.exists(Path.join(folder, "postgres")), (isMade) => !isMade)
      })

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
        // Fails until one of the two processes has started the server.
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
      // The system takes a moment to end a killed process.
      yield* Effect.repeat(EmbeddedUser.runs(dead.pid), { until: (runs) => !runs })
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

  /** Kills the server of a new folder, and listens at its socket in its place. */
  const replacedAtSocket = Effect.fnUntraced(function* (onConnection: (connection: Net.Socket) => void) {
    const folder = yield* EmbeddedUser.folderWithData
    const { pid, socket } = yield* Effect.scoped(
      Effect.tap(Embedded.make({ folder }), ({ pid }) => Effect.sync(() => process.kill(pid, "SIGKILL")))
    )
    // The system takes a moment to end a killed process.
    yield* Effect.repeat(EmbeddedUser.runs(pid), { until: (runs) => !runs })
    yield* Effect.promise(() => Fs.rm(socket, { force: true }))
    yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const other = Net.createServer(onConnection)
        other.listen(socket)
        await once(other, "listening")
        return other
      }),
      (other) => Effect.sync(() => other.close())
    )
    return folder
  })

  it.live("starts no second server beside one whose processes can't be seen", () =>
    Effect.gen(function* () {
      // PostgreSQL's response to a client that asks for TLS on a local socket.
      const folder = yield* replacedAtSocket((connection) => connection.once("data", () => connection.end("N")))
      const error = yield* Effect.flip(Embedded.make({ folder }))
      assert.match(error.message, /runs in another container/)
    }).pipe(Effect.scoped)
  )

  it.live("starts where a process that a dead server left behind still held the socket", () =>
    Effect.gen(function* () {
      const folder = yield* replacedAtSocket((connection) => connection.once("data", () => connection.destroy()))
      assert.isTrue((yield* Embedded.make({ folder })).started)
    }).pipe(Effect.scoped)
  )
})
