/**
 * FTP and FTPS with `basic-ftp`.
 *
 * The control connection is read and written as latin1, one character a byte, so that the bytes of names are kept
 * whatever the server's encoding. Names with a line break can't be requested; `basic-ftp` refuses to send them.
 *
 * FTP has one reply code, 550, for a missing file and for denied access. A file counts as gone, and is deleted, only if
 * a listing of a folder above it shows that it does not exist.
 *
 * Links are not followed: a listing shows them, but no FTP command returns their target.
 */
import * as Net from "node:net"
import { PassThrough } from "node:stream"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Client, FTPError, type FTPResponse } from "basic-ftp"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Network } from "../../contract/Network.ts"
import * as Connections from "../server/Connections.ts"
import * as FtpCommands from "./FtpCommands.ts"
import * as FtpErrors from "./FtpErrors.ts"
import { kindOf, parseLs, parseMlsd, parseSize, parseTime, statOf } from "./ListingParser.ts"
import * as Names from "./Names.ts"
import * as Remote from "./Remote.ts"
import * as Errors from "../server/Errors.ts"

interface Options {
  readonly call: Call
  readonly network: Network
  readonly host: string
  readonly port: number
  readonly secure: false | "explicit" | "implicit"
  readonly ca: string | undefined
  readonly verifyCertificate: boolean
  readonly username: string
  readonly password: string
  readonly root: string
  readonly connections: number
  /** The milliseconds without a byte after which a connection is closed. */
  readonly timeout: number
}

interface Session {
  readonly client: Client
  /** The root as an absolute path in latin1, without a trailing slash. */
  readonly base: string
  /** True if the server has MLSD and MLST (RFC 3659 7.8: one feature announces both). */
  readonly machineListings: boolean
}

/** Returns a listing as incomplete if its own lines, or the server's last reply, show that. */
const completed = (listing: Remote.Listing, response: FTPResponse): Remote.Listing => ({
  ...listing,
  incomplete: FtpCommands.incompleteness(response) ?? listing.incomplete
})

/** The server reset a transfer before its first byte. */
class Reset extends Errors.Unrepeated {}

