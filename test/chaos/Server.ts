/**
 * A PostgreSQL server of the harness, with a database for each seed. The server can be restarted, and a standby can
 * take its place: clients reach the present primary at one address, which is a link to the folder of its socket.
 */
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
import * as Postmaster from "../../src/stores/embedded/Postmaster.ts"
import * as Migrations from "../../src/stores/postgres/Migrations.ts"
import * as PostgresCluster from "../support/PostgresCluster.ts"
import * as Audit from "./Audit.ts"

export interface Server {
  /** The address of the present primary: the full path of a socket. */
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
  /**
   * Adds an asynchronous standby, which runs until it is promoted or the scope closes. The server is restarted for a
   * copy of its data, so no database may be in use.
   */
  readonly standBy: Effect.Effect<Standby, never, Scope.Scope>
}

export interface Standby {
  /** Waits until the standby has all that the primary has committed so far. */
  readonly caughtUp: Effect.Effect<void>
  /** Waits until the standby lacks this many of the primary's transactions. */
  readonly lacks: (transactions: number) => Effect.Effect<void>
  /** Interrupts the replication for good: the standby lacks all later commits. */
  readonly disconnect: Effect.Effect<void>
  /**
   * Kills the primary, and promotes the standby at the same address. With `first`, the standby is promoted and has the
   * address before the primary is killed, as when a network partition hides the primary from those who decide. Returns
   * how many transactions the standby lacks. Idem does not notice the failover in the database `unnoticed`.
   */
  readonly takeOver: (how: { readonly first: boolean; readonly unnoticed: string | undefined }) => Effect.Effect<number>
}

const template = "chaos_template"

/** The sessions of Idem that wait for a lock to write content. */
const waitingCommits = `FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'idem-%'
  AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'content'::regclass)`

const poll = Schedule.spaced("20 millis")

const nextTransaction = ({ query }: PostgresCluster.Cluster) =>
  Effect.map(query("SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS id"), ([row]) => Number(row?.["id"]))

/** Starts a server. `major` names a version of PostgreSQL of the system; undefined: the embedded one. */
export const start = Effect.fnUntraced(function* (major?: string) {
  const scope = yield* Effect.scope
  const folder = yield* Effect.acquireRelease(
    Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), "idem-chaos-address-"))),
    (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
  )
  const address = Path.join(folder, "primary")
  const socket = Path.join(address, Postmaster.socketName)
  /** Gives the address to this cluster: every later connection reaches it. */
  const switchTo = (cluster: PostgresCluster.Cluster) =>
    Effect.promise(async () => {
      const draft = Path.join(folder, "next")
      await Fs.symlink(Path.dirname(cluster.socket()), draft)
      await Fs.rename(draft, address)
    })

  let primary = yield* PostgresCluster.create(major)
  yield* switchTo(primary)
  const { password, username } = primary
  const connectTimeout = Duration.infinity
  const access = { path: socket, username, password, connectTimeout, maxConnections: 1, applicationName: "chaos" }
  const administer = (statement: string) => Effect.suspend(() => Effect.asVoid(primary.query(statement)))

  yield* administer(`CREATE DATABASE ${template} TEMPLATE template1`)
  yield* Effect.andThen(Migrations.migrate, Audit.install).pipe(
    Effect.provide(PgClient.layer({ ...access, database: template })),
    Effect.orDie
  )

  return {
    socket,
    username,
    password: Redacted.value(password),
    restart: (how) => Effect.suspend(() => primary.restart(how)),
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
          const isWaiting = yield* Effect.repeat(waiting, { until: (found) => found, times: 100, schedule: poll }).pipe(
            Effect.andThen(waiting)
          )
          if (!isWaiting) return 0
          yield* underWay
          return (yield* watcher.unsafe(`SELECT pg_terminate_backend(pid) ${waitingCommits}`)).length
        })
        return yield* blocker.withTransaction(strike)
      },
      Effect.scoped,
      Effect.catch(() => Effect.succeed(0))
    ),
    standBy: Effect.gen(function* () {
      const former = primary
      const standby = yield* Effect.provideService(former.copyAsStandby, Scope.Scope, scope)
      yield* Effect.addFinalizer(() => (primary === standby ? Effect.void : standby.remove))
      const lost = Effect.zipWith(nextTransaction(former), nextTransaction(standby), (one, other) => one - other)
      return {
        lacks: (transactions) => Effect.asVoid(Effect.repeat(lost, { until: (count) => count >= transactions })),
        caughtUp: Effect.gen(function* () {
          const [row] = yield* former.query("SELECT pg_current_wal_lsn()::text AS lsn")
          yield* Effect.repeat(standby.query(`SELECT 1 WHERE pg_last_wal_replay_lsn() >= '${String(row?.["lsn"])}'`), {
            until: (rows) => rows.length > 0,
            schedule: poll
          })
        }),
        disconnect: standby.disconnect,
        takeOver: Effect.fnUntraced(function* ({ first, unnoticed }) {
          const count = yield* lost
          const promote = Effect.gen(function* () {
            yield* standby.promote
            if (unnoticed !== undefined) yield* standby.query("UPDATE meta SET home = NULL", unnoticed)
            yield* switchTo(standby)
          })
          primary = standby
          yield* first ? Effect.andThen(promote, former.kill) : Effect.andThen(former.kill, promote)
          yield* former.remove
          return count
        })
      } satisfies Standby
    })
  } satisfies Server
})
