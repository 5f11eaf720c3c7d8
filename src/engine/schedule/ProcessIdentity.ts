/**
 * Who holds a lease, as text that people can read and other processes of the same machine can check: a lease whose
 * process is dead need not be waited for.
 */
import * as Effect from "effect/Effect"
import { readFile } from "node:fs/promises"
import { hostname } from "node:os"

/** When the process was started, as the kernel counts it: a pid alone may be reused. Undefined where there is no /proc. */
const startOf = (pid: number): Promise<string | undefined> =>
  readFile(`/proc/${pid}/stat`, "utf8").then(
    // The second field is the command in parentheses and may hold spaces: count from the last parenthesis.
    (stat) => stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19],
    () => undefined
  )

const pattern = /^process (\d+)(?: \(started (\d+)\))? on (.+)$/

// Asked at every poll.
const own = startOf(process.pid).then((start) =>
  start === undefined
    ? `process ${process.pid} on ${hostname()}`
    : `process ${process.pid} (started ${start}) on ${hostname()}`
)

/** This process: `process 4711 (started 123456) on host`. */
export const self: Effect.Effect<string> = Effect.promise(() => own)

/** True if the holder is a process of this machine that is no longer there. */
export const isDead = Effect.fnUntraced(function* (holder: string) {
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
