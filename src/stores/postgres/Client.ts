/** The client of a PostgreSQL database. It closes sessions if the server is silent for too long, or is read-only. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Net from "node:net"
import * as DurationSetting from "../../engine/DurationSetting.ts"
import { isReadOnly } from "./SqlErrors.ts"

/**
 * Settings of each session. A prepared statement keeps its plan: a plan that was made while a table was small would
 * later scan the whole table, once for each id of a page. Without sequential scans, plans use indexes from the
 * beginning. Compilation (`jit`) would take longer than any of these statements.
 */
export const sessionSettings = "-c enable_seqscan=off -c jit=off"

/**
 * The use of connections. Look-ups of many fibers share connections (`multiplex`); each transaction takes one. The
 * largest value is that of a batch, because bodies over 4 MiB go to the blob store in pieces; the text form doubles the
 * size of `bytea`.
 */
const pool = {
  applicationName: "idem",
  maxConnections: 10,
  multiplex: true,
  startupOptions: sessionSettings,
  maxMessageSize: 64 * 1024 * 1024
} as const

/** How long a connection is idle before the kernel probes it. A host without power is detected within 40 seconds. */
const keepAliveDelay = Duration.seconds(30)

/**
 * `IDEM_STATEMENT_TIMEOUT`: how long the database may take to answer a statement. The default exceeds the longest
 * statement on a large database (an index that a migration builds).
 */
const statementTimeout = DurationSetting.make("IDEM_STATEMENT_TIMEOUT", {
  standard: Duration.minutes(15),
  least: Duration.seconds(1),
  most: Duration.days(1)
})

/** How many times within the timeout a socket is checked for new bytes. */
const checks = 10

/** If the server stays read-only, sessions are replaced no more often than this. */
const replacedEvery = Duration.seconds(10)

/**
 * Opens sockets to this address, and closes a socket if the server is silent for as long as `timeout`: TCP's keepalive
 * does not detect a pooler or a proxy that accepts statements and never answers. Statements in flight then fail as
 * after any lost connection, and the pool opens new sessions. The pool itself closes a session that is idle for a
 * minute.
 */
const makeSockets = (
  address: { readonly path: string } | { readonly host: string; readonly port: number },
  timeout: Duration.Duration
) => {
  const open = new Set<Net.Socket>()
  const connect = (): Net.Socket => {
    const keepAliveInitialDelay = Duration.toMillis(keepAliveDelay)
    const socket = Net.connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay })
    let received = 0
    let silent = 0
    // Checks are counted, so that time during which this process was suspended does not count.
    const timer = setInterval(
      () => {
        silent = socket.bytesRead === received ? silent + 1 : 0
        received = socket.bytesRead
        if (silent < checks) return
        socket.destroy(new Error(`no answer for ${Duration.format(timeout)}, the IDEM_STATEMENT_TIMEOUT`))
      },
      Duration.toMillis(timeout) / checks
    )
    timer.unref()
    open.add(socket)
    return socket.on("close", () => {
      clearInterval(timer)
      open.delete(socket)
    })
  }
  const endAll = Effect.sync(() => {
    for (const socket of open) socket.destroy(new Error("it was read-only, and Idem connects again"))
  })
  return { connect, endAll }
}

/**
 * Makes the client of a database. Each transaction and each reserved session begins in a separate turn of the event
 * loop.
 *
 * This works around a defect of `@effect/sql-pg` 4.0.5. A look-up that is sent on a shared session and interrupted in
 * the same turn leaves a flush behind. If a transaction took over the session in that turn, the flush removed the
 * reader of its first response: the transaction waited forever, and its process did not end at SIGTERM.
 *
 * After a failover, a session on the former primary would refuse every write for as long as it is open. So a write that
 * is refused for this reason closes all sessions, and new ones connect to the present primary of the address. libpq has
 * `target_session_attrs=read-write` for this.
 */
export const make = Effect.fnUntraced(function* (config: PgClient.PgPoolConfig) {
  const { host = "localhost", path, port = 5432 } = config
  const sockets = makeSockets(path === undefined ? { host, port } : { path }, yield* statementTimeout)
  const sql = yield* PgClient.make({ ...pool, ...config, stream: sockets.connect })
  const replace = yield* Effect.cachedWithTTL(sockets.endAll, replacedEvery)
  const replaceIfReadOnly = (exit: Exit.Exit<unknown, unknown>) =>
    Exit.isFailure(exit) && isReadOnly(Cause.squash(exit.cause)) ? replace : Effect.void
  const { reserve, withTransaction } = sql
  return Object.assign(sql, {
    reserve: Effect.andThen(Effect.yieldNow, reserve).pipe(Effect.tap(() => Effect.addFinalizer(replaceIfReadOnly))),
    withTransaction: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.andThen(Effect.yieldNow, withTransaction(effect)).pipe(Effect.onExit(replaceIfReadOnly))
  }) satisfies PgClient.PgClient
})
