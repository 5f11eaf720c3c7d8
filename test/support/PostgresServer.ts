/** The PostgreSQL server of a test run, with a migrated database that each test file copies. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as ChildProcess from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { promisify } from "node:util"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Binaries from "../../src/stores/embedded/Binaries.ts"
import * as DataDirectory from "../../src/stores/embedded/DataDirectory.ts"
import * as DataLocation from "../../src/stores/embedded/DataLocation.ts"
import * as FileLock from "../../src/stores/embedded/FileLock.ts"
import * as Server from "../../src/stores/embedded/Server.ts"

/** The names of test runs' folders, which contain the id of the process that runs the tests. */
const folderName = /^idem-test-(\d+)-/

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** Stops an abandoned server in this folder. Returns false, and does nothing, if a process uses the server. */
export const stopUnused = Effect.fnUntraced(function* (folder: string) {
  const place = yield* DataLocation.prepare(folder)
  return yield* Effect.acquireUseRelease(
    FileLock.take(place.users, "exclusive"),
    (exclusive) => (Option.isSome(exclusive) ? Effect.as(Server.stop(place), true) : Effect.succeed(false)),
    (exclusive) => (Option.isSome(exclusive) ? exclusive.value.release : Effect.void)
  ).pipe(
    FileLock.withExclusive(place.mutex, {
      wait: Duration.minutes(1),
      message: `${place.mutex} is held by somebody else`
    })
  )
})

/** Stops servers of killed test runs, and removes their folders. Folders of other users are left to those users. */
const sweep = Effect.gen(function* () {
  for (const parent of [Os.tmpdir(), "/var/lib/idem"]) {
    const names = yield* Effect.promise(() => Fs.readdir(parent).catch((): Array<string> => []))
    for (const name of names) {
      const pid = folderName.exec(name)?.[1]
      if (pid === undefined || isAlive(Number(pid))) continue
      const folder = Path.join(parent, name)
      const owner = yield* Effect.promise(() =>
        Fs.stat(folder)
          .then(({ uid }) => uid)
          .catch(() => undefined)
      )
      if (owner !== process.getuid?.()) continue
      yield* Effect.ignore(
        Effect.flatMap(stopUnused(folder), (unused) =>
          unused ? Effect.tryPromise(() => Fs.rm(folder, { recursive: true, force: true })) : Effect.void
        )
      )
    }
  }
})

const temporary = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), `idem-test-${process.pid}-`))),
  (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
)

/** Copies a data folder whose server is stopped. Unlike Node's copy, it keeps the owners. */
export const copyData = (from: string, to: string) =>
  Effect.promise(() => promisify(ChildProcess.execFile)("cp", ["-a", `${from}/.`, to]))

/**
 * Initializes the data of a server, and returns the folder of a copy that tests copy again: initializing takes twenty
 * times the CPU of copying. Undefined if the server's user can't reach temporary folders.
 */
const initialise = Effect.fnUntraced(function* (requested: string) {
  const place = yield* DataLocation.prepare(requested)
  yield* DataDirectory.initialise(place, yield* Binaries.find(place))
  if (place.folder !== (yield* Effect.promise(() => Fs.realpath(requested).catch(() => requested)))) return undefined
  const copy = yield* temporary
  yield* copyData(place.folder, copy)
  return copy
})

/** Starts the server, which runs until the scope closes. */
export const start = Effect.gen(function* () {
  yield* sweep
  const requested = yield* temporary
  const data = yield* initialise(requested)
  const folder = { current: requested }
  yield* Effect.addFinalizer(() => Effect.promise(() => Fs.rm(folder.current, { recursive: true, force: true })))
  const server = yield* Embedded.make({
    folder: requested,
    // The tests' data need not survive a power cut, and many test files keep their pools open at the same time.
    settings: { fsync: "off", synchronous_commit: "off", full_page_writes: "off", max_connections: "300" }
  })
  folder.current = server.folder
  const access = { username: server.username, database: server.database }
  const connectTimeout = Duration.infinity
  yield* Migrations.migrate.pipe(
    Effect.provide(PgClient.layer({ ...access, path: server.socket, password: server.password, connectTimeout }))
  )
  return { ...access, data, socket: server.socket, password: Redacted.value(server.password) }
})
