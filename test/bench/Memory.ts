/**
 * The peak memory of a first sync, in a separate process with a small heap, by the size of the sync, and the memory of
 * an idle database that Idem starts.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { readdir, readFile } from "node:fs/promises"
import * as Path from "node:path"
import * as Database from "./Database.ts"
import { scaled } from "./Scale.ts"
import type { Row } from "./Table.ts"

const megabyte = 1024 * 1024
const heap = 128

const Measured = Schema.fromJsonString(Schema.Struct({ resident: Schema.Int, heap: Schema.Int }))

/** Returns the peak in megabytes. */
const peakOf = (url: string, what: "ids" | "body", size: number) =>
  Effect.callback<string, Error>((resume) => {
    const child = execFile(
      process.execPath,
      // The options with which `idem` is started, and a heap that a leak would exceed.
      [
        "--max-semi-space-size=16",
        `--max-old-space-size=${heap}`,
        Path.join(import.meta.dirname, "memoryOf.ts"),
        what,
        String(size)
      ],
      { env: { ...process.env, DATABASE_URL: url } },
      (error, stdout, stderr) =>
        resume(error === null ? Effect.succeed(stdout) : Effect.fail(new Error(`${error.message}\n${stderr}`)))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  }).pipe(
    Effect.flatMap((printed) => Schema.decodeEffect(Measured)(printed.trim())),
    Effect.map((found) => ({ resident: found.resident / megabyte, heap: found.heap / megabyte }))
  )

/** Returns the megabytes of the server's processes, with shared memory counted once (Linux's PSS). */
const serverAtRest = (folder: string) =>
  Effect.promise(async () => {
    let sum = 0
    for (const pid of await readdir("/proc").catch(() => [])) {
      if (!/^\d+$/.test(pid)) continue
      const read = (name: string) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")
      const parent = /^PPid:\s+(\d+)/m.exec(await read("status"))?.[1] ?? ""
      const of = async (id: string) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")
      if (!(await of(pid)).includes(folder) && !(await of(parent)).includes(folder)) continue
      sum += Number(/^Pss:\s+(\d+)/m.exec(await read("smaps_rollup"))?.[1] ?? 0) / 1024
    }
    return sum
  })

export const run = Effect.gen(function* () {
  const url = yield* Database.url
  const { folder } = yield* Database.Server
  const atRest = yield* serverAtRest(folder)
  const rows: Array<Row> = []
  const add = (what: string, found: { readonly resident: number; readonly heap: number }) =>
    rows.push(
      { what: `memory: ${what}, peak resident`, value: found.resident, unit: "MB", goal: { atMost: 250 } },
      { what: "  peak heap", value: found.heap, unit: "MB", goal: { atMost: heap } }
    )
  for (const ids of [10_000, 100_000, 1_000_000].map(scaled)) {
    add(`a first sync of ${ids.toLocaleString("en")} ids`, yield* peakOf(url, "ids", ids))
  }
  for (const megabytes of [1, scaled(1000)]) {
    add(`a body of ${megabytes} MB`, yield* peakOf(url, "body", megabytes * megabyte))
  }
  return [...rows, { what: "memory: the database that Idem starts, at rest", value: atRest, unit: "MB" }]
})
