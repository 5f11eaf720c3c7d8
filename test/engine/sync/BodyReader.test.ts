import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Limits } from "../../../src/engine/Limits.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as BodyReader from "../../../src/engine/sync/BodyReader.ts"
import * as RunMeter from "../../../src/engine/telemetry/RunMeter.ts"
import * as Memory from "../../../src/stores/Memory.ts"

describe("a body that was read", () => {
  it.effect("is charged to the budgets of bytes, whether it is held or streamed to the blob store", () =>
    Effect.gen(function* () {
      const meter = yield* RunMeter.make()
      const options = {
        bodies: yield* WholeStore,
        limits: { ...(yield* Limits), inlineBytes: 100 },
        meter,
        share: { size: () => 0, grow: () => Effect.void, stream: Effect.void }
      }
      const bodies = [new Uint8Array(40), Stream.make(new Uint8Array(50)), Stream.make(new Uint8Array(300))]
      for (const body of bodies) {
        yield* BodyReader.item({ externalId: "a" }, { kind: "message", metadata: {}, body }, options)
      }
      assert.strictEqual(yield* RunMeter.takeUnchargedBytes(meter), 390)
      assert.strictEqual(yield* RunMeter.takeUnchargedBytes(meter), 0)
    }).pipe(Effect.provide(Memory.layer))
  )
})
