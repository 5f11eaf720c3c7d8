/** A PostgreSQL cluster: a data directory with its server. A standby can be copied from it, and be promoted. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Binaries from "../../src/stores/embedded/Binaries.ts"
import * as DataDirectory from "../../src/stores/embedded/DataDirectory.ts"
import * as DataLocation from "../../src/stores/embedded/DataLocation.ts"
import * as Postmaster from "../../src/stores/embedded/Postmaster.ts"
import * as PostgresServer from "../../src/stores/embedded/Server.ts"
import { copyData } from "./PostgresServer.ts"
import * as SystemPostgres from "./SystemPostgres.ts"

export interface Cluster {
  readonly username: string
  readonly password: Redacted.Redacted
  /** Returns the full path of the server's own socket. */
  readonly socket: () => string
  /** Runs a statement in a database, by default `postgres`, and repeats it while the server can't be reached. */
  readonly query: (
    statement: string,
    database?: string
  ) => Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>>
  /** Ends the server, in order or as in a crash, and starts it again. */
  readonly restart: (how: "fast" | "immediate") => Effect.Effect<void>
  /** Sends `kill -9` to the server. */
  readonly kill: Effect.Effect<void>
  /**
   * Starts an asynchronous standby on a copy of the data. It runs until the scope closes. The primary is restarted for
   * the copy.
   */
  readonly copyAsStandby: Effect.Effect<Cluster, never, Scope.Scope>
  /** Interrupts the replication of a standby for good, and waits until it has ended. */
  readonly disconnect: Effect.Effect<void>
  /** Promotes a standby, and waits until it accepts writes. */
  readonly promote: Effect.Effect<void>
  /** Stops the server if it runs, and removes the data. */
  readonly remove: Effect.Effect<void>
}

/**
 * Commits wait for their log, so that a crash of the server loses none of them; a crash of the machine may. With
 * `wal_level = minimal`, PostgreSQL 18 loses the empty forks of unlogged tables that are copied from a template if it
 * crashes then; a standby needs `replica` too.
 */
const settings = {
  fsync: "off",
  full_page_writes: "off",
  shared_buffers: "32MB",
  autovacuum: "off",
  wal_level: "replica",
  max_wal_senders: "2",
  wal_keep_size: "256MB",
  wal_retrieve_retry_interval: "100ms"
}

const makeFolder = Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), `idem-test-${process.pid}-`)))

const following = (connection: string) => `primary_conninfo = '${connection}'\n`

interface Options {
  readonly folder: string
  /** Undefined: the embedded ones. */
  readonly binaries: Binaries.Binaries | undefined
  /** Called with the data directory before the server starts. */
  readonly prepare: (cluster: string) => Promise<void>
}

/** Starts the server of this folder. Creates the data if there is none. */
const start = Effect.fnUntraced(function* ({ binaries, folder: requested, prepare }: Options) {
  const place = yield* DataLocation.prepare(requested)
  const ensure = PostgresServer.ensure(place, binaries ?? (yield* Binaries.find(place)), settings)
  const remove = PostgresServer.stop(place).pipe(
    Effect.andThen(
      Effect.promise(async () => {
        for (const folder of [place.folder, requested]) await Fs.rm(folder, { recursive: true, force: true })
      })
    ),
    Effect.orDie
  )
  yield* Effect.addFinalizer(() => remove)
  yield* Effect.promise(() => prepare(place.cluster))
  let server = yield* ensure
  const { username } = DataDirectory
  const password = Redacted.make(yield* Effect.promise(() => Fs.readFile(place.password, "utf8")))

  const query = (statement: string, database = "postgres") =>
    Effect.suspend(() =>
      Effect.provide(
        SqlClient.SqlClient.use((sql) => sql.unsafe<Record<string, unknown>>(statement)),
        PgClient.layer({ path: server.socket, username, password, database, maxConnections: 1 })
      )
    ).pipe(Effect.retry({ times: 100, schedule: Schedule.spaced(Duration.millis(50)) }), Effect.orDie)

  const end = Effect.fnUntraced(function* (signal: "SIGINT" | "SIGQUIT" | "SIGKILL") {
    const { pid } = server
    process.kill(pid, signal)
    yield* Effect.repeat(Postmaster.hasExited(pid), {
      until: (exited) => exited,
      schedule: Schedule.spaced("5 millis")
    })
  })
  const restartAfter = (signal: "SIGINT" | "SIGQUIT", between: Effect.Effect<void>) =>
    Effect.gen(function* () {
      yield* end(signal)
      yield* between
      server = yield* ensure
    }).pipe(Effect.orDie)

  const cluster: Cluster = {
    username,
    password,
    socket: () => server.socket,
    query,
    restart: (how) => restartAfter(how === "fast" ? "SIGINT" : "SIGQUIT", Effect.void),
    kill: end("SIGKILL"),
    copyAsStandby: Effect.gen(function* () {
      const folder = yield* makeFolder
      yield* restartAfter("SIGINT", copyData(place.folder, folder))
      const host = Path.dirname(server.socket)
      const connection = `host=${host} port=5432 user=${username} password=${Redacted.value(password)}`
      const prepare = async (data: string) => {
        await Fs.writeFile(Path.join(data, "standby.signal"), "")
        await Fs.writeFile(Path.join(data, "postgresql.auto.conf"), following(connection))
      }
      return yield* start({ folder, binaries, prepare })
    }).pipe(Effect.orDie),
    disconnect: Effect.gen(function* () {
      yield* Effect.promise(() => Fs.writeFile(Path.join(place.cluster, "postgresql.auto.conf"), following("")))
      process.kill(server.pid, "SIGHUP")
      yield* Effect.repeat(query("SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_wal_receiver)"), {
        until: (rows) => rows.length > 0,
        schedule: Schedule.spaced("20 millis")
      })
    }),
    promote: Effect.asVoid(query("SELECT pg_promote(true, 60)")),
    remove
  }
  return cluster
})

/**
 * Creates a cluster, and starts its server, which runs until the scope closes. `major` names a version of the system;
 * undefined: the embedded one.
 */
export const create = (major?: string): Effect.Effect<Cluster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const binaries = major === undefined ? undefined : yield* SystemPostgres.find(major)
    return yield* start({ folder: yield* makeFolder, binaries, prepare: async () => {} })
  }).pipe(Effect.orDie)
