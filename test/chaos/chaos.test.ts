/** Plays a block of seeds, and checks that the harness detects stores that are broken on purpose. */
import { assert, describe, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Chaos from "./Chaos.ts"
import type { Broken } from "./Protocol.ts"
import * as Schedule from "./Schedule.ts"
import type * as Seed from "./Seed.ts"
import { Tally } from "./Tally.ts"

/** Two lanes for all tests, because starting their servers and processes takes longer than playing a seed. */
class Lanes extends Context.Service<Lanes, ReadonlyArray<Seed.Lane>>()("test/chaos/Lanes") {
  static readonly layer = Layer.effect(Lanes, Effect.replicateEffect(Chaos.lane(), 2))
}

const quiet = Layer.succeed(References.MinimumLogLevel, "Error")

const story = ({ log, seed }: Seed.Verdict): string =>
  [
    Schedule.describeSchedule(Schedule.generate(seed)),
    ...log,
    `replay it: npm run chaos -- --seed ${seed} --verbose`
  ].join("\n")

layer(Lanes.layer.pipe(Layer.provideMerge(quiet)), { excludeTestServices: true })((it) => {
  describe("crashes and faults", () => {
    it.effect("lose nothing and do nothing twice, in a block of seeds", () =>
      Effect.gen(function* () {
        const seeds = [432, 1225]
        const verdicts = yield* Chaos.run({ seeds, lanes: yield* Lanes })
        const failed = verdicts.filter(({ problems }) => problems.length > 0)
        assert.strictEqual(failed.length, 0, failed.map(story).join("\n\n"))
        assert.strictEqual(verdicts.length, seeds.length)
        const tally = new Tally()
        for (const verdict of verdicts) tally.add(verdict.tally)
        assert.deepStrictEqual(tally.unmet(Tally.surelyMet), [])
      })
    )
  })

  describe("the harness notices within 12 seeds", () => {
    /** Longer than a lease: another process takes over, and then the frozen process continues its write. */
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
      ["key", "content that is not written by its key", editing],
      ["epoch", "a run that continues although a failover has lost its pages", Schedule.losing]
    ]

    it.effect("nothing where nothing is broken", () =>
      Effect.gen(function* () {
        const [lane] = yield* Lanes
        assert(lane !== undefined)
        for (const schedule of [freezing, editing, Schedule.losing]) {
          const [control] = yield* Chaos.run({ seeds: [1], lanes: [lane], schedule })
          assert.deepStrictEqual(control?.problems, [])
        }
      })
    )

    for (const [broken, what, schedule] of cases) {
      it.effect(what, () =>
        Effect.gen(function* () {
          const [lane] = yield* Lanes
          assert(lane !== undefined)
          let noticed = false
          yield* Chaos.run({
            seeds: Array.from({ length: 12 }, (_, index) => index + 1),
            lanes: [lane],
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
        })
      )
    }
  })
})
