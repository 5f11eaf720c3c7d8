/**
 * A small FTP server whose responses a test writes, for behaviour that a real server can't be made to show. Names and
 * listings are latin1, one character a byte. The server supports passive mode on loopback, without TLS.
 */
import * as Net from "node:net"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Running } from "../FtpServers.ts"

export interface File {
  readonly bytes: Uint8Array
  /** YYYYMMDDHHMMSS; undefined for a file whose time is unknown. */
  readonly modified?: string
}

/** The time of the files that `files` returns. */
export const time = "20240102030405"

export const file = (text: string, modified?: string): File => ({
  bytes: Buffer.from(text),
  ...(modified === undefined ? {} : { modified })
})

/** Returns files by path, each with its path as its text. */
export const files = (...paths: ReadonlyArray<string>): Map<string, File> =>
  new Map(paths.map((path) => [path, file(path, time)]))

/** Returns the received lines of one command. */
export const received = (standIn: StandIn, command: string): ReadonlyArray<string> =>
  standIn.received.filter((line) => line.split(" ")[0] === command)

/** An action that replaces the server's usual one. */
export type Action =
  /** Sends this line. */
  | string
  /** Sends nothing. */
  | { readonly silent: true }
  /** Closes the control connection. */
  | { readonly drop: true }
  /** Sends these bytes over the data connection, or resets it, or leaves it silent, then sends the last line. */
  | { readonly data: Uint8Array | "reset" | "silent"; readonly last: string }

/**
 * Behaviour of servers that differs from the RFCs:
 *
 * - `empty LIST -a`: answers `LIST -a` with 226 and no name, and lists a plain LIST (Windows CE; basic-ftp#273).
 * - `SIZE without a number`: answers SIZE of an empty file with 213 and no number (npm's ftp-srv writes `size ? size :
 *   ""`).
 *
 * Servers without SIZE and MDTM leave them out of `features`. A test's `script` writes refusals of LIST by 450 and 451
 * (RFC 959 section 5.4).
 */
type Quirk = "empty LIST -a" | "SIZE without a number"

export interface Options {
  /** The files by path, without a leading slash. A folder exists if it has files. */
  readonly files: Map<string, File>
  /** Features of FEAT; default MLST, SIZE, MDTM. */
  readonly features?: ReadonlyArray<string>
  readonly quirks?: ReadonlyArray<Quirk>
  /**
   * Returns the listing of a folder that is sent instead of the true listing. `folder` has no leading or trailing
   * slash.
   */
  readonly listing?: (folder: string) => string | undefined
  /**
   * The most connections at a time, and how more are refused: by 421 at the greeting (pure-ftpd: "421 3 users (the
   * maximum) are already logged in", lftp#335), by 530 after the password (All-Inkl: ftp-deploy#29), or by closing the
   * connection.
   */
  readonly cap?: { readonly connections: number; readonly refusal: "421" | "530" | "drop" }
  /** Called before each command; undefined leaves the command to the server. */
  readonly script?: (command: string, argument: string) => Action | undefined
}

export interface StandIn {
  readonly source: Pick<Running, "config" | "credentials">
  /** Every received line, from all connections. */
  readonly received: Array<string>
  /**
   * Returns the number of file transfers after which the client sent no further command: the client may have given up
   * waiting for them.
   */
  readonly lastTransfers: () => number
  /** Returns the number of connections that were refused because of the cap. */
  readonly refusals: () => number
  /** The number of open control connections, once it is zero or a minute has passed. */
  readonly open: Effect.Effect<number>
}

const children = (files: ReadonlyMap<string, File>, folder: string): ReadonlyMap<string, File | undefined> => {
  const prefix = folder === "" ? "" : `${folder}/`
  const found = new Map<string, File | undefined>()
  for (const [path, file] of files) {
    if (!path.startsWith(prefix)) continue
    const [name = "", ...below] = path.slice(prefix.length).split("/")
    found.set(name, below.length === 0 ? file : undefined)
  }
  return found
}

const facts = (file: File | undefined): string =>
  file === undefined
    ? "type=dir;"
    : `type=file;size=${file.bytes.length};${file.modified === undefined ? "" : `modify=${file.modified};`}`

