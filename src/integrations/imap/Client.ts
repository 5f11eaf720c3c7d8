/**
 * A pool of connections to an IMAP server, with `imapflow`.
 *
 * All reading uses EXAMINE and BODY.PEEK, so Idem never marks a message as read.
 */
import * as Net from "node:net"
import { ImapFlow, type ImapFlowOptions } from "imapflow"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as AccessToken from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Network } from "../../contract/Network.ts"
import * as Connections from "../server/Connections.ts"
import * as Errors from "../server/Errors.ts"
import * as Capabilities from "./Capabilities.ts"
import * as ImapErrors from "./ImapErrors.ts"
import * as Names from "./Names.ts"

interface Options {
  readonly call: Call
  readonly network: Network
  readonly host: string
  readonly port: number
  readonly security: "tls" | "starttls" | "none"
  readonly ca: string | undefined
  readonly verifyCertificate: boolean
  readonly compress: boolean
  readonly username: string
  readonly secret: { readonly password: string } | AccessToken.AccessToken
  readonly connections: number
  /** The milliseconds without a byte after which a connection is closed. */
  readonly timeout: number
}

/** A mailbox as EXAMINE reported it. */
export interface Opened {
  readonly validity: string
  /** UIDNEXT: every later message has this UID or a higher one. */
  readonly next: number
  readonly messages: number
  /** HIGHESTMODSEQ; undefined if the mailbox has no mod-sequences (RFC 7162). */
  readonly modseq: bigint | undefined
}

/** A connection after its login. */
export interface Session {
  readonly imap: ImapFlow
  readonly capabilities: Capabilities.Capabilities
  /** Collects the UIDs of VANISHED (EARLIER) during a request that asks for them. */
  vanished: Set<number> | undefined
  /** Called when the server reports a change unasked (an untagged response). */
  changed: (() => void) | undefined
  /** The number of requests in flight. */
  running: number
  /** When it opened its mailbox, as a number in the count of opened mailboxes. */
  openedAt: number
}

export interface Client {
  /** Makes one request through `call`. */
  readonly request: <A>(
    method: string,
    what: string,
    ask: (session: Session) => Promise<A>
  ) => Effect.Effect<A, IntegrationError>
  /**
   * Makes one request in a mailbox. Opens the mailbox if it is not open, and again if another connection has opened it
   * since, because an older view may lack messages of a newer one. Fails if its UIDVALIDITY has changed.
   */
  readonly inMailbox: <A>(
    path: string,
    validity: string,
    method: string,
    what: string,
    ask: (session: Session) => Promise<A>
  ) => Effect.Effect<A, IntegrationError>
  /** Opens a mailbox again, and returns its present state. */
  readonly examine: (path: string) => Effect.Effect<Opened, IntegrationError>
  /**
   * Keeps a connection in IDLE on a mailbox until the connection breaks. Calls `changed` with true when it begins to
   * watch, and with false for each change. Never returns if the server has no IDLE.
   */
  readonly watch: (path: string, changed: (isFirst: boolean) => void) => Effect.Effect<never, IntegrationError>
  /** Logs in, if no connection is open. */
  readonly capabilities: Effect.Effect<Capabilities.Capabilities, IntegrationError>
  readonly size: Connections.Size
}

/** The largest literal that is read. Larger bodies are read in pieces. */
const maxLiteral = 16 * 1024 * 1024

/** IDLE is restarted after this time: servers end it after half an hour, and routers sooner (RFC 2177). */
const idleMillis = 240_000

/** Some servers report 0, which RFC 3501 does not allow, or nothing (see Names.ts). */
const validityOf = (uidValidity: bigint | undefined): string => String(uidValidity ?? 0)

