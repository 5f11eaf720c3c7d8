/**
 * `npm run bench` runs all benchmarks but `week`, which takes half an hour by itself; `npm run bench -- NAME…` runs
 * some. They have a PostgreSQL of their own. `--json` prints one document; `--keep` also writes it to test/bench/results, by the day,
 * as what later ones are compared with.
 */
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as References from "effect/References"
import { mkdir, writeFile } from "node:fs/promises"
import * as Path from "node:path"
import * as Check from "./Check.ts"
import * as Database from "./Database.ts"
import * as Derivation from "./Derivation.ts"
import * as FirstSync from "./FirstSync.ts"
import * as ImapSync from "./ImapSync.ts"
import * as Growth from "./Growth.ts"
import * as IdlePoll from "./IdlePoll.ts"
import * as Many from "./Many.ts"
import * as Mcp from "./Mcp.ts"
import * as Memory from "./Memory.ts"
import * as ScaleOut from "./ScaleOut.ts"
import * as Search from "./Search.ts"
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
  many: Many.run,
  "scale-out": ScaleOut.run,
  search: Search.run,
  derivation: Derivation.run,
  mcp: Mcp.run,
  start: Start.run,
  week: Week.run
}

const args = process.argv.slice(2)
const asked = args.filter((arg) => !arg.startsWith("--"))
const flags = new Set(args.filter((arg) => arg.startsWith("--")))
const unknown = [
  ...asked.filter((name) => !(name in benches)),
  ...[...flags].filter((flag) => flag !== "--json" && flag !== "--keep")
]
if (unknown.length > 0) {
  console.error(`there is no ${unknown.join(", ")}; there are: ${Object.keys(benches).join(", ")}, --json, --keep`)
  process.exit(2)
}

const chosen = Object.entries(benches).filter(([name]) => (asked.length === 0 ? name !== "week" : asked.includes(name)))
const found: Array<{ readonly bench: string; readonly rows: ReadonlyArray<Row> }> = []
for (const [bench, run] of chosen) {
  console.error(`running ${bench} …`)
  // A database of its own each: what one leaves behind is no burden of the next.
  const rows = await run.pipe(
    Effect.scoped,
    Effect.provide(Database.layer),
    Effect.provideService(References.MinimumLogLevel, "Error"),
    Effect.runPromise
  )
  found.push({ bench, rows })
  if (!flags.has("--json")) print(rows)
}

const document = {
  at: new Date().toISOString(),
  machine: machine(),
  commit: commit(),
  benches: found.map(({ bench, rows }) => ({ bench, rows: rows.map((row) => ({ ...row, met: isMet(row) })) }))
}
if (flags.has("--json")) console.log(JSON.stringify(document, null, 2))
else
  console.log(`\n${document.machine}, commit ${document.commit}\na ratio is ours to that row, measured in turn with it`)
if (flags.has("--keep")) {
  const folder = Path.join(import.meta.dirname, "results")
  await mkdir(folder, { recursive: true })
  await writeFile(Path.join(folder, `${document.at.slice(0, 10)}.json`), `${JSON.stringify(document, null, 2)}\n`)
}
