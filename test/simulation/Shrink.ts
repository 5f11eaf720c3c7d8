/** Finds the fewest steps of a failing plan that still fail in the same way. */
import type { Plan } from "./Plan.ts"
import { type Options, play } from "./Play.ts"

/** Returns the problem without the names and numbers of one seed. */
export const kindOf = (problem: string): string =>
  problem
    .replaceAll(/[abc]\d-\d+/g, "ID")
    .replaceAll(/token\d+/g, "TOKEN")
    .replaceAll(/^(one|two): /g, "")
    .replaceAll(/\{.*\}/g, "{…}")
    .replaceAll(/\d+/g, "N")

export const shrink = (plan: Plan, options: Options = {}): Plan => {
  const [first] = play(plan, options).problems
  if (first === undefined) return plan
  const kind = kindOf(first)
  const fails = (steps: Plan["steps"]) =>
    play({ ...plan, steps }, options).problems.some((each) => kindOf(each) === kind)
  let { steps } = plan
  for (let size = Math.ceil(steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < steps.length;) {
      const fewer = steps.toSpliced(at, size)
      if (fails(fewer)) steps = fewer
      else at += size
    }
  }
  return { ...plan, steps }
}
