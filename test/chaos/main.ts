/**
 * `npm run chaos -- --seeds 200` plays seeds of the crash and fault harness.
 *
 * `--from N` begins with that seed; `--seed N --verbose` replays one seed and prints its events as they occur; `--lanes
 * N` plays that many seeds at a time, each with its own PostgreSQL; `--cli` plays them with the unchanged command line,
 * and `--copy` plays seeds of `idem copy`, which take about 20 seconds each; `--failover` plays only seeds whose
 * database fails over to a standby; `--postgres 15` uses that version of the system; `--break
 * fence|transaction|key|epoch` breaks the store on purpose; `--patience SECONDS` limits the wait for a healed seed. At
 * the end, the faults are listed with how often each was ordered and met; a fault that was ordered often and never met
 * fails the run.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import { parseArgs } from "node:util"
import * as Chaos from "./Chaos.ts"
import { Broken } from "./Protocol.ts"
import * as Schema from "effect/Schema"
import * as Schedule from "./Schedule.ts"
import { Tally } from "./Tally.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "50" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    lanes: { type: "string", default: "2" },
    verbose: { type: "boolean", default: false },
    cli: { type: "boolean", default: false },
    copy: { type: "boolean", default: false },
    failover: { type: "boolean", default: false },
    postgres: { type: "string" },
    break: { type: "string" },
    patience: { type: "string", default: "120" }
  }
})

const one = values.seed === undefined ? undefined : Number(values.seed)
const from = one ?? Number(values.from)
const count = one === undefined ? Number(values.seeds) : 1
const broken = values.break === undefined ? undefined : Schema.decodeUnknownSync(Broken)(values.break)

const kind = values.copy ? "copy" : values.cli ? "cli" : "lean"
const schedule = (seed: number) => Schedule.generate(seed, kind)

/** The numbers of the seeds to play. */
const seeds = Array.from({ length: values.failover ? count * 100 : count }, (_, index) => from + index)
  .filter((seed) => !values.failover || Schedule.failsOver(schedule(seed)))
  .slice(0, count)

const program = Effect.gen(function* () {
  if (one !== undefined) console.log(Schedule.describeSchedule(schedule(one)))
  const startedAt = Date.now()
  let failures = 0
  const tally = new Tally()
  const verdicts = yield* Chaos.run({
    seeds,
    lanes: yield* Effect.replicateEffect(Chaos.lane(values.postgres), one === undefined ? Number(values.lanes) : 1),
    broken,
    patience: Duration.seconds(Number(values.patience)),
    schedule,
    say: values.verbose ? (seed, line) => console.log(`${seed} ${line}`) : undefined,
    onVerdict: (verdict) => {
      tally.add(verdict.tally)
      if (verdict.problems.length === 0) return
      failures += 1
      console.log(Schedule.describeSchedule(schedule(verdict.seed)))
      if (!values.verbose) console.log(verdict.log.join("\n"))
      console.log(
        `seed ${verdict.seed} FAILED; replay it: npm run chaos -- --seed ${verdict.seed}${kind === "lean" ? "" : ` --${kind}`} --verbose\n`
      )
    }
  })
  const seconds = (Date.now() - startedAt) / 1000
  console.log(
    `${verdicts.length} seeds in ${seconds.toFixed(0)} s: ${verdicts.length - failures} passed, ${failures} failed`
  )
  for (const line of tally.lines()) console.log(`  ${line}`)
  const unmet = broken === undefined ? tally.unmet(Tally.surelyMet) : []
  for (const line of unmet) console.log(`NEVER MET: ${line}`)
  return failures + unmet.length
})

// Ctrl-C also ends the servers and the processes.
program.pipe(
  Effect.scoped,
  Effect.flatMap((failures) => Effect.sync(() => void (process.exitCode = failures > 0 ? 1 : 0))),
  Effect.provideService(References.MinimumLogLevel, "Warn"),
  NodeRuntime.runMain({ teardown: (_, onExit) => onExit(Number(process.exitCode ?? 0)) })
)
