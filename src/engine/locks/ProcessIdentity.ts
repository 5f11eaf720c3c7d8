/**
 * Names this process as the holder of a lease. People can read the name, and other processes of the same machine can
 * check whether the process is alive, so that nobody waits for the lease of a dead process.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { hostname } from "node:os"

/** Reads the start time of a process from the kernel, because pids are reused. Undefined without /proc. */
const startOf = (pid: number): Promise<string | undefined> =>
  readFile(`/proc/${pid}/stat`, "utf8").then(
    // The second field is the command in parentheses and may hold spaces: count from the last parenthesis.
    (stat) => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19],
    () => undefined
  )

const pattern = /^process (\d+)(?: \(started (\d+)\))? on (.+)$/

// Read once, because every poll needs it.
const own = Effect.runSync(
  Effect.cached(
    Effect.map(
      Effect.promise(() => startOf(process.pid)),
      (start) =>
        start === undefined
          ? `process ${process.pid} on ${hostname()}`
          : `process ${process.pid} (started ${start}) on ${hostname()}`
    )
  )
)

const isGone = Effect.fnUntraced(function* (holder: string) {
  const [, pid, start, host] = pattern.exec(holder) ?? []
  if (pid === undefined || host !== hostname()) return false
  if (start !== undefined) return (yield* Effect.promise(() => startOf(Number(pid)))) !== start
  try {
    process.kill(Number(pid), 0)
    return false
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "ESRCH"
  }
})

interface ProcessIdentity {
  readonly self: Effect.Effect<string>
  readonly isDead: (holder: string) => Effect.Effect<boolean>
}

/** The identity of this process. The simulation replaces it, because it runs several simulated processes in one. */
export const ProcessIdentity = Context.Reference<ProcessIdentity>("idem/engine/locks/ProcessIdentity", {
  defaultValue: () => ({ self: own, isDead: isGone })
})

/** Names this process: `process 4711 (started 123456) on host`. */
export const self: Effect.Effect<string> = Effect.flatMap(ProcessIdentity, (identity) => identity.self)

/** Returns true if the holder was a process of this machine and no longer runs. */
export const isDead = (holder: string): Effect.Effect<boolean> =>
  Effect.flatMap(ProcessIdentity, (identity) => identity.isDead(holder))
