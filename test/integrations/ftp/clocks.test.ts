/** Files that change while they are listed, on servers whose clocks agree with ours, or do not. */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as Mirror from "../../support/ftp/Mirror.ts"
import * as StandIn from "../../support/ftp/FtpStandIn.ts"
import { file } from "../../support/ftp/FtpStandIn.ts"

const now = Date.UTC(2026, 0, 10)
const minute = 60_000

/** A time as MLSD gives it, in whole seconds. */
const stamp = (millis: number) => new Date(millis).toISOString().slice(0, 19).replace(/[-:T]/g, "")

/** Runs an action at that moment, however long it takes. */
const at =
  (millis: number) =>
  <A, E, R>(action: Effect.Effect<A, E, R>) =>
    Effect.flatMap(Clock.Clock, (clock) =>
      Effect.provideService(
        action,
        Clock.Clock,
        Object.assign(Object.create(clock) as Clock.Clock, {
          currentTimeMillis: Effect.succeed(millis),
          currentTimeMillisUnsafe: () => millis
        })
      )
    )

/** Makes a poll, and returns the ids that it downloads, with the checkpoint and the revisions after it. */
const poll = Effect.fnUntraced(function* (
  opened: Mirror.Opened,
  before: { readonly checkpoint?: Schema.Json; readonly known: ReadonlyMap<string, string | undefined> }
) {
  const pages = yield* Mirror.list(opened, before)
  const chosen = Mirror.chosen(pages)
  const results = yield* Mirror.downloadAll(opened, chosen)
  const revisions = [...results].map(([id, { content }]) => [id, content?.revision] as const)
  return {
    ids: Mirror.idsOf(chosen),
    bodies: new Map([...results].map(([id, { bytes }]) => [id, bytes?.toString()])),
    checkpoint: pages.at(-1)?.checkpoint ?? null,
    known: new Map([...before.known, ...revisions])
  }
})

for (const [name, behind] of [
  ["that agrees with ours", 0],
  ["that is ten minutes behind", 10 * minute]
] as const) {
  it.live(`a change in the second of its listing is found at the next poll, by a clock ${name}`, () =>
    Effect.gen(function* () {
      const files = new Map([
        ["new", file("n", stamp(now - behind))],
        ["old", file("o", stamp(now - behind - minute))],
        // A time far in the future does not show when the file was changed.
        ["ahead", file("a", stamp(now + 30 * 24 * 60 * minute))]
      ])
      const opened = yield* Mirror.open((yield* StandIn.run({ files })).source)
      const first = yield* poll(opened, { known: new Map() }).pipe(at(now))
      files.set("new", file("N", stamp(now - behind)))
      const second = yield* poll(opened, first).pipe(at(now + 5 * minute))
      assert.deepStrictEqual([second.ids, second.bodies.get("new")], [["new"], "N"])
      const third = yield* poll(opened, second).pipe(at(now + 10 * minute))
      assert.deepStrictEqual(third.ids, [])
      files.set("newer", file("n", stamp(now + 15 * minute - behind)))
      const fourth = yield* poll(opened, third).pipe(at(now + 15 * minute))
      files.set("newer", file("N", stamp(now + 15 * minute - behind)))
      assert.deepStrictEqual(fourth.ids, ["newer"])
      const fifth = yield* poll(opened, fourth).pipe(at(now + 20 * minute))
      assert.deepStrictEqual([fifth.ids, fifth.bodies.get("newer")], [["newer"], "N"])
    }).pipe(Effect.scoped)
  )
}