/** The most UIDs of one VANISHED response. A server that sends more no longer knows what was deleted. */
export const maxVanished = 100_000

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Client, never, Scope.Scope> {
  const server = `${options.host}:${options.port}`
  /** The secret of the last login, which no error may contain. */
  let secret: ImapErrors.Secret = "password" in options.secret ? options.secret : { accessToken: "" }
  const classify = (what: string, cause: unknown) => ImapErrors.classifier(server, secret)(what, cause)

  const attempt = <A>(what: string, session: Session, ask: () => Promise<A>): Effect.Effect<A, IntegrationError> =>
    Effect.suspend(() => {
      session.running += 1
      return Effect.tryPromise({ try: ask, catch: (cause) => classify(what, cause) })
    }).pipe(
      // The library continues a request that was interrupted, so the connection can't be used for another one.
      Effect.onInterrupt(() => Effect.sync(() => session.imap.close())),
      Effect.ensuring(Effect.sync(() => (session.running -= 1)))
    )

  // A server that sends data while compression begins does so every time: the next login does not ask for compression.
  let compress = options.compress
  const connect = (imap: ImapFlow) =>
    imap.connect().catch((cause: unknown) => {
      if (Errors.codeOf(cause) === "COMPRESS_TRAILING_DATA") compress = false
      throw cause
    })

  const optionsOf = (address: string): ImapFlowOptions => ({
    host: address,
    port: options.port,
    secure: options.security === "tls",
    doSTARTTLS: options.security === "starttls",
    // The certificate is checked against the host's name, even if the connection uses an address.
    ...(Net.isIP(options.host) === 0 ? { servername: options.host } : {}),
    tls: {
      rejectUnauthorized: options.verifyCertificate,
      ...(options.ca === undefined ? {} : { ca: options.ca })
    },
    auth:
      "password" in secret
        ? { user: options.username, pass: secret.password }
        : { user: options.username, accessToken: secret.accessToken },
    clientInfo: { name: "Idem" },
    logger: false,
    disableAutoIdle: true,
    disableIMAP4rev2: true,
    disableCompression: !compress,
    qresync: true,
    maxIdleTime: idleMillis,
    connectionTimeout: options.timeout,
    greetingTimeout: options.timeout,
    socketTimeout: options.timeout,
    maxLiteralSize: maxLiteral,
    maxLineLength: maxLiteral,
    maxResponseSize: 2 * maxLiteral
  })

  /** The capabilities reported at the last login. */
  let capabilities: Capabilities.Capabilities = Capabilities.none
  const login = Effect.flatMap(options.network.addressOf(options.host), (address) =>
    Effect.suspend(() => {
      const imap: ImapFlow = new ImapFlow({
        ...optionsOf(address),
        expungeHandler: ({ earlier, uid }) => {
          session.changed?.()
          const { vanished } = session
          if (earlier === true && uid !== undefined && vanished !== undefined && vanished.size <= maxVanished) {
            vanished.add(uid)
          }
        }
      })
      // Errors reach the request that they concern. Without a listener they would end the process.
      imap.on("error", () => {})
      const session: { -readonly [K in keyof Session]: Session[K] } = {
        imap,
        capabilities: Capabilities.none,
        vanished: undefined,
        changed: undefined,
        running: 0,
        openedAt: 0
      }
      return attempt("login", session, () => connect(imap)).pipe(
        Effect.map((): Session => {
          session.capabilities = capabilities = Capabilities.of(imap)
          // The library adds the personal namespace's prefix to every name, including those of shared mailboxes.
          if (imap.namespace !== undefined) imap.namespace = { ...imap.namespace, prefix: "" }
          return session
        }),
        Effect.onError(() => Effect.sync(() => imap.close()))
      )
    })
  )

  const loginWith = (token: Redacted.Redacted) =>
    Effect.suspend(() => {
      secret = { accessToken: Redacted.value(token) }
      return login
    })

  const { secret: given } = options
  const open = "password" in given ? login : AccessToken.withToken(given, loginWith)

  const pool = yield* Connections.make<Session>({
    call: options.call,
    max: options.connections,
    open,
    isOpen: ({ imap }) => imap.usable && !imap.isClosed,
    // After LOGOUT the server closes the connection at once. Many servers count a broken connection for minutes.
    close: ({ imap, running }) =>
      running === 0 && imap.usable
        ? Effect.promise(() => imap.logout().catch(() => {})).pipe(
            Effect.timeoutOption("1 second"),
            Effect.andThen(Effect.sync(() => imap.close()))
          )
        : Effect.sync(() => imap.close())
  })

  const request: Client["request"] = (method, what, ask) =>
    pool.request(method, (session) => attempt(what, session, () => ask(session)))

  let opened = 0
  /** When each mailbox was last examined, as a number in the count of opened mailboxes. */
  const examinedAt = new Map<string, number>()
  const selected = async (session: Session, path: string): Promise<Opened> => {
    const { imap } = session
    session.openedAt = ++opened
    const { exists, highestModseq, noModseq, uidNext, uidValidity } = await imap.mailboxOpen(path, { readOnly: true })
    return {
      validity: validityOf(uidValidity),
      next: uidNext ?? 0,
      messages: exists ?? 0,
      modseq: noModseq === true || !imap.enabled.has("CONDSTORE") ? undefined : highestModseq
    }
  }

  return {
    request,
    inMailbox: (path, validity, method, what, ask) =>
      pool.request(method, (session) =>
        Effect.gen(function* () {
          const { imap } = session
          const isOpen =
            imap.mailbox !== false &&
            imap.mailbox.path === path &&
            session.openedAt >= (examinedAt.get(path) ?? session.openedAt)
          const now = isOpen
            ? validityOf(imap.mailbox === false ? undefined : imap.mailbox.uidValidity)
            : (yield* attempt(`opening ${Names.quote(path)}`, session, () => selected(session, path))).validity
          if (now !== validity) {
            return yield* Effect.fail(
              Errors.gone(`${server}: ${Names.quote(path)} has new UIDs: its UIDVALIDITY is ${now}, not ${validity}`)
            )
          }
          return yield* attempt(what, session, () => ask(session))
        })
      ),
    examine: (path) =>
      request("EXAMINE", `opening ${Names.quote(path)}`, (session) => {
        const answer = selected(session, path)
        examinedAt.set(path, session.openedAt)
        return answer
      }),
    watch: (path, changed) =>
      Effect.gen(function* () {
        const connection = yield* pool.get
        const what = `watching ${Names.quote(path)}`
        const session = yield* connection.request("EXAMINE", (session) =>
          Effect.as(
            attempt(what, session, () => selected(session, path)),
            session
          )
        )
        const { imap } = session
        if (!imap.capabilities.has("IDLE")) return yield* Effect.never
        session.changed = () => changed(false)
        imap.on("exists", session.changed)
        imap.on("flags", session.changed)
        changed(true)
        const closed = Effect.callback<never, IntegrationError>((resume) => {
          imap.once("close", () => resume(Effect.fail(Errors.transient(`${server}: ${what}: the connection ended`))))
        })
        // Outside of any call, because a change may never come.
        const idle = attempt(what, session, () => imap.idle())
        return yield* Effect.raceFirst(closed, Effect.repeat(idle, Schedule.spaced("1 second"))).pipe(
          Effect.andThen(Effect.never)
        )
      }).pipe(Effect.scoped),
    capabilities: Effect.suspend(() =>
      capabilities === Capabilities.none ? Effect.map(pool.connect, () => capabilities) : Effect.succeed(capabilities)
    ),
    size: pool.size
  }
})
