import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as PollingClaim from "../../../src/engine/locks/PollingClaim.ts"
import * as ProcessIdentity from "../../../src/engine/locks/ProcessIdentity.ts"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { WholeStore } from "../../../src/testing/WholeStore.ts"
import * as Server from "../../../src/http/Server.ts"
import { ask } from "../../support/HttpServer.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import * as TestEngine from "../../support/TestEngine.ts"

/** Polls and serves, like `idem serve`. */
const serving = Server.layerConfig.pipe(
  Layer.provide(Scheduler.layer),
  Layer.provideMerge(TestEngine.layer(new MemorySource())),
  Layer.provide(NodeServices.layer),
  Layer.provide(Layer.succeed(References.MinimumLogLevel, "None")),
  Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { PORT: "0" } })))
)

it.effect("a process that lost the polling to another is not ready, until it has it back", () =>
  Effect.gen(function* () {
    const store = yield* WholeStore
    const ready = Effect.flatMap(Server.url, (url) => ask(`${url}/ready`))
    assert.strictEqual((yield* ready).status, 200)

    const self = yield* ProcessIdentity.self
    // Simulates that this process was frozen for longer than its claim lasts.
    yield* store.takeLock(PollingClaim.lockName, { holder: "another", ttl: Duration.hours(1), deadHolder: self })
    yield* until(Effect.map(ready, ({ status }) => status === 503))
    const { detail } = (yield* ready).json as { readonly detail: string }
    assert.strictEqual(detail, "another has taken over the polling of this database: stop one of the two")

    yield* store.releaseLock(PollingClaim.lockName, "another")
    yield* until(Effect.map(ready, ({ status }) => status === 200))
  }).pipe(Effect.provide(serving))
)
