/**
 * The laws of the API: each operation has the same outcome and the same errors in process and over the network.
 *
 * A layer provides `ApiClient` and `Scripted`, which has the source of the connections of the domain `memory`. A
 * scheduler polls the store for as long as the layer lives. Each law has its own folder of that source, and its own
 * connection.
 */
import { it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "../../src/engine/schedule/Scheduler.ts"
import { ApiClient } from "../../src/http/client/ApiClient.ts"
import { lawsOfConnections } from "./lawsOfConnections.ts"
import { lawsOfContents } from "./lawsOfContents.ts"
import { lawsOfTasks } from "./lawsOfTasks.ts"
import { Scripted, type Law } from "./ApiFixture.ts"

/**
 * The scheduler, with a clock on which each wait takes a tenth of the time: every law waits for a few of its queries,
 * which are a second apart.
 */
export const scheduler = Layer.provide(
  Scheduler.layer,
  Layer.effect(
    Clock.Clock,
    Clock.clockWith((real) =>
      Effect.succeed<Clock.Clock>({
        currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
        currentTimeMillis: real.currentTimeMillis,
        currentTimeNanosUnsafe: () => real.currentTimeNanosUnsafe(),
        currentTimeNanos: real.currentTimeNanos,
        monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: real.monotonicTimeNanos,
        sleep: (duration) => real.sleep(Duration.divideUnsafe(duration, 10))
      })
    )
  )
)

export const suite = <E>(name: string, layer: Layer.Layer<ApiClient | Scripted, E>): void => {
  it.layer(layer, { excludeTestServices: true })(`${name}: the API`, (it) => {
    const law: Law = (says, work) => it.effect(says, () => Effect.scoped(Effect.orDie(work())))
    lawsOfConnections(law)
    lawsOfTasks(law)
    lawsOfContents(law)
  })
}
