/** Plays many seeds, several at a time. Each lane has its own PostgreSQL and processes. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Process from "./Process.ts"
import type { Broken } from "./Protocol.ts"
import * as Schedule from "./Schedule.ts"
import * as Seed from "./Seed.ts"
import * as Server from "./Server.ts"

/** Starts a lane, which ends with the scope, on the embedded PostgreSQL or on this version of the system's. */
export const lane = (major?: string) =>
  Effect.map(Effect.all([Server.start(major), Process.pool]), ([server, pool]): Seed.Lane => ({ server, pool }))

export interface Options {
  readonly seeds: ReadonlyArray<number>
  /** One seed at a time is played in each lane. */
  readonly lanes: ReadonlyArray<Seed.Lane>
  readonly broken?: Broken | undefined
  readonly patience?: Duration.Duration | undefined
  /** Returns the events of a seed, in place of `Schedule.generate`. */
  readonly schedule?: ((seed: number) => Schedule.Schedule) | undefined
  readonly say?: ((seed: number, line: string) => void) | undefined
  /** Called with the verdict of each seed. */
  readonly onVerdict?: ((verdict: Seed.Verdict) => void) | undefined
  /** Called before each seed; true skips the remaining seeds. */
  readonly enough?: (() => boolean) | undefined
}

export const run = Effect.fn("Chaos.run")(function* (options: Options) {
  const verdicts: Array<Seed.Verdict> = []
  const left = options.seeds.values()
  yield* Effect.forEach(
    options.lanes,
    (lane) =>
      Effect.gen(function* () {
        for (const seed of left) {
          if (options.enough?.() === true) return
          const { say, schedule = Schedule.generate } = options
          const verdict = yield* Seed.run(lane, schedule(seed), {
            broken: options.broken,
            patience: options.patience,
            say: say === undefined ? undefined : (line) => say(seed, line)
          })
          verdicts.push(verdict)
          options.onVerdict?.(verdict)
        }
      }),
    { concurrency: "unbounded", discard: true }
  )
  return verdicts
})
