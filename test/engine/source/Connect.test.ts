import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Engine } from "../../../src/engine/Engine.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as InstantSource from "../../support/InstantSource.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import * as TestEngine from "../../support/TestEngine.ts"

const source = new MemorySource()

it.effect("a source that takes a connection and says nothing is given up before the request that waits for it", () =>
  Effect.gen(function* () {
    source.answer = () => Effect.never
    const engine = yield* Engine
    const connecting = yield* Effect.forkChild(
      Effect.flip(
        engine.connect({ domain: "memory", name: "slow", config: {}, credentials: { token: "t" }, every: undefined })
      )
    )
    yield* TestClock.adjust("55 seconds")
    const error = yield* Fiber.join(connecting)
    assert.strictEqual(error._tag, "SourceError")
    assert.deepInclude(error, { reason: "Timeout" })
    assert.include(error.message, '"slow" did not answer within 50 seconds')
    assert.isTrue(Option.isNone(yield* Effect.flatMap(WholeStore, (store) => store.connectionByName("slow"))))
  }).pipe(Effect.provide(TestEngine.layer(source)))
)

it.effect("a config or credentials are refused by a source that takes none, and nothing is stored", () =>
  Effect.gen(function* () {
    const engine = yield* Engine
    const base = { domain: "instant", name: "plain", config: {}, credentials: {}, every: undefined }
    for (const [what, given] of [
      ["credentials", { user: "a", password: "s3cret" }],
      ["credentials", "s3cret"],
      ["config", { typo: 1 }],
      ["config", []]
    ] as const) {
      const error = yield* Effect.flip(engine.connect({ ...base, [what]: given }))
      assert(error._tag === "UsageError")
      const message = `instant takes no ${what}: leave the ${what} out`
      assert.deepStrictEqual([error.message, error.errors], [message, [{ place: what, message }]])
    }
    assert.deepStrictEqual(yield* (yield* WholeStore).connections, [])
    yield* engine.connect(base)
  }).pipe(
    Effect.provide(
      TestEngine.engineOver(
        Memory.layer,
        InstantSource.integration(1, () => new Uint8Array(1))
      )
    )
  )
)
