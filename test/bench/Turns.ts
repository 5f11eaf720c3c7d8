/**
 * Runs contestants in turn, in short rounds, so that other work of the machine affects all of them equally. Each round
 * returns one figure for each contestant, and a ratio is the median of the rounds' ratios.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { Bench } from "tinybench"
import { median } from "./Table.ts"

type Contestants = Readonly<Record<string, () => Promise<unknown>>>

/** The minimum number of calls of a contestant in a round, however long they take. */
export const fewestCalls = 5

/**
 * Returns the operations a second of each contestant, one figure for each round. An operation is one call of the
 * contestant.
 */
export const rates = <C extends Contestants>(
  contestants: C,
  options: { readonly rounds: number; readonly millis: number }
): Effect.Effect<{ readonly [Name in keyof C]: ReadonlyArray<number> }> =>
  Effect.gen(function* () {
    const bench = new Bench({
      time: options.millis,
      warmupTime: options.millis / 5,
      iterations: fewestCalls,
      warmupIterations: 2
    })
    for (const [name, contestant] of Object.entries(contestants)) bench.add(name, () => contestant())
    const found = Object.fromEntries(Object.keys(contestants).map((name) => [name, new Array<number>()]))
    for (let round = 0; round < options.rounds; round += 1) {
      // Without this, a run would return the figures of the previous run.
      bench.reset()
      yield* Effect.promise(() => bench.run())
      for (const [name, figures] of Object.entries(found)) {
        const result = bench.getTask(name)?.result
        if (result === undefined || !("latency" in result)) {
          return yield* Effect.die(new Error(`${name} failed`, { cause: result }))
        }
        figures.push(1000 / result.latency.p50)
      }
    }
    return found as { [Name in keyof C]: Array<number> }
  })

/** Returns the operations a second of one contestant. */
export const rate = (
  contestant: () => Promise<unknown>,
  options: { readonly rounds: number; readonly millis: number }
) => Effect.map(rates({ contestant }, options), (found) => median(found.contestant))

/** Returns how many seconds the effect takes. */
export const seconds = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = yield* Clock.currentTimeNanos
    yield* effect
    return Number((yield* Clock.currentTimeNanos) - before) / 1e9
  })
