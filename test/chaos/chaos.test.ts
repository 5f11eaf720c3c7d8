/** As many seeds as fit their time, and stores that are broken on purpose, which the harness must notice. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as References from "effect/References"
import * as Chaos from "./Chaos.ts"
import type { Broken } from "./Protocol.ts"
import * as Schedule from "./Schedule.ts"
import type * as Seed from "./Seed.ts"
import { Tally } from "./Tally.ts"

const quietly = Effect.provideService(References.MinimumLogLevel, "Error")

const story = ({ log, seed }: Seed.Verdict): string =>
  [
    Schedule.describeSchedule(Schedule.generate(seed)),
    ...log,
    `replay it: npm run chaos -- --seed ${seed} --verbose`
  ].join("\n")

describe("crashes and faults", () => {
  it.live("lose nothing and do nothing twice, in as many seeds as fit 10 seconds", () =>
    Effect.gen(function* () {
      const until = Date.now() + 8_000
      let begun = 0
      const verdicts = yield* Chaos.run({
        seeds: Array.from({ length: 60 }, (_, index) => index + 1),
        lanes: 2,
        // A busy machine may need that long to start its databases: the first seeds are played anyway.
        enough: () => (begun += 1) > 2 && Date.now() >= until
      })
      const failed = verdicts.filter(({ problems }) => problems.length > 0)
      assert.strictEqual(failed.length, 0, failed.map(story).join("\n\n"))
      assert.isAbove(verdicts.length, 0)
      const tally = new Tally()
      for (const verdict of verdicts) tally.add(verdict.tally)
      assert.deepStrictEqual(tally.unmet(Tally.surelyMet), [])
    }).pipe(quietly)
  )
})

describe("the harness notices within 12 seeds", () => {
  /** Longer than a lease: another process takes over, and the frozen one comes back to what it was writing. */
  const freezing = (seed: number) =>
    Schedule.insisting(seed, "gmail", (random) => ({
      _tag: "Freeze",
      process: random.between(0, 1),
      milliseconds: Schedule.leaseMillis + 300
    }))
  const editing = (seed: number) =>
    Schedule.insisting(seed, "ftp", (random) => ({
      _tag: "Change",
      source: 0,
      deed: { deed: 2, which: random.between(0, 99), size: 1 },
      before: 0
    }))
  const cases: ReadonlyArray<readonly [Broken, string, (seed: number) => Schedule.Schedule]> = [
    ["fence", "a fence that is not checked", freezing],
    ["transaction", "a page that ends in another transaction than its items", freezing],
    ["key", "content that is not written by its key", editing]
  ]

  it.live("nothing where nothing is broken", () =>
    Effect.gen(function* () {
      for (const schedule of [freezing, editing]) {
        const [control] = yield* Chaos.run({ seeds: [1], lanes: 1, schedule })
        assert.deepStrictEqual(control?.problems, [])
      }
    }).pipe(quietly)
  )

  for (const [broken, what, schedule] of cases) {
    it.live(what, () =>
      Effect.gen(function* () {
        let noticed = false
        yield* Chaos.run({
          seeds: Array.from({ length: 12 }, (_, index) => index + 1),
          lanes: 1,
          broken,
          // Lost content stays lost, so waiting for it is useless.
          patience: Duration.seconds(4),
          schedule,
          enough: () => noticed,
          onVerdict: ({ problems }) => {
            noticed ||= problems.length > 0
          }
        })
        assert.isTrue(noticed)
      }).pipe(quietly)
    )
  }
})
