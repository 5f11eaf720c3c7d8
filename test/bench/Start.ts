/**
 * Measures how long `serve` takes until it is ready, and its memory then, with a cold and a warm start, compared with
 * loading all of `googleapis`.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { chmod, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { freePort } from "../support/FreePort.ts"
import { repository } from "../support/IdemProcess.ts"
import * as Database from "./Database.ts"
import { median, type Row } from "./Table.ts"

const rounds = 5

interface Found {
  readonly millis: number
  readonly megabytes: number
}

const resident = async (pid: number): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "")
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024
}

/** Waits until the process prints its first output, and ends it. */
const timed = async (child: ChildProcess, before: number): Promise<Found> => {
  const ended = once(child, "close")
  const first = child.stdout === null ? ended : once(child.stdout, "data")
  await Promise.race([
    first,
    ended.then(([code]) => Promise.reject(new Error(`it ended with ${String(code)} before it was ready`)))
  ])
  const found = { millis: performance.now() - before, megabytes: await resident(child.pid ?? 0) }
  child.kill("SIGTERM")
  await ended
  return found
}

const serve = async (env: Readonly<Record<string, string>>): Promise<Found> => {
  const port = await Effect.runPromise(freePort)
  const before = performance.now()
  return await timed(
    spawn(process.execPath, ["--max-semi-space-size=16", Path.join(repository, "src/main.ts"), "serve", "--json"], {
      env: { PATH: process.env["PATH"], HOME: process.env["HOME"], PORT: String(port), ...env },
      stdio: ["ignore", "pipe", "inherit"]
    }),
    before
  )
}

const loadWhole = async (): Promise<Found> => {
  const before = performance.now()
  const program = `await import("googleapis"); console.log("loaded"); setInterval(() => undefined, 1000)`
  return await timed(
    spawn(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: repository,
      stdio: ["ignore", "pipe", "inherit"]
    }),
    before
  )
}

export const run = Effect.gen(function* () {
  const url = yield* Database.url
  return yield* Effect.promise(async () => {
    const found = {
      cold: new Array<Found>(),
      warm: new Array<Found>(),
      postgres: new Array<Found>(),
      whole: new Array<Found>()
    }
    const key = "00".repeat(32)
    for (let round = 0; round < rounds; round += 1) {
      const folder = await mkdtemp(Path.join(tmpdir(), "idem-bench-"))
      await chmod(folder, 0o755)
      try {
        // The first start creates the database; the second start finds it.
        found.cold.push(await serve({ IDEM_DATA_DIR: folder }))
        found.warm.push(await serve({ IDEM_DATA_DIR: folder }))
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
      found.postgres.push(await serve({ DATABASE_URL: url, IDEM_SECRET_KEY: key }))
      found.whole.push(await loadWhole())
    }
    const millis = (name: keyof typeof found) => median(found[name].map((one) => one.millis))
    const megabytes = (name: keyof typeof found) => median(found[name].map((one) => one.megabytes))
    const rows = (what: string, name: keyof typeof found, atMost?: number): ReadonlyArray<Row> => [
      {
        what: `start: ${what}`,
        value: millis(name),
        unit: "ms",
        ...(atMost === undefined ? {} : { goal: { atMost } })
      },
      { what: "  resident then", value: megabytes(name), unit: "MB" }
    ]
    return [
      ...rows("serve, a new database of its own", "cold"),
      ...rows("serve, its own database found stopped", "warm"),
      ...rows("serve, on PostgreSQL", "postgres", 1000),
      ...rows("Node importing googleapis whole", "whole")
    ]
  })
})
