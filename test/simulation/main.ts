/** `npm run simulate -- --seeds N --from S`: plays N seeds from S on, and shows those that fail. */
import { parseArgs } from "node:util"
import * as Plan from "./Plan.ts"
import { play } from "./Play.ts"
import { kindOf, shrink } from "./Shrink.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    /** Kinds of steps to leave out, with commas between them. */
    without: { type: "string", default: "" },
    /** Shows the whole trace of the first seed. */
    trace: { type: "boolean", default: false },
    /** Continues after a failure, and counts failures by their problem. */
    all: { type: "boolean", default: false }
  }
})

const from = Number(values.from)
const seeds = Number(values.seeds)
const without = new Set(Plan.kindNames.filter((kind) => values.without.split(",").includes(kind)))
const write = (line: string) => process.stdout.write(`${line}\n`)

const show = (plan: Plan.Plan): void => {
  const smallest = shrink(plan)
  const { problems, trace } = play(smallest, { isTraced: true })
  write(`seed ${plan.seed}, ${smallest.steps.length} of ${plan.steps.length} steps:`)
  for (const line of trace) write(`  ${line}`)
  for (const problem of problems) write(`  ${problem}`)
  const left = values.without === "" ? "" : ` --without ${values.without}`
  write(`replay: npm run simulate -- --from ${plan.seed} --seeds 1 --trace${left}`)
}

const began = performance.now()
const met = new Map<string, number>()
const failures = new Map<string, Array<number>>()
for (let seed = from; seed < from + seeds; seed += 1) {
  const plan = Plan.make(seed, without)
  const played = play(plan, { isTraced: values.trace })
  for (const [name, count] of played.met) met.set(name, (met.get(name) ?? 0) + count)
  if (values.trace) for (const line of played.trace) write(line)
  const [problem] = played.problems
  if (problem === undefined) continue
  const kind = kindOf(problem)
  failures.set(kind, [...(failures.get(kind) ?? []), seed])
  if (values.all) write(`seed ${seed}: ${problem}`)
  if (values.all || values.trace) continue
  show(plan)
  break
}
const seconds = (performance.now() - began) / 1000
for (const [kind, found] of [...failures].toSorted((a, b) => b[1].length - a[1].length)) {
  write(`${found.length} × ${kind}: seeds ${found.slice(0, 8).join(" ")}`)
}
const failed = [...failures.values()].reduce((sum, found) => sum + found.length, 0)
write(`${seeds} seeds from ${from}: ${failed} failed, ${(seeds / seconds).toFixed(0)} seeds a second`)
process.exitCode = failed > 0 ? 1 : 0
