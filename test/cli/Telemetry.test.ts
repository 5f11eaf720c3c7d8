import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { Malformed } from "../../src/contract/IntegrationError.ts"
import * as Telemetry from "../../src/cli/Telemetry.ts"
import type { Store } from "../../src/engine/Store.ts"
import * as Blobs from "../../src/stores/blobs/PostgresBlobs.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as Collector from "../support/Collector.ts"
import { freePort } from "../support/FreePort.ts"
import * as HttpServer from "../support/HttpServer.ts"
import * as Database from "../support/Postgres.ts"
import { fault, MemorySource } from "../support/MemorySource.ts"
import * as TestEngine from "../support/TestEngine.ts"

/** Runs work like a command: telemetry is sent to this collector, and flushed at the end. */
const telling =
  (url: string, more: Record<string, string> = {}) =>
  <A, E>(work: Effect.Effect<A, E>) =>
    work.pipe(
      Effect.provide(Telemetry.layer),
      Effect.provide(
        ConfigProvider.layer(
          ConfigProvider.fromUnknown({
            OTEL_EXPORTER_OTLP_ENDPOINT: url,
            OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
            ...more
          })
        )
      ),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )

const postgres = Layer.provide(Postgres.layer, Blobs.layer).pipe(Layer.provide(Database.layer), Layer.orDie)

/** The credentials with which TestEngine connects. */
const secret = "s3cret"

/** Connects and syncs three items, one of which fails. */
const oneRun = Effect.fnUntraced(function* (store?: Layer.Layer<Store>) {
  const source = new MemorySource()
  source.addMany(3)
  source.answer = (method) =>
    method === "download m000001" ? fault(new Malformed({ message: "no mail" })) : Effect.void
  return yield* Effect.gen(function* () {
    yield* Effect.logWarning("a run begins")
    return yield* TestEngine.sync(yield* TestEngine.connect())
  }).pipe(Effect.provide(TestEngine.layer(source, store === undefined ? {} : { store })))
})

describe("telemetry", () => {
  it.live("tells a run as a tree: open, pages with their calls, downloads, commits, the end; and no statement", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.make
      const { run } = yield* telling(collector.url)(oneRun(postgres))
      const root = collector.spans.find(({ name }) => name === "run")
      assert.isDefined(root)
      assert.deepStrictEqual(root?.attributes, {
        "idem.connection": "test",
        "idem.domain": "memory",
        "idem.run": run ?? "",
        "idem.kind": "Live"
      })
      const shown = ["idem.listed", "idem.new", "idem.external_id", "idem.outcome", "idem.bytes", "idem.items"]
      assert.strictEqual(
        Collector.treeOf(collector.spans, root!, ({ attributes, name }) =>
          [name, ...shown.flatMap((key) => (key in attributes ? [String(attributes[key])] : []))].join(" ")
        ),
        `run
  open
  page 3 3
    call list
  download m000000 fetched 15
    call download m000000
  download m000001 failed
    call download m000001
  download m000002 fetched 15
    call download m000002
  page
  commit 2
  deletions`
      )
      assert.deepStrictEqual(
        collector.spans.filter((span) => span.parent === undefined).map(({ name }) => name),
        ["connect", "sync"]
      )
    })
  )

  it.live("sends metrics and log lines as well, by OpenTelemetry's own variables, and no secret", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.make
      yield* telling(collector.url, {
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20of-the-collector",
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment=test"
      })(oneRun())
      assert.isTrue(collector.metrics.has("idem_runs_total"))
      assert.deepStrictEqual(collector.logs, ["a run begins"])
      assert.deepStrictEqual(
        new Set(collector.requests.map(({ path }) => path)),
        new Set(["/v1/traces", "/v1/metrics", "/v1/logs"])
      )
      for (const { body, headers } of collector.requests) {
        assert.strictEqual(headers.authorization, "Bearer of-the-collector")
        for (const word of ['"service.name"', '"idem"', '"deployment.environment"', '"service.version"']) {
          assert.include(body, word)
        }
        assert.notInclude(body, secret)
        assert.notInclude(body, "of-the-collector")
        assert.notInclude(body, "title of", "no title either")
      }
    })
  )

  it.live("a collector that is away, or refuses, breaks nothing, and that is said once", () =>
    Effect.gen(function* () {
      const said: Array<string> = []
      const logger = Logger.make(({ message }) => void said.push(String(message)))
      const syncing = (url: string) => telling(url)(oneRun()).pipe(Effect.provide(Logger.layer([logger])))
      const complaints = () => said.filter((line) => line.startsWith("telemetry can't be sent"))

      const gone = `http://127.0.0.1:${yield* freePort}`
      assert.strictEqual((yield* syncing(gone)).counts.stored, 2)
      assert.strictEqual(complaints().length, 1, said.join("\n"))

      const refusing = yield* Collector.make
      refusing.status = 401
      assert.strictEqual((yield* syncing(refusing.url)).counts.stored, 2)
      assert.strictEqual(complaints().length, 2, said.join("\n"))
      assert.include(complaints()[1] ?? "", "it answers 401")
    })
  )

  it.live("a request is a trace of its own, without what a provider sent a browser back with", () =>
    Effect.gen(function* () {
      const collector = yield* Collector.make
      yield* HttpServer.TestServer.use(({ ask }) =>
        ask("/sign-in/callback?state=of-the-sign-in&code=grant-of-them")
      ).pipe(Effect.provide(HttpServer.layer()), telling(collector.url))
      const request = collector.spans.find(({ name }) => name === "GET")
      assert.strictEqual(request?.attributes["http.route"], "/sign-in/callback")
      assert.isUndefined(request?.parent)
      for (const { body } of collector.requests) {
        assert.notInclude(body, "of-the-sign-in")
        assert.notInclude(body, "grant-of-them")
      }
    })
  )

  it.live("where nobody collects them, no spans are made", () =>
    Effect.gen(function* () {
      let made = 0
      const tracer = Tracer.make({
        span: (options) => {
          made += 1
          return new Tracer.NativeSpan(options)
        }
      })
      const counted = oneRun().pipe(Effect.provideService(Tracer.Tracer, tracer))
      yield* counted
      assert.isAbove(made, 5)
      made = 0
      yield* Effect.provideService(counted, References.TracerEnabled, false)
      assert.strictEqual(made, 0)
    })
  )

  it.live("a variable that can't be used is wrong usage, and what it holds is not repeated", () =>
    Effect.gen(function* () {
      const grpc = yield* Effect.flip(telling("http://127.0.0.1:1", { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" })(oneRun()))
      assert.include(String(grpc), "http/protobuf")
      const headers = { OTEL_EXPORTER_OTLP_HEADERS: "authorization=%E0%A4%A-secret" }
      const header = yield* Effect.flip(telling("http://127.0.0.1:1", headers)(oneRun()))
      assert.include(String(header), "OTEL_")
      assert.notInclude(String(header), "secret")
      const url = yield* Effect.flip(
        Effect.provide(
          Telemetry.isAsked,
          ConfigProvider.layer(ConfigProvider.fromUnknown({ OTEL_EXPORTER_OTLP_ENDPOINT: "secret:4317" }))
        )
      )
      assert.include(url.message, "OTEL_EXPORTER_OTLP_ENDPOINT")
      assert.notInclude(url.message, "secret")
    })
  )
})
