/**
 * SFTP with `ssh2-sftp-client`, whose connection also offers the protocol's own requests.
 *
 * The server's host key is checked before a login is sent: against the key in the config, or known_hosts, or else the
 * first key that it showed (trust on first use).
 *
 * `ssh2` reads and writes names as UTF-8, so other names can't be requested. Links are followed if the server reports
 * that they lead to a place below the root.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import SftpClient from "ssh2-sftp-client"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Network } from "../../contract/Network.ts"
import * as Connections from "../server/Connections.ts"
import * as SshKeys from "./SshKeys.ts"
import * as Names from "./Names.ts"
import * as Remote from "./Remote.ts"
import * as Errors from "../server/Errors.ts"
import * as SftpListing from "./SftpListing.ts"
import { ask, type Attempt, type Attributes, kindOf, type Protocol, readBytes, statOf, status } from "./SftpProtocol.ts"

/**
 * Returns a function that classifies a server's refusals and the errors of `ssh2-sftp-client`. Messages never contain a
 * secret.
 */
const classifier =
  (server: string, secrets: ReadonlyArray<string>) =>
  (what: string, cause: unknown): IntegrationError => {
    const text = `${server}: ${what}: ${Errors.describe(cause, secrets)}`
    switch (Errors.codeOf(cause)) {
      case status.missing:
        return Errors.gone(text)
      case status.forbidden:
        return Errors.forbidden(text)
      case status.failure:
        // OpenSSH's reply if a disk fails, a mount is stale, or another program locks the file.
        return Errors.failed(text)
      case 5:
      case 8:
        return Errors.malformed(text)
    }
    if (/timed out while waiting for handshake/i.test(text)) return Errors.noAnswer(text)
    return /authentication methods failed|privateKey|private key|passphrase/i.test(text)
      ? Errors.unauthorized(text)
      : Errors.transient(text)
  }

export interface Options {
  readonly call: Call
  readonly network: Network
  readonly host: string
  readonly port: number
  /** The known host keys. If there are none, the first key of the server is trusted, and passed to `learn`. */
  readonly hostKeys: ReadonlyArray<string>
  readonly learn: (fingerprint: string) => Effect.Effect<void, IntegrationError>
  readonly username: string
  readonly password: string | undefined
  readonly privateKey: string | undefined
  readonly passphrase: string | undefined
  /** The socket of an ssh-agent with the keys to log in. */
  readonly agent: string | undefined
  readonly root: string
  readonly connections: number
  /** The milliseconds without a response after which a connection is closed. */
  readonly timeout: number
}

/**
 * The bytes of one read, and the reads in flight: 512 kB in flight keep a connection with 50 ms of latency at 10 MB a
 * second. If a server returns fewer bytes, the rest is requested.
 */
const chunkBytes = 131_072
const readsInFlight = 4

