/**
 * The embedded PostgreSQL server, in `IDEM_DATA_DIR`. All Idem commands of a folder share one server: the first command
 * starts it, the others attach, and the last one to leave stops it.
 *
 * Two file locks count the users. The operating system releases them when their holder dies, so `kill -9` leaves
 * nothing to clean up:
 *
 * - `postgres.lock` is held exclusively while the server is created, started or stopped;
 * - `postgres.users` is held shared by each user. A user that leaves releases its share and then tries, under the first
 *   lock, to take it exclusively. If that succeeds, no user is left, and the server is stopped.
 *
 * If all users of a server were killed, it keeps running. The next command finds it by its `postmaster.pid`.
 *
 * If a server ends while it has users (killed by the system for its memory, or after a panic), one of them starts it
 * again, at the same socket, so that their clients reconnect.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Fs from "node:fs/promises"
import * as Binaries from "./embedded/Binaries.ts"
import * as DataDirectory from "./embedded/DataDirectory.ts"
import { EmbeddedError, io } from "./embedded/EmbeddedError.ts"
import * as FileLock from "./embedded/FileLock.ts"
import * as DataLocation from "./embedded/DataLocation.ts"
import * as Postmaster from "./embedded/Postmaster.ts"
import * as Server from "./embedded/Server.ts"

export class Embedded extends Context.Service<
  Embedded,
  {
    /**
     * The folder that holds the data. It may differ from the requested one (see `Place`). The vault's key is there too.
     */
    readonly folder: string
    /** The full path of the server's socket. The server listens on nothing else. */
    readonly socket: string
    readonly database: string
    readonly username: string
    readonly password: Redacted.Redacted
    /** The server's first process id. It changes if the server is started again. */
    readonly pid: number
    /** True if this user started the server, false if it attached to a running one. */
    readonly started: boolean
  }
>()("idem/stores/Embedded") {}

interface Options {
  /** The requested folder. It is created if it does not exist. */
  readonly folder: string
  /** Additional settings of PostgreSQL, for a server that this user starts. */
  readonly settings?: Readonly<Record<string, string>> | undefined
}

const withMutex = (place: DataLocation.Place) =>
  FileLock.withExclusive(place.mutex, {
    wait: Duration.sum(Server.startWithin, Duration.seconds(10)),
    message: `another Idem command has been starting or stopping the database in ${place.folder} for 5 minutes`
  })

/** Stops the server if it has no users. Call this while holding the mutex. */
const stopIfUnused = (place: DataLocation.Place) =>
  Effect.acquireUseRelease(
    FileLock.take(place.users, "exclusive"),
    (exclusive) => (Option.isSome(exclusive) ? Server.stop(place) : Effect.void),
    (exclusive) => (Option.isSome(exclusive) ? exclusive.value.release : Effect.void)
  )

const enter = (place: DataLocation.Place) =>
  Effect.flatMap(
    FileLock.take(place.users, "shared"),
    Option.match({
      onSome: Effect.succeed,
      // Only the holder of the mutex, which is this process, takes the lock exclusively.
      onNone: () =>
        Effect.fail(new EmbeddedError({ message: `${place.users} is locked by something that is not Idem` }))
    })
  )

const leave = (place: DataLocation.Place, share: FileLock.Held) =>
  Effect.andThen(share.release, stopIfUnused(place)).pipe(
    withMutex(place),
    Effect.ensuring(share.release),
    Effect.catch((error) => Effect.logWarning(`the database's server may still run: ${error.message}`))
  )

const lookEvery = Duration.millis(500)

/** Starts the server again whenever it ends. */
const keepRunning = Effect.fnUntraced(function* (
  place: DataLocation.Place,
  pid: number,
  ensure: Effect.Effect<{ readonly pid: number }, EmbeddedError>
) {
  let running = { pid }
  while (true) {
    yield* Effect.repeat(Postmaster.hasExited(running.pid), {
      until: (exited) => exited,
      schedule: Schedule.spaced(lookEvery)
    })
    yield* Effect.logWarning(
      `the database's server in ${place.folder} has ended (see ${place.log}): it is started again`
    )
    running = yield* withMutex(place)(ensure).pipe(
      Effect.tapError((error) => Effect.logError(`the database's server can't be started again: ${error.message}`)),
      Effect.retry(Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")]))
    )
  }
})

/** Uses the server until the scope closes. Starts the server if it does not run. */
export const make = Effect.fn("Embedded.make")(function* (options: Options) {
  const place = yield* DataLocation.prepare(options.folder)
  const binaries = yield* Binaries.find(place)
  const ensure = Server.ensure(place, binaries, options.settings ?? {})
  const running = yield* withMutex(place)(
    Effect.gen(function* () {
      // Enters before the server is started: if the start is interrupted, leaving stops the server.
      yield* Effect.acquireRelease(enter(place), (share) => leave(place, share))
      return yield* ensure
    })
  )
  yield* Effect.forkScoped(keepRunning(place, running.pid, ensure))
  const password = yield* io(`${place.password}, the database's password, can't be read`, () =>
    Fs.readFile(place.password, "utf8")
  )
  return Embedded.of({
    folder: place.folder,
    ...running,
    database: DataDirectory.database,
    username: DataDirectory.username,
    password: Redacted.make(password)
  })
})

/** Provides the server in `IDEM_DATA_DIR`; default `./data`. */
export const layer: Layer.Layer<Embedded, EmbeddedError | Config.ConfigError> = Layer.effect(
  Embedded,
  Effect.flatMap(Config.String("IDEM_DATA_DIR").pipe(Config.withDefault("./data")), (folder) => make({ folder }))
)
