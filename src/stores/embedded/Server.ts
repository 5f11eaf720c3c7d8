/** Starts and stops the embedded server, and creates its data. The caller holds the lock of the data directory. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as ChildProcess from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import type { Binaries } from "./Binaries.ts"
import * as DataDirectory from "./DataDirectory.ts"
import { blameFullDisk, EmbeddedError, io, ioSync } from "./EmbeddedError.ts"
import { canReach, type Place } from "./DataLocation.ts"
import * as Postmaster from "./Postmaster.ts"
import { reasonIn, spawnFailure, spawnOptions } from "./PostgresProgram.ts"

/** Longer than the recovery of `max_wal_size` takes on a slow disk. */
export const startWithin = Duration.minutes(5)
const stopWithin = Duration.seconds(60)

/** The longest path of a socket that every system accepts: 103 bytes on macOS, 107 on Linux. */
const maxSocketPath = 103

const maxLog = 1_000_000

/** Settings for little memory when idle. Durability stays at its defaults: `fsync` and `synchronous_commit` are on. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: "",
  unix_socket_permissions: "0700",
  port: "5432",
  max_connections: "100",
  shared_buffers: "128MB",
  // Nothing replicates from this server, so it can write less to its log.
  wal_level: "minimal",
  max_wal_senders: "0",
  min_wal_size: "32MB",
  max_wal_size: "512MB",
  // Fewer background processes on an idle machine.
  io_method: "sync",
  max_worker_processes: "2",
  max_parallel_workers_per_gather: "0",
  max_logical_replication_workers: "0",
  autovacuum_max_workers: "2",
  jit: "off",
  log_checkpoints: "off",
  checkpoint_warning: "0",
  // Statements, parameters and details of errors may quote private mail: they are not logged.
  log_parameter_max_length_on_error: "0",
  log_error_verbosity: "terse",
  log_min_error_statement: "panic",
  timezone: "UTC",
  log_timezone: "UTC"
}

/** Returns the folder of the socket: the cluster's own, or a short private folder if the path would be too long. */
const socketFolder = Effect.fnUntraced(function* (place: Place) {
  const fits = (folder: string) => Buffer.byteLength(Path.join(folder, Postmaster.socketName)) <= maxSocketPath
  if (fits(place.cluster)) return place.cluster
  const digest = Crypto.createHash("sha256").update(place.cluster).digest("hex").slice(0, 16)
  const { user } = place
  for (const parent of [Os.tmpdir(), "/tmp"]) {
    const folder = Path.join(parent, `idem-${digest}`)
    if (!fits(folder)) continue
    if (user !== undefined && !(yield* io(parent, () => canReach(user, parent)))) continue
    return yield* io(`${folder} can't be used for the database's socket`, async () => {
      const made = await Fs.mkdir(folder, { mode: 0o700 }).then(
        () => true,
        (cause: NodeJS.ErrnoException) => {
          if (cause.code === "EEXIST") return false
          throw cause
        }
      )
      if (made) await DataDirectory.giveTo(place, folder)
      // Other users can write to the parent folder, so this folder must be ours and closed to them.
      const stat = await Fs.lstat(folder)
      if (!stat.isDirectory() || stat.uid !== (user?.uid ?? process.getuid?.()) || (stat.mode & 0o077) !== 0) {
        throw new Error("it belongs to another user, or others may use it")
      }
      return folder
    })
  }
  return yield* new EmbeddedError({ message: `the path ${place.cluster} is too long for a socket: set IDEM_DATA_DIR` })
})

const openLog = (place: Place) =>
  io(place.log, async () => {
    const { size } = await Fs.stat(place.log).catch(() => ({ size: 0 }))
    if (size > maxLog) await Fs.rename(place.log, `${place.log}.old`)
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDWR } = Fs.constants
    const handle = await Fs.open(place.log, O_APPEND | O_CREAT | O_NOFOLLOW | O_RDWR, 0o600)
    // A command run by root must not lock out the folder's owner.
    if (place.user !== undefined) {
      const { gid, uid } = await Fs.stat(place.folder)
      await handle.chown(uid, gid)
    }
    return { handle, from: (await handle.stat()).size }
  })

/** Reads the lines that the server wrote to its log since `from`. */
const readLog = (handle: Fs.FileHandle, from: number) =>
  Effect.promise(async () => {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(16_384), 0, 16_384, from)
    return buffer.subarray(0, bytesRead).toString()
  })

const poll = Schedule.spaced("10 millis")

const hasEnded = (child: ChildProcess.ChildProcess) => child.exitCode !== null || child.signalCode !== null

/** Ends a server that did not become ready. Its `postmaster.pid` may not exist yet. */
const abandon = (child: ChildProcess.ChildProcess) => {
  const signal = (name: "SIGINT" | "SIGQUIT") => Effect.sync(() => child.kill(name))
  const ended = Effect.repeat(
    Effect.sync(() => child.pid === undefined || hasEnded(child)),
    { until: (ended) => ended, schedule: poll }
  )
  return signal("SIGINT").pipe(
    Effect.andThen(ended),
    Effect.timeoutOrElse({ duration: stopWithin, orElse: () => Effect.andThen(signal("SIGQUIT"), ended) })
  )
}

/**
 * Starts the server and waits until it accepts connections. The server runs in its own session, so that it outlives
 * this process, and Ctrl-C in the terminal does not stop it.
 */
