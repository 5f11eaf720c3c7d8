import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as TestClock from "effect/testing/TestClock"
import * as Http from "node:http"
import { replaceMethods } from "../../src/testing/WholeStore.ts"
import { Gauges } from "../../src/engine/telemetry/Gauges.ts"
import { ApiClient } from "../../src/http/client/ApiClient.ts"
import * as LocalApi from "../../src/http/client/LocalApi.ts"
import { Ready } from "../../src/http/system/Readiness.ts"
import * as Server from "../../src/http/Server.ts"
import { Settings } from "../../src/http/ServerSettings.ts"
import { connection } from "../support/HttpServer.ts"
import { MemorySource } from "../support/MemorySource.ts"
import { moving } from "../support/Moving.ts"
import * as TestEngine from "../support/TestEngine.ts"

describe("an answer that takes long to make", () => {
  it.effect("is announced every 20 seconds, so that nobody takes the connection for dead", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const store = replaceMethods((real) => ({
        ...real,
        connectionByName: () => Effect.succeedSome(connection),
        purge: () =>
          Effect.as(Effect.andThen(Deferred.succeed(asked, undefined), Deferred.await(done)), {
            deleted: 1,
            gone: 0,
            bodies: 0,
            bytes: 0
          })
      }))
      const server = yield* Layer.build(
        Server.layer.pipe(
          Layer.provide(Settings.layer),
          Layer.provide(Layer.succeed(Ready, { check: Effect.succeed(null), reachesDatabase: Effect.succeed(true) })),
          Layer.provide(store),
          Layer.provide(Gauges.layer),
          Layer.provide(TestEngine.layer(new MemorySource())),
          Layer.provide(NodeServices.layer),
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env: { PORT: "0" } })))
        )
      )
      const url = yield* Effect.provideContext(Server.url, server)
      const interim = yield* Queue.unbounded<number>()
      const answer = yield* Effect.forkChild(
        Effect.callback<string>((resume) => {
          const request = Http.request(
            `${url}/connections/work/purge`,
            { method: "POST", headers: { "content-type": "application/json" } },
            (response) => {
              let text = ""
              response.on("data", (chunk) => (text += chunk))
              response.on("end", () => resume(Effect.succeed(text)))
            }
          )
          request.on("information", ({ statusCode }) => Queue.offerUnsafe(interim, statusCode))
          request.end(JSON.stringify({ before: "2026-01-01" }))
        })
      )
      yield* Deferred.await(asked)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Queue.take(interim), 102)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Queue.take(interim), 102)
      yield* Deferred.succeed(done, undefined)
      assert.deepStrictEqual(JSON.parse(yield* Fiber.join(answer)), { deleted: 1, gone: 0, bodies: 0, bytes: 0 })
    })
  )

  it.effect("needs no connection in process", () =>
    Effect.gen(function* () {
      const purged = { deleted: 1, gone: 0, bodies: 0, bytes: 0 }
      const slow = replaceMethods((real) => ({
        ...real,
        connectionByName: () => Effect.succeedSome(connection),
        purge: () => Effect.as(Effect.sleep("1 minute"), purged)
      }))
      const purge = ApiClient.use(({ connections }) =>
        connections.purge({ params: { connection: "work" }, payload: { before: DateTime.makeUnsafe("2026-01-01") } })
      )
      const answer = yield* Effect.forkChild(
        purge.pipe(
          Effect.provide(
            LocalApi.layer.pipe(
              Layer.provide(slow),
              Layer.provide(TestEngine.layer(new MemorySource())),
              Layer.provide(NodeServices.layer)
            )
          )
        )
      )
      yield* moving(Fiber.join(answer))
      assert.deepStrictEqual(yield* Fiber.join(answer), purged)
    })
  )
})
