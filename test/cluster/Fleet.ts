/** Processes of `idem serve` on one database and one machine. Each is killed at the latest when the scope closes. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import * as Readline from "node:readline"
import { programFile } from "../support/IdemProcess.ts"

/** The key of all processes, in hex. */
export const secretKey = "00".repeat(32)

export interface Member {
  readonly process: ChildProcess
  readonly pid: number
  /** Resolves with the process's port once it polls. Rejects with the output if the process ends before. */
  readonly serving: Promise<number>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
  readonly stderr: () => string
}

export interface Settings {
  readonly databaseUrl: string
  readonly env?: Readonly<Record<string, string>>
}

/** Returns the environment of a command on this database. */
export const envOf = ({ databaseUrl, env }: Settings): Record<string, string> => ({
  PATH: process.env["PATH"] ?? "",
  HOME: process.env["HOME"] ?? "",
  DATABASE_URL: databaseUrl,
  IDEM_SECRET_KEY: secretKey,
  IDEM_CONFIG: programFile("test/cluster/idem.config.ts"),
  PORT: "0",
  // A slow machine may need longer than the default to stop.
  IDEM_SHUTDOWN_TIMEOUT: "10 minutes",
  ...env
})

const Line = Schema.fromJsonString(Schema.Struct({ serving: Schema.Struct({ port: Schema.Int }) }))
const portOf = (line: unknown): number => Schema.decodeUnknownSync(Line)(line).serving.port

const spawnMember = (settings: Settings): Member => {
  const child = spawn(process.execPath, [programFile("src/main.ts"), "serve", "--json"], {
    env: envOf(settings),
    stdio: ["ignore", "pipe", "pipe"]
  })
  let stderr = ""
  child.stderr.on("data", (chunk) => (stderr += String(chunk)))
  const ended = once(child, "close").then(([code, signal]) => ({ code, signal }))
  const serving = Promise.race([
    once(Readline.createInterface({ input: child.stdout }), "line").then(([line]) => portOf(line)),
    ended.then(({ code }) => Promise.reject(new Error(`it ended with ${code}: ${stderr}`)))
  ])
  serving.catch(() => undefined)
  return { process: child, pid: child.pid ?? 0, serving, ended, stderr: () => stderr }
}

/** Starts a process. */
export const start = (settings: Settings) =>
  Effect.acquireRelease(
    Effect.sync(() => spawnMember(settings)),
    (member) =>
      Effect.promise(async () => {
        member.process.kill("SIGKILL")
        await member.ended
      })
  )

/** Starts a process that polls. */
export const serving = (settings: Settings) =>
  Effect.tap(start(settings), (member) => Effect.promise(() => member.serving))

/** Returns true once this process, which served, accepts no connections any more because it has begun to stop. */
export const isStopping = (member: Member) =>
  Effect.flatMap(
    Effect.promise(() => member.serving),
    (port) =>
      Effect.callback<boolean>((resume) => {
        const socket = Net.connect(port, "127.0.0.1")
        socket.once("connect", () => (socket.destroy(), resume(Effect.succeed(false))))
        socket.once("error", () => resume(Effect.succeed(true)))
      })
  )

/** Starts a member of the cluster. */
export const member = (settings: Settings) => serving({ ...settings, env: { IDEM_CLUSTER: "1", ...settings.env } })
