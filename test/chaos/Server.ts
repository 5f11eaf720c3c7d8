/** A PostgreSQL server of the harness, which can be restarted, with a database for each seed. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Embedded from "../../src/stores/Embedded.ts"
import * as Postmaster from "../../src/stores/embedded/Postmaster.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as Audit from "./Audit.ts"

export interface Server {
  readonly socket: string
  readonly username: string
  readonly password: string
  /** Ends the server, in order or as in a crash, and starts it again. */
  readonly restart: (how: "fast" | "immediate") => Effect.Effect<void>
  /** Creates a migrated database with the audit, which is dropped with the scope. */
  readonly database: (name: string) => Effect.Effect<void, never, Scope.Scope>
  /** Terminates all sessions of a database, except the harness's own. */
  readonly cut: (database: string) => Effect.Effect<void>
  /**
   * Delays the next commit of content, waits for `underWay` while the commit waits, and terminates its session. Returns
   * the number of terminated sessions: 0 if no commit came within a second.
   */
  readonly terminateCommit: (database: string, underWay: Effect.Effect<void>) => Effect.Effect<number>
}

const template = "chaos_template"

/** The sessions of Idem that wait for a lock to write content. */
const waitingCommits = `FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'idem-%'
  AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'content'::regclass)`

export const start = Effect.gen(function* () {
  const requested = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), `idem-test-${process.pid}-`))),
    (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
  )
  const folder = { current: requested }
  yield* Effect.addFinalizer(() => Effect.promise(() => Fs.rm(folder.current, { recursive: true, force: true })))
  const scope = yield* Effect.scope
  // Commits wait for their log, so that a crash of the server loses none of them; a crash of the machine may. With
  // `wal_level = minimal`, PostgreSQL 18 loses the empty forks of unlogged tables that are copied from a template if it
  // crashes then.
  const ensure = Embedded.make({
    folder: requested,
    settings: { fsync: "off", full_page_writes: "off", shared_buffers: "32MB", autovacuum: "off", wal_level: "replica" }
  }).pipe(Scope.provide(scope), Effect.orDie)
  let server = yield* ensure
  folder.current = server.folder
  const { password, socket, username } = server
  const connectTimeout = Duration.infinity
  const access = { path: socket, username, password, connectTimeout, maxConnections: 1, applicationName: "chaos" }

  const administer = (statement: string, database = "postgres") =>
    Effect.provide(
      SqlClient.SqlClient.use((sql) => sql.unsafe(statement)),
      PgClient.layer({ ...access, database })
    ).pipe(Effect.retry({ times: 100, schedule: Schedule.spaced(Duration.millis(50)) }), Effect.orDie, Effect.asVoid)

  yield* administer(`CREATE DATABASE ${template} TEMPLATE template1`)
  yield* Effect.andThen(Migrations.migrate, Audit.install).pipe(
    Effect.provide(PgClient.layer({ ...access, database: template })),
    Effect.orDie
  )

  return {
    socket,
    username,
    password: Redacted.value(password),
    restart: Effect.fnUntraced(function* (how) {
      const { pid } = server
      process.kill(pid, how === "fast" ? "SIGINT" : "SIGQUIT")
      yield* Effect.repeat(Postmaster.hasExited(pid), {
        until: (exited) => exited,
        schedule: Schedule.spaced("5 millis")
      })
      server = yield* ensure
    }),
    database: (name) =>
      Effect.acquireRelease(administer(`CREATE DATABASE ${name} TEMPLATE ${template}`), () =>
        administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
      ),
    cut: (database) =>
      administer(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = '${database}' AND application_name LIKE 'idem%'`
      ),
    terminateCommit: Effect.fnUntraced(
      function* (database, underWay) {
        const session = Layer.fresh(PgClient.layer({ ...access, database }))
        const blocker = Context.get(yield* Layer.build(session), SqlClient.SqlClient)
        const watcher = Context.get(yield* Layer.build(session), SqlClient.SqlClient)
        const strike = Effect.gen(function* () {
          // Blocks the writers of content, but no readers.
          yield* blocker`LOCK TABLE content IN SHARE MODE`
          const waiting = Effect.map(watcher.unsafe(`SELECT 1 ${waitingCommits}`), (rows) => rows.length > 0)
          const isWaiting = yield* Effect.repeat(waiting, {
            until: (found) => found,
            times: 100,
            schedule: Schedule.spaced("20 millis")
          }).pipe(Effect.andThen(waiting))
          if (!isWaiting) return 0
          yield* underWay
          return (yield* watcher.unsafe(`SELECT pg_terminate_backend(pid) ${waitingCommits}`)).length
        })
        return yield* blocker.withTransaction(strike)
      },
      Effect.scoped,
      Effect.catch(() => Effect.succeed(0))
    )
  } satisfies Server
})
