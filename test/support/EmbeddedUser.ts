/** Other processes that use an embedded server, and what can be seen of it from outside. */
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
  /** The server that the user got. Fails with its stderr if it got none. */
  readonly server: Effect.Effect<typeof Line.Type>
  /** Lets it leave, and waits until it has ended. */
  readonly leave: Effect.Effect<void>
  /** Kills it in a way that it can't do anything about. */
  readonly kill: Effect.Effect<void>
}

/** Starts a user; it is killed at the latest when the scope closes. Like a terminal's job it has its own group. */
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

/** Whether a process is there and more than a dead one that nobody has asked after. */
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

/** A data folder of its own: what is left in it is stopped by whoever made it, or by the next run of tests. */
export const folder = Effect.acquireRelease(
  Effect.promise(() => Fs.mkdtemp(Path.join(Os.tmpdir(), `idem-test-${process.pid}-`))),
  (folder) => Effect.promise(() => Fs.rm(folder, { recursive: true, force: true }))
)

/** The same with a database in it, as Idem makes one. */
export const folderWithData = Effect.tap(folder, (to) => {
  const { data } = inject("postgres")
  return data === undefined ? Effect.void : copyData(data, to)
})
