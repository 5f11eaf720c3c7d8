/** Starts other processes that use an embedded server, and observes them from outside. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as ChildProcess from "node:child_process"
import { once } from "node:events"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Readline from "node:readline"
import { inject } from "vitest"
import { programFile } from "./IdemProcess.ts"
import { copyData } from "./PostgresServer.ts"

const Line = Schema.fromJsonString(
  Schema.Struct({ folder: Schema.String, pid: Schema.Int, socket: Schema.String, started: Schema.Boolean })
)

export interface User {
  readonly process: ChildProcess.ChildProcess
  /** The server that the process uses. Fails with the process's stderr if it has no server. */
  readonly server: Effect.Effect<typeof Line.Type>
  /** Lets the process end its use of the server, and waits until the process has ended. */
  readonly leave: Effect.Effect<void>
  /** Kills the process with SIGKILL, which can't be handled. */
  readonly kill: Effect.Effect<void>
}

/**
 * Starts a process that uses the server; it is killed at the latest when the scope closes. Like a terminal's job, the
 * process has its own group.
 */
export const start = (folder: string) =>
  Effect.acquireRelease(
    Effect.sync((): User => {
      const child = ChildProcess.spawn(process.execPath, [programFile("test/support/embedded-user.ts"), folder], {
        stdio: ["pipe", "pipe", "pipe"],
        detached: true
      })
      const exited = once(child, "exit")
      let stderr = ""
      child.stderr.on("data", (chunk) => (stderr += String(chunk)))
      const lines = Readline.createInterface({ input: child.stdout })
      const line = once(lines, "line").then(([line]) => String(line))
      const ended = once(child, "close").then(() => Promise.reject(new Error(stderr)))
      const first = Promise.race([line, ended])
      first.catch(() => undefined)
      return {
        process: child,
        server: Effect.flatMap(
          Effect.promise(() => first),
          (line) => Effect.orDie(Schema.decodeUnknownEffect(Line)(line))
        ),
        leave: Effect.promise(() => {
          child.stdin.end()
          return exited
        }),
        kill: Effect.promise(() => {
          child.kill("SIGKILL")
          return exited
        })
      }
    }),
    (user) => Effect.sync(() => user.process.kill("SIGKILL"))
  )

/** Returns true if a process is running. A zombie process does not count as running. */
export const runs = (pid: number) =>
  Effect.promise(async () => {
    try {
      process.kill(pid, 0)
    } catch {
      return false
    }
    if (process.platform !== "linux") return true
    const stat = await Fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "0 () Z")
    return stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3) !== "Z"
  })

/**
 * Creates a temporary data folder. Processes that are left in it are stopped by the test that made them, or by the next
 * test run.
 */
export const folder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), `idem-test-${process.pid}-`))),
  (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
)

/** Creates a temporary data folder with a database, as Idem makes it. */
export const folderWithData = Effect.tap(folder, (to) => {
  const { data } = inject("postgres")
  return data === undefined ? Effect.void : copyData(data, to)
})
