/**
 * `npm run bench` runs all benchmarks except the slow `week-gmail`, `week-slack` and `rows`; `npm run bench -- NAME…`
 * runs a selection. The benchmarks have their own PostgreSQL. `--json` prints one document; `--keep` also writes it to
 * test/bench/results, in a file for the day, to be compared with later results. `--compare FILE` prints the rows that
 * moved by more than their noise since then. `--profile NAME` also records the CPU profile of that benchmark.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as References from "effect/References"
import { mkdir, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as Path from "node:path"
import { parseArgs } from "node:util"
import * as Comparison from "./Comparison.ts"
import * as Profile from "./Profile.ts"
import * as Check from "./Check.ts"
import * as Database from "./Database.ts"
import * as Derivation from "./Derivation.ts"
import * as Due from "./Due.ts"
import * as FirstSync from "./FirstSync.ts"
import * as ImapSync from "./ImapSync.ts"
import * as Growth from "./Growth.ts"
import * as IdlePoll from "./IdlePoll.ts"
import * as Many from "./Many.ts"
import * as Mcp from "./Mcp.ts"
import * as Memory from "./Memory.ts"
import * as Partitions from "./Partitions.ts"
import * as Rows from "./Rows.ts"
import * as ScaleOut from "./ScaleOut.ts"
import * as Search from "./Search.ts"
import * as Sharing from "./Sharing.ts"
import * as Start from "./Start.ts"
import * as Storing from "./Storing.ts"
import * as Week from "./week/Week.ts"
import { commit, isMet, machine, print, type Row } from "./Table.ts"

type Needs = Layer.Success<typeof Database.layer>

const benches: Readonly<Record<string, Effect.Effect<ReadonlyArray<Row>, unknown, Needs | Scope.Scope>>> = {
  check: Check.run,
  growth: Growth.run,
  store: Storing.run,
  "first-sync": FirstSync.run,
  imap: ImapSync.run,
  idle: IdlePoll.run,
  memory: Memory.run,
  partitions: Partitions.run,
  many: Many.run,
  due: Due.run,
  rows: Rows.run,
  "scale-out": ScaleOut.run,
  search: Search.run,
  sharing: Sharing.run,
  derivation: Derivation.run,
  mcp: Mcp.run,
  start: Start.run,
  "week-gmail": Week.gmail,
  "week-slack": Week.slack
}

/** The benchmarks that take an hour. They run only if they are named. */
const slow: ReadonlySet<string> = new Set(["rows", "week-gmail", "week-slack"])

const { positionals: asked, values: flags } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    compare: { type: "string" },
    profile: { type: "string", multiple: true, default: [] }
  }
})
const names = [...asked, ...flags.profile]
const unknown = names.filter((name) => !(name in benches))
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(", ")}; there are: ${Object.keys(benches).join(", ")}`)
  process.exit(2)
}
// A file that can't be read is reported before the measurements begin.
const before = flags.compare === undefined ? undefined : await Comparison.read(flags.compare)

const chosen = Object.entries(benches).filter(([name]) => (names.length === 0 ? !slow.has(name) : names.includes(name)))
const found: Array<{ readonly bench: string; readonly rows: ReadonlyArray<Row> }> = []
for (const [bench, run] of chosen) {
  console.error(`running ${bench} …`)
  const profile = flags.profile.includes(bench) ? Path.join(tmpdir(), `idem-bench-${bench}.cpuprofile`) : undefined
  // Each benchmark has its own database, so that its data does not slow down the next one.
  const rows = await (profile === undefined ? run : Profile.recording(run, profile)).pipe(
    Effect.scoped,
    Effect.provide(Database.layer),
    Effect.provideService(References.MinimumLogLevel, "Error"),
    // As in the command line if no collector of spans is set.
    Effect.provideService(References.TracerEnabled, false),
    Effect.runPromise
  )
  found.push({ bench, rows })
  if (!flags.json) print(rows)
  if (profile !== undefined) console.error(`a flame graph of ${bench}: open ${profile} in Chrome's DevTools`)
}

const document = {
  at: new Date().toISOString(),
  machine: machine(),
  commit: commit(),
  benches: found.map(({ bench, rows }) => ({ bench, rows: rows.map((row) => ({ ...row, met: isMet(row) })) }))
}
if (flags.json) console.log(JSON.stringify(document, null, 2))
else
  console.log(`\n${document.machine}, commit ${document.commit}\na ratio is ours to that row, measured in turn with it`)
if (flags.keep) {
  const folder = Path.join(import.meta.dirname, "results")
  await mkdir(folder, { recursive: true })
  await writeFile(Path.join(folder, `${document.at.slice(0, 10)}.json`), `${JSON.stringify(document, null, 2)}\n`)
}
if (before !== undefined && !flags.json) Comparison.print(before, found)
