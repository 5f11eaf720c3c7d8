/** The client of a PostgreSQL database, whose sessions end when the server is silent for too long or is read-only. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Net from "node:net"
import * as DurationSetting from "../../engine/DurationSetting.ts"
import { isReadOnly } from "./SqlErrors.ts"

/**
 * Settings of each session. A prepared statement keeps its plan: one that was made while a table was small would scan
 * all of the table later, once for each id of a page. Without sequential scans it looks by index from the beginning.
 * Compilation (`jit`) would take longer than any of these statements.
 */
export const sessionSettings = "-c enable_seqscan=off -c jit=off"

/**
 * How Idem uses its connections. Lookups of many fibers share connections (`multiplex`), and transactions take one
 * each. A value is at most a batch's largest: bodies over 4 MiB go to the blob store in pieces; text form doubles
 * `bytea`.
 */
const pool = {
  applicationName: "idem",
  maxConnections: 10,
  multiplex: true,
  startupOptions: sessionSettings,
  maxMessageSize: 64 * 1024 * 1024
} as const

/** How long a connection is idle before the kernel probes it: a host without power is found in 40 seconds. */
const keepAliveDelay = Duration.seconds(30)

/**
 * `IDEM_STATEMENT_TIMEOUT`: how long the database may leave a statement without an answer. The default is longer than
 * the longest statement on a large database (an index that a migration builds).
 */
const statementTimeout = DurationSetting.make("IDEM_STATEMENT_TIMEOUT", {
  standard: Duration.minutes(15),
  least: Duration.seconds(1),
  most: Duration.days(1)
})

/** How often within the timeout a socket is checked for new bytes. */
const checks = 10

/** A server that stays read-only costs new sessions no more often than this. */
const replacedEvery = Duration.seconds(10)

/**
 * Opens sockets to this address, and ends each when the server is silent for as long as `timeout`: TCP's keepalive does
 * not find a pooler or a proxy that takes statements and never answers. Statements in flight then fail as on any lost
 * connection, and the pool opens new sessions. The pool itself closes a session that is idle for a minute.
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
    // Checks are counted, so that the time during which this process was suspended does not count.
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
 * The client of a database. Each transaction and each reserved session begins in a turn of the event loop of its own.
 *
 * This works around a defect of `@effect/sql-pg` 4.0.5. A look-up that is sent on a shared session and dropped in the
 * same turn leaves a flush behind. If a transaction took over the session in that turn, the flush removed the reader of
 * its first answer: the transaction waited forever, and its process did not end at SIGTERM.
 *
 * After a failover, a session on the former primary would refuse every write for as long as it is open. A write that is
 * refused so ends all sessions, and the next ones go where the address now leads: libpq has
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
