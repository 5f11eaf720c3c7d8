/** Many seeds, some at a time: each lane has a PostgreSQL and processes of its own. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Process from "./Process.ts"
import type { Broken } from "./Protocol.ts"
import * as Schedule from "./Schedule.ts"
import * as Seed from "./Seed.ts"
import * as Server from "./Server.ts"

export interface Options {
  readonly seeds: ReadonlyArray<number>
  readonly lanes: number
  readonly broken?: Broken | undefined
  readonly patience?: Duration.Duration | undefined
  /** The events of a seed, in place of those of `Schedule.generate`. */
  readonly schedule?: ((seed: number) => Schedule.Schedule) | undefined
  readonly say?: ((seed: number, line: string) => void) | undefined
  /** Told of each seed as it ends. */
  readonly onVerdict?: ((verdict: Seed.Verdict) => void) | undefined
  /** Asked before each seed: true leaves the rest out. */
  readonly enough?: (() => boolean) | undefined
}

export const run = Effect.fn("Chaos.run")(function* (options: Options) {
  const lanes = yield* Queue.unbounded<Seed.Lane>()
  yield* Effect.forEach(
    Array.from({ length: options.lanes }),
    () =>
      Effect.gen(function* () {
        const server = yield* Server.start
        yield* Queue.offer(lanes, { server, pool: yield* Process.pool })
      }),
    { discard: true }
  )
  const verdicts: Array<Seed.Verdict> = []
  yield* Effect.forEach(
    options.seeds,
    (seed) =>
      Effect.gen(function* () {
        if (options.enough?.() === true) return
        const lane = yield* Queue.take(lanes)
        const { say, schedule = Schedule.generate } = options
        const verdict = yield* Seed.run(lane, schedule(seed), {
          broken: options.broken,
          patience: options.patience,
          say: say === undefined ? undefined : (line) => say(seed, line)
        })
        yield* Queue.offer(lanes, lane)
        verdicts.push(verdict)
        options.onVerdict?.(verdict)
      }),
    { concurrency: options.lanes, discard: true }
  )
  return verdicts
}, Effect.scoped)
