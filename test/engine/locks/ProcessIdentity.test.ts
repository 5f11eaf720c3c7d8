/** The names of processes as holders of leases, and whether they are known to be dead. */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hostname } from "node:os"
import * as ProcessIdentity from "../../../src/engine/locks/ProcessIdentity.ts"

/** Above the highest pid of Linux. */
const unused = 2 ** 22 + 1

it.effect("a process is dead if no process of this machine has its pid, or another one has it now", () =>
  Effect.gen(function* () {
    const self = yield* ProcessIdentity.self
    assert.match(self, new RegExp(`^process ${process.pid}( \\(started \\d+\\))? on ${hostname()}$`))
    const host = hostname()
    for (const [holder, isDead] of [
      [self, false],
      [`process ${process.pid} on ${host}`, false],
      [`process ${process.pid} (started 1) on ${host}`, true],
      [`process ${unused} on ${host}`, true],
      [`process ${unused} (started 1) on ${host}`, true],
      // Nothing is known of other machines, nor of other holders.
      [`process ${unused} on another.${host}`, false],
      [`process ${unused} (started 1) on another.${host}`, false],
      [`a process ${unused} on ${host}`, false],
      ["a cluster", false]
    ] as const) {
      assert.strictEqual(yield* ProcessIdentity.isDead(holder), isDead, holder)
    }
  })
)