interface Session {
  readonly client: SftpClient
  readonly sftp: Protocol
  /** The real path of the root, without a trailing slash. */
  readonly base: string
  readonly state: { open: boolean }
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Remote.Remote, IntegrationError, Scope.Scope> {
  const keyProblem = SshKeys.privateKeyProblem(options.privateKey, options.passphrase)
  if (keyProblem !== undefined) return yield* Effect.fail(Errors.unauthorized(keyProblem))
  const server = `${options.host}:${options.port}`
  const secrets = [options.password ?? "", options.privateKey ?? "", options.passphrase ?? ""]

  const classify = classifier(server, secrets)

  const attempt: Attempt = (what, run) =>
    Effect.tryPromise({ try: run, catch: (cause) => classify(what, cause) }).pipe(
      Effect.timeoutOrElse({
        duration: options.timeout,
        orElse: () => Effect.fail(Errors.noAnswer(`${server}: ${what}: no answer in ${options.timeout} ms`))
      })
    )

  const known = [...options.hostKeys]
  let learned: string | undefined

  const open = Effect.flatMap(options.network.addressOf(options.host), (address) => {
    const state = { open: true }
    const closed = () => {
      state.open = false
    }
    const client = new SftpClient("idem", { error: closed, end: closed, close: closed })
    let refusal: string | undefined
    const login = async (): Promise<Session> => {
      if (options.privateKey === undefined && options.agent === undefined) {
        client.on("keyboard-interactive", (...[, , , , answer]: ReadonlyArray<unknown>) => {
          if (typeof answer === "function") answer([options.password ?? ""])
        })
      }
      const sftp = await client.connect({
        // ssh2 writes a message in parts. With Nagle's algorithm, each request took 40 ms.
        sock: Net.connect({ host: address, port: options.port, noDelay: true }),
        username: options.username,
        ...(options.agent !== undefined
          ? { agent: options.agent }
          : options.privateKey === undefined
            ? { password: options.password ?? "", tryKeyboard: true }
            : { privateKey: options.privateKey }),
        ...(options.passphrase === undefined ? {} : { passphrase: options.passphrase }),
        ...SshKeys.hostKeyAlgorithms(options.hostKeys),
        readyTimeout: options.timeout,
        keepaliveInterval: 10_000,
        hostVerifier: (key: Buffer) => {
          if (known.length === 0) {
            learned = SshKeys.fingerprint(key)
            known.push(learned)
          }
          refusal = SshKeys.hostKeyRefusal(known, key)
          return refusal === undefined
        }
      })
      const root = options.root === "" ? "." : options.root
      const base = await ask<string>((done) => sftp.realpath(root, done))
      return { client, sftp, base: base.replace(/\/+$/, ""), state }
    }
    const close = Effect.sync(() => shut(client))
    return Effect.tryPromise({
      try: login,
      catch: (cause) =>
        refusal === undefined ? classify("login", cause) : Errors.unauthorized(`${server}: ${refusal}`)
    }).pipe(
      Effect.tap(() => {
        if (learned === undefined) return Effect.void
        const fingerprint = learned
        learned = undefined
        return options.learn(fingerprint)
      }),
      Effect.onError(() => close)
    )
  })

  const connections = yield* Connections.make<Session>({
    call: options.call,
    max: options.connections,
    open,
    isOpen: (session) => session.state.open,
    close: (session) =>
      Effect.sync(() => {
        session.state.open = false
        shut(session.client)
      })
  })

  const pathOf = (session: Session, path: string): Effect.Effect<string, IntegrationError> => {
    const below = Names.decodeText(path)
    if (below === undefined) {
      return Effect.fail(Errors.malformed(`${Remote.quote(path)} is not UTF-8: SFTP can't ask for it`))
    }
    return Effect.succeed(below === "" ? session.base || "/" : `${session.base}/${below}`)
  }

  /** Returns the real path, without links; undefined if it is outside of the root. */
  const realPath = Effect.fnUntraced(function* (session: Session, path: string) {
    const asked = yield* pathOf(session, path)
    const real = yield* attempt(`resolving ${Remote.quote(path)}`, () =>
      ask<string>((done) => session.sftp.realpath(asked, done))
    )
    return real === session.base || real.startsWith(`${session.base}/`) ? real : undefined
  })

  const resolve = Effect.fnUntraced(function* (session: Session, path: string) {
    const real = yield* realPath(session, path)
    if (real !== undefined) return real
    return yield* Effect.fail(Errors.forbidden(`${server}: ${Remote.quote(path)} is a link that leads out of the root`))
  })

  const listOnce = (session: Session, folder: string) =>
    Effect.flatMap(resolve(session, folder), (real) =>
      SftpListing.list({
        sftp: session.sftp,
        attempt,
        server,
        folder,
        real,
        realPath: (path) => realPath(session, path)
      })
    )

  const statOnce = Effect.fnUntraced(function* (session: Session, path: string) {
    const real = yield* resolve(session, path)
    const attributes = yield* attempt(`looking at ${Remote.quote(path)}`, () =>
      ask<Attributes>((done) => session.sftp.lstat(real, done))
    )
    // Without a type, the listing has decided that this is a file, and a folder can't be opened.
    if ((kindOf(attributes) ?? "file") === "file") return statOf(attributes)
    return yield* Effect.fail(Errors.malformed(`${server}: ${Remote.quote(path)} is not a regular file`))
  })

  const read = (path: string, stat: Remote.Stat): Stream.Stream<Uint8Array, IntegrationError> =>
    Effect.gen(function* () {
      const connection = yield* connections.get
      const what = `reading ${Remote.quote(path)}`
      const { session, handle } = yield* connection.request("read", (session) =>
        Effect.gen(function* () {
          const real = yield* resolve(session, path)
          const handle = yield* attempt(what, () => ask<Buffer>((done) => session.sftp.open(real, "r", done)))
          return { session, handle }
        })
      )
      // An abandoned body leaves requests in flight, so its connection is closed.
      yield* Effect.addFinalizer((exit) =>
        Exit.isSuccess(exit) ? Effect.sync(() => session.sftp.close(handle, () => undefined)) : connection.drop
      )
      const size = stat.size
      if (size === undefined) return yield* Effect.fail(Errors.malformed(`${server}: ${what}: its size is not known`))
      const chunks = Math.ceil(size / chunkBytes)
      /**
       * Explains why there are fewer bytes than announced: the file has changed, or the server reports a wrong size.
       */
      const short = (position: number) =>
        Effect.flatMap(
          attempt(what, () => ask<Attributes>((done) => session.sftp.fstat(handle, done))),
          (now) =>
            Effect.fail(
              now.size === size
                ? Errors.transient(
                    `${server}: ${what}: it ended at or before byte ${position}` +
                      ` of the ${size} that the server announced`
                  )
                : Errors.unsettled(`${Remote.quote(path)} changed while it was read`)
            )
        )
      const chunk = Effect.fnUntraced(function* (index: number) {
        const position = index * chunkBytes
        const length = Math.min(chunkBytes, size - position)
        const bytes = yield* attempt(what, () => readBytes(session.sftp, handle, position, length))
        return bytes.length < length ? yield* short(position + bytes.length) : bytes
      })
      return Stream.range(0, chunks - 1).pipe(Stream.mapEffect(chunk, { concurrency: readsInFlight }))
    }).pipe(Stream.unwrap, Stream.scoped)

  return {
    list: (folder) =>
      connections.request("list", (session) =>
        Effect.catchIf(
          listOnce(session, folder),
          // Other folders can still be listed. If the root fails, the whole listing is retried.
          (error) => error instanceof Errors.ServerFailure && folder !== "",
          ({ message }) => Effect.fail(Errors.forbidden(message))
        )
      ),
    stat: (path) =>
      Effect.mapError(
        connections.request("stat", (session) => statOnce(session, path)),
        Errors.ofItem
      ),
    read: (path, stat) => Stream.mapError(read(path, stat), Errors.ofItem),
    connect: connections.connect,
    exactTimes: Effect.succeed(true),
    size: connections.size
  }
})

/** Closes a connection without waiting for the server. */
const shut = (client: SftpClient): void => {
  client.end().catch(() => undefined)
}