/** Serves a connection, and returns a getter of the connection's last command. */
const serve = (options: Options, received: Array<string>, socket: Net.Socket, isRefused: boolean) => {
  let lastCommand = ""
  const features = options.features ?? ["MLST", "SIZE", "MDTM"]
  const has = (feature: string) => features.includes(feature)
  const does = (quirk: Quirk) => options.quirks?.includes(quirk) === true
  let working = ""
  let passive: Net.Server | undefined
  let dataSocket: Promise<Net.Socket> | undefined
  const say = (line: string) => socket.write(`${line}\r\n`, "latin1")
  const pathOf = (argument: string) =>
    (argument.startsWith("/") ? argument : `${working}/${argument}`).split("/").filter(Boolean).join("/")

  const send = async (data: Uint8Array | "reset" | "silent", last: string) => {
    const connection = await dataSocket
    passive?.close()
    if (data === "reset") {
      connection?.resetAndDestroy()
      say(last)
      return
    }
    say("150 here it comes")
    if (data === "silent") return
    connection?.end(data, () => say(last))
  }

  const list = (folder: string, line: (name: string, file: File | undefined) => string) => {
    const text =
      options.listing?.(folder) ??
      [...children(options.files, folder)].map(([name, file]) => `${line(name, file)}\r\n`).join("")
    return send(Buffer.from(text, "latin1"), "226 done")
  }

  const act = (command: string, argument: string): unknown => {
    const action = options.script?.(command, argument)
    if (typeof action === "string") return say(action)
    if (action !== undefined && "drop" in action) return socket.destroy()
    if (action !== undefined && "silent" in action) return
    if (action !== undefined) return send(action.data, action.last)
    const path = pathOf(argument)
    const file = options.files.get(path)
    switch (command) {
      case "USER":
        return say("331 and the password?")
      case "PASS":
        if (isRefused) return say("530 Sorry, no more for you today")
        return say("230 welcome")
      case "FEAT":
        return say(`211-Features\r\n${features.map((feature) => ` ${feature}\r\n`).join("")}211 End`)
      case "PWD":
        return say(`257 "/${working}"`)
      case "TYPE":
      case "STRU":
      case "OPTS":
        return say("200 well")
      case "CWD":
        if (path !== "" && children(options.files, path).size === 0) return say("550 no")
        working = path
        return say("250 there")
      case "EPSV":
        passive?.close()
        passive = Net.createServer()
        dataSocket = new Promise((resolve) =>
          passive?.once("connection", (connection) => {
            connection.on("error", () => connection.destroy())
            resolve(connection)
          })
        )
        return passive.listen(0, "127.0.0.1", () => {
          const address = passive?.address()
          say(`229 here (|||${typeof address === "object" && address !== null ? address.port : 0}|)`)
        })
      case "MLSD":
        if (!has("MLST")) return say("500 what?")
        return list(path, (name, file) => `${facts(file)} ${name}`)
      case "MLST":
        if (!has("MLST")) return say("500 what?")
        return say(file === undefined ? "550 no" : `250-Here\r\n ${facts(file)} /${path}\r\n250 End`)
      case "LIST":
        if (argument === "-a" && does("empty LIST -a")) return send(new Uint8Array(0), "226 Transfer complete")
        return list(working, (name, file) =>
          file === undefined
            ? `drwxr-xr-x 2 u g 4096 Jan  1  2020 ${name}`
            : `-rw-r--r-- 1 u g ${file.bytes.length} Jan  1  2020 ${name}`
        )
      case "SIZE":
        if (!has("SIZE")) return say("500 what?")
        if (file === undefined) return say("550 no")
        return say(`213 ${file.bytes.length === 0 && does("SIZE without a number") ? "" : file.bytes.length}`)
      case "MDTM":
        if (!has("MDTM")) return say("500 what?")
        return say(file?.modified === undefined ? "550 no" : `213 ${file.modified}`)
      case "RETR":
        return file === undefined ? say("550 no") : send(file.bytes, "226 done")
      case "QUIT":
        return socket.end("221 bye\r\n")
      default:
        return say("500 what?")
    }
  }

  let rest = ""
  socket.setEncoding("latin1")
  socket.setNoDelay(true)
  socket.on("error", () => socket.destroy())
  socket.on("close", () => passive?.close())
  socket.on("data", (chunk: string) => {
    const lines = `${rest}${chunk}`.split("\r\n")
    rest = lines.pop() ?? ""
    for (const line of lines) {
      received.push(line)
      const [, command = "", argument = ""] = /^(\S*) ?(.*)$/s.exec(line) ?? []
      lastCommand = command
      act(command, argument)
    }
  })
  if (isRefused && options.cap?.refusal === "drop") socket.destroy()
  else if (isRefused && options.cap?.refusal === "421")
    socket.end("421 3 users (the maximum) are already logged in\r\n")
  else say("220 hello")
  return () => lastCommand
}

/** Starts the server, which ends with the scope. */
export const run = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<StandIn, never, Scope.Scope> {
  const received: Array<string> = []
  const sockets = new Set<Net.Socket>()
  const refused = new Set<Net.Socket>()
  let refusals = 0
  let lastTransfers = 0
  const server = yield* Effect.acquireRelease(
    Effect.callback<Net.Server>((resume) => {
      const server = Net.createServer((socket) => {
        const isRefused = sockets.size - refused.size >= (options.cap?.connections ?? Infinity)
        sockets.add(socket)
        if (isRefused) {
          refused.add(socket)
          refusals += 1
        }
        const lastCommand = serve(options, received, socket, isRefused)
        socket.once("close", () => {
          sockets.delete(socket)
          refused.delete(socket)
          if (lastCommand() === "RETR") lastTransfers += 1
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        sockets.forEach((socket) => socket.destroy())
      })
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    source: {
      config: { protocol: "ftp", host: "127.0.0.1", port },
      credentials: { username: "mirror", password: "s3cret" }
    },
    received,
    lastTransfers: () => lastTransfers,
    refusals: () => refusals,
    open: Effect.sync(() => sockets.size).pipe(
      Effect.repeat({ until: (open) => open === 0, times: 6000, schedule: Schedule.spaced("10 millis") }),
      Effect.map(() => sockets.size)
    )
  }
})