const spawn = Effect.fn("Server.spawn")(function* (
  place: Place,
  binaries: Binaries,
  overrides: Readonly<Record<string, string>>
) {
  const socket = yield* socketFolder(place)
  const { handle, from } = yield* Effect.acquireRelease(openLog(place), ({ handle }) =>
    Effect.promise(() => handle.close())
  )
  const set = Object.entries({ ...settings, ...overrides, unix_socket_directories: socket })
  let failed: Error | undefined
  const start = ioSync(`${binaries.postgres} can't be run`, () => {
    const child = ChildProcess.spawn(
      binaries.postgres,
      ["-D", place.cluster, ...set.flatMap(([name, value]) => ["-c", `${name}=${value}`])],
      { ...spawnOptions(place.user), detached: true, stdio: ["ignore", handle.fd, handle.fd] }
    )
    child.on("error", (cause) => {
      failed = cause
    })
    child.unref()
    return child
  })
  const serve = Effect.fnUntraced(function* (child: ChildProcess.ChildProcess) {
    const running = yield* Postmaster.find(place.cluster).pipe(
      Effect.repeat({
        until: (found) => found?.status === "ready" || failed !== undefined || hasEnded(child),
        schedule: poll
      }),
      Effect.timeoutOrElse({
        duration: startWithin,
        orElse: () =>
          Effect.fail(new EmbeddedError({ message: `PostgreSQL is not ready after 5 minutes: see ${place.log}` }))
      })
    )
    if (running?.status === "ready" && running.socket !== undefined) return { pid: running.pid, socket: running.socket }
    if (failed !== undefined) return yield* spawnFailure(binaries.postgres, failed)
    const log = yield* readLog(handle, from)
    // A copied folder belongs to the user who copied it.
    const owner = place.user ?? { uid: process.getuid?.(), gid: process.getgid?.() }
    const next = /permission denied|wrong ownership/i.test(log)
      ? `; its files must belong to the user that PostgreSQL runs as: chown -R ${owner.uid}:${owner.gid} ${place.cluster}`
      : ""
    return yield* blameFullDisk(place.folder)(
      new EmbeddedError({ message: `PostgreSQL did not start in ${place.folder}: ${reasonIn(log)}${next}` })
    )
  })
  return yield* Effect.acquireUseRelease(start, serve, (child, exit) =>
    Exit.isSuccess(exit) ? Effect.void : abandon(child)
  )
}, Effect.scoped)

/** Stops the server if it runs. Open transactions are rolled back; committed data is on disk. */
export const stop = Effect.fn("Server.stop")(function* (place: Place) {
  const running = yield* Postmaster.find(place.cluster)
  if (running === undefined) return
  const { pid } = running
  // `postmaster.pid` is removed a moment before the process ends.
  const gone = Effect.repeat(Postmaster.hasExited(pid), { until: (exited) => exited, schedule: poll })
  const signal = (name: "SIGINT" | "SIGQUIT") =>
    ioSync(`the server (process ${pid}) can't be stopped`, () => process.kill(pid, name))
  yield* signal("SIGINT")
  yield* gone.pipe(
    Effect.timeoutOrElse({
      duration: stopWithin,
      // The server recovers at the next start. If the process id no longer belongs to the server, there is nothing to
      // wait for.
      orElse: () =>
        Effect.flatMap(Postmaster.find(place.cluster), (found) =>
          found?.pid === pid ? Effect.andThen(signal("SIGQUIT"), gone) : Effect.void
        )
    })
  )
  const folder = Path.dirname(running.socket ?? place.cluster)
  if (folder !== place.cluster) yield* Effect.ignore(io(folder, () => Fs.rmdir(folder)))
})

/** Returns the running server, or starts it. `started` is true for a new one. */
const attachOrSpawn = Effect.fnUntraced(function* (
  place: Place,
  binaries: Binaries,
  overrides: Readonly<Record<string, string>>
) {
  // Waits for a server that was starting or stopping when its user was killed.
  const found = yield* Postmaster.find(place.cluster).pipe(
    Effect.repeat({ until: (found) => found === undefined || found.status === "ready", schedule: poll }),
    Effect.timeoutOrElse({
      duration: startWithin,
      orElse: () =>
        Effect.fail(
          new EmbeddedError({ message: `PostgreSQL has been starting or stopping for 5 minutes: see ${place.log}` })
        )
    })
  )
  if (found?.socket !== undefined) return { pid: found.pid, socket: found.socket, started: false }
  if (yield* Postmaster.isElsewhere(place.cluster)) {
    return yield* new EmbeddedError({
      message: `the database in ${place.folder} runs in another container: stop Idem there, or give both the same DATABASE_URL`
    })
  }
  yield* Postmaster.disown(place.cluster)
  return { ...(yield* spawn(place, binaries, overrides)), started: true }
})

/**
 * PostgreSQL's messages for conditions that soon pass: the processes of a killed server take a moment to end, or the
 * process that started it was killed before the server wrote its `postmaster.pid`, which it does a moment later.
 */
const passing = /shared memory block|lock file/

/** Returns the server of this data directory. Creates the data and starts the server if needed. */
export const ensure = Effect.fn("Server.ensure")(function* (
  place: Place,
  binaries: Binaries,
  overrides: Readonly<Record<string, string>>
) {
  const version = yield* DataDirectory.versionOf(place)
  if (version === undefined) yield* DataDirectory.initialise(place, binaries)
  else if (version !== binaries.major) {
    return yield* new EmbeddedError({
      message: `${place.folder} holds data of PostgreSQL ${version}, and this Idem brings ${binaries.major}: use the Idem that made it to move the data (idem copy)`
    })
  }
  return yield* attachOrSpawn(place, binaries, overrides).pipe(
    Effect.retry({
      while: (error) => passing.test(error.message),
      schedule: Schedule.spaced("200 millis"),
      times: 50
    })
  )
})
