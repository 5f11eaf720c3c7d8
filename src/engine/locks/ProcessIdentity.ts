/**
 * Names this process as the holder of a lease. People can read the name, and other processes of the same machine can
 * check whether the process is alive, so that nobody waits for the lease of a dead process.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { readFileSync } from "node:fs"
import { hostname } from "node:os"

/** Reads the start time of a process from the kernel, because pids are reused. Undefined without /proc. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    // The second field is the command in parentheses and may hold spaces: count from the last parenthesis.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]
  } catch {
    return undefined
  }
}

const pattern = /^process (\d+)(?: \(started (\d+)\))? on (.+)$/

// Read once, because every poll needs it.
const ownStart = startOf(process.pid)
const own = `process ${process.pid}${ownStart === undefined ? "" : ` (started ${ownStart})`} on ${hostname()}`

const isGone = (holder: string): boolean => {
  const [, pid, start, host] = pattern.exec(holder) ?? []
  if (pid === undefined || host !== hostname()) return false
  if (start !== undefined) return startOf(Number(pid)) !== start
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
}

interface ProcessIdentity {
  readonly self: Effect.Effect<string>
  readonly isDead: (holder: string) => Effect.Effect<boolean>
}

/** The identity of this process. The simulation replaces it, because it runs several simulated processes in one. */
export const ProcessIdentity = Context.Reference<ProcessIdentity>("idem/engine/locks/ProcessIdentity", {
  defaultValue: () => ({ self: Effect.succeed(own), isDead: (holder) => Effect.sync(() => isGone(holder)) })
})

/** Names this process: `process 4711 (started 123456) on host`. */
export const self: Effect.Effect<string> = Effect.flatMap(ProcessIdentity, (identity) => identity.self)

/** Returns true if the holder was a process of this machine and no longer runs. */
export const isDead = (holder: string): Effect.Effect<boolean> =>
  Effect.flatMap(ProcessIdentity, (identity) => identity.isDead(holder))