const latin1 = (text: string) => Buffer.from(text, "utf8").toString("latin1")

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Remote.Remote, never, Scope.Scope> {
  const server = `${options.host}:${options.port}`
  const { classify, unlisted } = FtpErrors.make(server, [options.password, latin1(options.password)])

  const attempt = <A>(what: string, ask: () => Promise<A>): Effect.Effect<A, IntegrationError> =>
    Effect.tryPromise({ try: ask, catch: (cause) => classify(what, cause) })

  let exactTimes = false
  // RFC 3659 7.2 allows MLSD and MLST without facts, and a server sends them so (morris/vinyl-ftp#12). Such a server is
  // used like one that lacks them.
  let hasTypes = true

  const open = Effect.flatMap(options.network.addressOf(options.host), (address) => {
    const client = new Client(options.timeout, {
      allowSeparateTransferHost: false,
      maxListingBytes: Remote.maxListingBytes
    })
    const login = async (): Promise<Session> => {
      client.ftp.encoding = "latin1"
      await client.access({
        host: address,
        port: options.port,
        user: latin1(options.username),
        password: latin1(options.password),
        secure: options.secure === "implicit" ? "implicit" : options.secure === "explicit",
        secureOptions: {
          rejectUnauthorized: options.verifyCertificate,
          // The certificate is checked against the host's name, even if the connection uses an address.
          ...(Net.isIP(options.host) === 0 ? { servername: options.host } : {}),
          ...(options.ca === undefined ? {} : { ca: options.ca })
        }
      })
      const features = await client.features()
      exactTimes = features.has("MLST") || features.has("MDTM")
      const root = latin1(options.root).replace(/\/+$/, "")
      const absolute = options.root.startsWith("/")
      const home = absolute ? "" : await FtpCommands.workingFolder(client)
      const base = root === "" || absolute ? `${home}${root}` : `${home}/${root}`
      return { client, base, machineListings: features.has("MLST") }
    }
    return attempt("login", login).pipe(
      Effect.onError(() => Effect.sync(() => client.close())),
      Effect.onInterrupt(() => Effect.sync(() => client.close()))
    )
  })

  const connections = yield* Connections.make<Session>({
    call: options.call,
    max: options.connections,
    open,
    isOpen: (session) => !session.client.closed,
    close: (session) => Effect.sync(() => session.client.close())
  })

  const pathOf = (session: Session, path: string): string => {
    const below = Buffer.from(Names.decode(path)).toString("latin1")
    return below === "" ? session.base || "/" : `${session.base}/${below}`
  }

  const listOnce = (session: Session, folder: string): Effect.Effect<Remote.Listing, IntegrationError> =>
    Effect.tryPromise({
      try: async () => {
        const path = pathOf(session, folder)
        if (session.machineListings && hasTypes) {
          const { response, text } = await FtpCommands.listing(session.client, `MLSD ${path}`, options.timeout)
          const listed = completed(parseMlsd(text), response)
          hasTypes &&= listed.unread?.length === 0
          const isRootUnknown = folder === "" && listed.identity === undefined
          if (hasTypes) {
            return isRootUnknown && listed.entries.some(({ identity }) => identity !== undefined)
              ? { ...listed, identity: await FtpCommands.identityOf(session.client, path) }
              : listed
          }
        }
        // LIST interprets options and patterns in its argument. CWD does not, so names are passed to CWD.
        await session.client.send(`CWD ${path}`)
        const { response, text } = await FtpCommands.listNames(session.client, options.timeout)
        return completed(parseLs(text), response)
      },
      catch: (cause) => unlisted(folder, `listing ${Remote.quote(folder)}`, cause)
    })

  type Request = Connections.Connection<Session>["request"]

  const listBy = (request: Request, folder: string) =>
    Effect.mapError(
      request("list", (session) => listOnce(session, folder)),
      (error) =>
        folder === "" &&
        error.reason._tag === "Forbidden" &&
        /no such|not found|n't exist|not exist/i.test(error.message)
          ? Errors.gone(error.message)
          : error
    )

  /**
   * Decides what a refusal means, from the listings of the folders above the path. If a folder can't be listed either,
   * nothing is proven.
   */
  const refusal = (
    request: Request,
    path: string,
    error: IntegrationError
  ): Effect.Effect<IntegrationError, IntegrationError> => {
    const { folder, name } = Names.split(path)
    return listBy(request, folder).pipe(
      Effect.map(({ entries, incomplete }) => {
        const entry = entries.find((entry) => entry.name === name)
        if (entry === undefined && incomplete !== undefined) return error
        if (entry === undefined) return Errors.gone(`${server}: ${Remote.quote(path)} is not there any more`)
        return entry.kind === "folder" ? Errors.malformed(`${server}: ${Remote.quote(path)} is a folder`) : error
      }),
      Effect.catchReason("IntegrationError", "Forbidden", () =>
        folder === ""
          ? Effect.succeed(error)
          : Effect.map(refusal(request, folder, error), (reason) => (reason.reason._tag === "Gone" ? reason : error))
      )
    )
  }

  const statOnce = (session: Session, path: string, listed: Remote.Stat | undefined) =>
    attempt(`looking at ${Remote.quote(path)}`, async (): Promise<Remote.Stat> => {
      const asked = pathOf(session, path)
      if (session.machineListings && hasTypes) {
        const { message } = await session.client.send(`MLST ${asked}`)
        const facts = FtpCommands.mlstFacts(message)
        const kind = kindOf(facts)
        if (kind === "link") throw new FTPError({ code: 550, message: "it is a link, and links are not followed" })
        if (kind === "file") return statOf(facts)
        if (kind !== undefined) throw new FTPError({ code: 501, message: "it is not a regular file" })
        hasTypes = false
      }
      // If a server lacks one of these commands, the value is unknown. Any other refusal is about the file.
      const ask = (command: string) =>
        session.client.send(`${command} ${asked}`).then(
          ({ message }) => message.slice(4),
          (cause: unknown) =>
            cause instanceof FTPError && [500, 501, 502, 504].includes(cause.code) ? undefined : Promise.reject(cause)
        )
      const size = listed?.size ?? parseSize((await ask("SIZE"))?.trim())
      const time = await ask("MDTM")
      return { size, modified: time === undefined ? undefined : parseTime(time) }
    })

  const statBy = (request: Request, path: string, listed?: Remote.Stat) =>
    Effect.catchIf(
      request("stat", (session) => statOnce(session, path, listed)),
      (error) => error.reason._tag === "Forbidden",
      (error) => Effect.flatMap(refusal(request, path, error), Effect.fail)
    )

  const openBody = (session: Session, path: string) =>
    Effect.tryPromise({
      try: async () => {
        const body = new PassThrough()
        const done = session.client.downloadTo(body, pathOf(session, path))
        // The outcome is read twice: here, and at the end of the bytes.
        done.catch(() => undefined)
        await Promise.race([new Promise((resolve) => body.once("readable", resolve)), done])
        if (body.readableLength === 0) await done
        return { body, done }
      },
      catch: (cause) => {
        const error = classify(`reading ${Remote.quote(path)}`, cause)
        return Errors.codeOf(cause) === "ECONNRESET" ? new Reset(error) : error
      }
    })

  /**
   * Opens a file. proftpd resets the data connection of a file that it cannot open before it reports the error: such a
   * file is looked up and tried once more, and is then unreadable. If the look-up succeeds, the connection or the
   * permission caused the failure.
   */
  const openRead = (request: Request, path: string) => {
    const opened = request("read", (session) => openBody(session, path))
    const look = statBy(request, path)
    return opened.pipe(
      Effect.catchIf(
        (error) => error instanceof Reset,
        () =>
          Effect.andThen(
            look,
            Effect.mapError(opened, (error) => (error instanceof Reset ? Errors.forbidden(error.message) : error))
          )
      ),
      Effect.catchIf(
        ({ reason }) => reason._tag === "Forbidden",
        (error) => Effect.andThen(look, Effect.fail(error))
      )
    )
  }

  const read = (path: string): Stream.Stream<Uint8Array, IntegrationError> =>
    Effect.gen(function* () {
      const connection = yield* connections.get
      let finished = false
      yield* Effect.addFinalizer(() => (finished ? Effect.void : connection.drop))
      const { body, done } = yield* openRead(connection.request, path)
      const what = `reading ${Remote.quote(path)}`
      const bytes = NodeStream.fromReadable<Uint8Array, IntegrationError>({
        evaluate: () => body,
        onError: (cause) => classify(what, cause),
        chunkSize: 8
      })
      // The data connection ends before the server reports whether it sent the whole file.
      const confirmed = attempt(what, () => done).pipe(Effect.tap(() => Effect.sync(() => (finished = true))))
      return Stream.concat(bytes, Stream.fromEffectDrain(confirmed))
    }).pipe(Stream.unwrap, Stream.scoped)

  return {
    list: (folder) => listBy(connections.request, folder),
    stat: (path, listed) => Effect.mapError(statBy(connections.request, path, listed), Errors.ofItem),
    read: (path) => Stream.mapError(read(path), Errors.ofItem),
    connect: connections.connect,
    exactTimes: Effect.map(connections.connect, () => exactTimes),
    size: connections.size
  }
})
