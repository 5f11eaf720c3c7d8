import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { spawnSync } from "node:child_process"
import { Malformed } from "../../../src/contract/IntegrationError.ts"
import * as Metrics from "../../../src/engine/telemetry/Metrics.ts"
import { StoreError } from "../../../src/engine/store/StoreError.ts"
import { replaceMethods } from "../../../src/testing/WholeStore.ts"
import * as Memory from "../../../src/stores/Memory.ts"
import * as HttpServer from "../../support/HttpServer.ts"
import { fault } from "../../support/MemorySource.ts"
import { skips } from "../../support/Requirement.ts"
import * as TestEngine from "../../support/TestEngine.ts"

/** Parses series by their text, as Prometheus does. */
const read = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => {
        const end = line.lastIndexOf(" ")
        return [line.slice(0, end), Number(line.slice(end + 1))] as const
      })
  )

/** Runs a server with its own metrics instead of the process's. */
const serving = <A, E>(
  options: Parameters<typeof HttpServer.layer>[0],
  test: Effect.Effect<A, E, Layer.Success<ReturnType<typeof HttpServer.layer>>>
) => test.pipe(Effect.provide(HttpServer.layer(options)), Effect.provideService(Metric.MetricRegistry, new Map()))

const syncOne = Effect.gen(function* () {
  const { source } = yield* HttpServer.TestServer
  source.addMany(3)
  source.answer = (method) =>
    method === "download m000001" ? fault(new Malformed({ message: "no mail" })) : Effect.void
  return yield* TestEngine.sync(yield* TestEngine.connect({ name: "private name" }))
})

const scrape = Effect.gen(function* () {
  const { ask } = yield* HttpServer.TestServer
  const answer = yield* ask("/metrics")
  assert.strictEqual(answer.status, 200, answer.text)
  return answer
})

/** Prometheus's checker, from the path or from the folder of `.ci/servers`. */
const promtool = [
  "promtool",
  `${process.env["IDEM_TEST_SERVERS"] ?? "/var/cache/idem-test-servers"}/usr/bin/promtool`
].find((program) => spawnSync(program, ["--version"]).status === 0)
const noPromtool = promtool === undefined ? "there is no promtool here (bash .ci/servers installs it)" : undefined

describe("GET /metrics", () => {
  it.live("says what a run did, what is there now, and nothing of any connection", () =>
    serving(
      {},
      Effect.gen(function* () {
        yield* syncOne
        const { headers, text } = yield* scrape
        assert.include(String(headers["content-type"]), "text/plain; version=0.0.4")
        const series = read(text)
        const expected = {
          'idem_runs_total{domain="memory",status="partial"}': 1,
          'idem_items_total{domain="memory",outcome="stored"}': 2,
          'idem_items_total{domain="memory",outcome="failed"}': 1,
          'idem_downloads_total{domain="memory"}': 3,
          'idem_downloaded_bytes_total{domain="memory"}': 30,
          'idem_checker_queries_total{domain="memory"}': 1,
          'idem_source_calls_total{domain="memory",method="list",outcome="ok"}': 1,
          'idem_source_calls_total{domain="memory",method="download m000001",outcome="Malformed"}': 1,
          'idem_source_quota_units_total{domain="memory",method="list"}': 5,
          'idem_commit_duration_seconds_count{domain="memory"}': 1,
          'idem_run_duration_seconds_count{domain="memory"}': 1,
          'idem_connections{domain="memory",state="idle"}': 1,
          'idem_ledger_items{domain="memory",state="failed"}': 1,
          // An alert on growth needs the zero before the first item.
          'idem_ledger_items{domain="memory",state="dead"}': 0,
          'idem_deletions_held{domain="memory"}': 0,
          idem_database_up: 1
        }
        for (const [name, value] of Object.entries(expected)) assert.strictEqual(series.get(name), value, name)
        assert.isAbove(series.get("process_resident_memory_bytes") ?? 0, 1e6)
        for (const word of ["private name", "me@example.com", "s3cret"]) assert.notInclude(text, word)
      })
    )
  )

  it.live("gives methods a series, however many another registry has met", () =>
    Effect.gen(function* () {
      const call = (method: string) =>
        Metrics.called("memory", { method, units: 0, outcome: "ok", seconds: 0, waitedSeconds: 0 })
      yield* Effect.forEach(Array.from({ length: 60 }).keys(), (index) => call(`other ${index}`)).pipe(
        Effect.provideService(Metric.MetricRegistry, new Map())
      )
      yield* serving(
        {},
        Effect.gen(function* () {
          yield* call("own")
          const name = 'idem_source_calls_total{domain="memory",method="own",outcome="ok"}'
          assert.strictEqual(read((yield* scrape).text).get(name), 1)
        })
      )
    })
  )

  it.live("counts requests by the pattern of their route, and what has no route as one", () =>
    serving(
      {},
      Effect.gen(function* () {
        const { ask } = yield* HttpServer.TestServer
        yield* ask("/connections/one")
        yield* ask("/connections/two")
        yield* ask("/nowhere/1")
        yield* ask("/nowhere/2", { method: "PROPFIND" })
        const series = read((yield* scrape).text)
        assert.strictEqual(
          series.get('idem_http_requests_total{method="GET",route="/connections/:connection",status="404"}'),
          2,
          [...series.keys()].join("\n")
        )
        assert.strictEqual(series.get('idem_http_requests_total{method="GET",route="none",status="404"}'), 1)
        assert.strictEqual([...series.keys()].filter((name) => name.includes('method="other"')).length, 1)
      })
    )
  )

  it.live("needs the token where there is one", () =>
    serving(
      { env: { IDEM_API_TOKEN: HttpServer.token } },
      Effect.gen(function* () {
        const { url } = yield* HttpServer.TestServer
        const refused = yield* HttpServer.ask(`${url}/metrics`)
        assert.strictEqual(refused.status, 401)
        assert.notInclude(refused.text, "idem_")
        yield* scrape
      })
    )
  )

  it.live("without the database it still answers, says so, and shows no number that is old", () => {
    let away = false
    const broken = new StoreError({ message: "away", cause: "away" })
    const store = replaceMethods((real) => ({
      ...real,
      overview: Effect.suspend(() => (away ? Effect.fail(broken) : real.overview))
    })).pipe(Layer.provide(Memory.layer))
    return serving(
      { store },
      Effect.gen(function* () {
        yield* syncOne
        away = true
        const series = read((yield* scrape).text)
        assert.strictEqual(series.get("idem_database_up"), 0)
        assert.isTrue(series.has('idem_runs_total{domain="memory",status="partial"}'))
        assert.deepStrictEqual(
          [...series.keys()].filter((name) => /^idem_(connections|ledger|overdue)/.test(name)),
          []
        )
      })
    )
  })

  it.live.skipIf(skips("the test of the metrics' format", noPromtool))("passes Prometheus' own checker", () =>
    serving(
      {},
      Effect.gen(function* () {
        yield* syncOne
        yield* scrape
        const { text } = yield* scrape
        const checked = spawnSync(promtool ?? "", ["check", "metrics"], { input: text, encoding: "utf8" })
        assert.deepStrictEqual(
          { status: checked.status, said: checked.stdout + checked.stderr },
          { status: 0, said: "" }
        )
      })
    )
  )
})
