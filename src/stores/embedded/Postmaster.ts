/** Finds a running server by its `postmaster.pid`. */
import * as Effect from "effect/Effect"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Net from "node:net"
import * as Path from "node:path"
import { promisify } from "node:util"
import { codeOf } from "../../engine/SystemErrors.ts"
import { type EmbeddedError, io } from "./EmbeddedError.ts"

interface Postmaster {
  readonly pid: number
  /** The full path of its socket; undefined until the server has one. */
  readonly socket: string | undefined
  readonly status: "starting" | "ready" | "stopping"
}

export const socketName = ".s.PGSQL.5432"

const pidFile = (cluster: string) => Path.join(cluster, "postmaster.pid")

const exists = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** Returns true if a process has ended, including a zombie that its parent has not waited for. */
export const hasExited = (pid: number): Effect.Effect<boolean> =>
  Effect.promise(async () => {
    if (!exists(pid)) return true
    if (process.platform !== "linux") return false
    const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "")
    // The command in parentheses may contain anything. The state follows it.
    return stat === "" || /^[ZX]/.test(stat.slice(stat.lastIndexOf(")") + 2))
  })

const execFile = promisify(ChildProcess.execFile)

/**
 * Returns true if this process is the server of this cluster. Another process may have its id after a restart of the
 * machine. The working directory of a server is its data directory. Without /proc, its command line names the
 * directory.
 */
const serves = async (pid: number, cluster: string): Promise<boolean> => {
  if (!exists(pid)) return false
  if (process.platform === "linux") {
    return Fs.readlink(`/proc/${pid}/cwd`).then(
      (directory) => directory === cluster,
      () => false
    )
  }
  return execFile("ps", ["-ww", "-o", "command=", "-p", String(pid)]).then(
    ({ stdout }) => stdout.includes(cluster),
    () => false
  )
}

/** Reads the file. Returns undefined if it does not exist, or if its server has only begun to write it. */
const read = async (cluster: string) => {
  try {
    const lines = (await Fs.readFile(pidFile(cluster), "utf8")).split("\n")
    const pid = Number(lines[0])
    return Number.isInteger(pid) && pid > 0 ? { pid, lines } : undefined
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined
    throw cause
  }
}

/** Returns the running server of this cluster; undefined if none runs. */
export const find = (cluster: string): Effect.Effect<Postmaster | undefined, EmbeddedError> =>
  io(pidFile(cluster), async () => {
    const file = await read(cluster)
    if (file === undefined || !(await serves(file.pid, cluster))) return undefined
    const { lines, pid } = file
    const directory = lines[4]?.trim() ?? ""
    const status = lines[7]?.trim()
    return {
      pid,
      socket: directory === "" ? undefined : Path.join(directory, socketName),
      status: status === "ready" || status === "stopping" ? status : "starting"
    }
  })

/** PostgreSQL's SSLRequest. A server responds to it with one byte, also while it starts and on a local socket. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])

/**
 * Returns true if a server responds at the socket named in `postmaster.pid`. If `find` found no server, that server
 * runs in another container on the same folder, so its process is not visible here. PostgreSQL itself would not notice
 * it, and a second server would destroy the data. A process that a dead server has left behind may still hold the
 * socket: it does not respond, and closes the socket when it ends. A socket that stays open counts as a server.
 */
export const isElsewhere = (cluster: string): Effect.Effect<boolean, EmbeddedError> =>
  io(pidFile(cluster), async () => {
    const directory = (await read(cluster))?.lines[4]?.trim() ?? ""
    if (directory === "") return false
    const connection = Net.connect(Path.join(directory, socketName))
    connection.setTimeout(5000)
    connection.write(sslRequest)
    return Promise.race([
      once(connection, "data").then(() => true),
      once(connection, "timeout").then(() => true),
      once(connection, "close").then(() => false)
    ])
      .catch(() => false)
      .finally(() => connection.destroy())
  })

/**
 * Writes our own process id into `postmaster.pid`, so that PostgreSQL starts even if another process has the id that a
 * dead server left there. PostgreSQL treats its parent's id as stale, and still checks whether a part of the dead
 * server is alive. Call this only if `find` found no server.
 */
export const disown = (cluster: string) =>
  io(pidFile(cluster), async () => {
    const file = await read(cluster)
    if (file === undefined || !exists(file.pid)) return
    await Fs.writeFile(pidFile(cluster), [String(process.pid), ...file.lines.slice(1)].join("\n"), { flag: "r+" })
  })
