/** `GET /metrics` for Prometheus, and the middleware that counts requests. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpMiddleware from "effect/http/HttpMiddleware"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import packageJson from "../../../package.json" with { type: "json" }
import { Gauges } from "../../engine/telemetry/Gauges.ts"
import * as Metrics from "../../engine/telemetry/Metrics.ts"

const requests = Metrics.counter("idem_http_requests_total", "HTTP requests that were answered.", [
  "method",
  "route",
  "status"
])
const duration = Metrics.histogram(
  "idem_http_request_duration_seconds",
  "Time until a response began.",
  ["route"],
  Metrics.short
)

const methods: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])

/** Counts requests by the pattern of their route (`none` without one). It is the outermost middleware. */
export const counting = HttpMiddleware.make((app) =>
  Effect.gen(function* () {
    const { method } = yield* HttpServerRequest.HttpServerRequest
    const began = yield* Clock.currentTimeMillis
    return yield* Effect.tap(app, (response) =>
      Effect.withFiber(({ context }) => {
        // The router stores the matched route in the context of the request's fiber.
        const found = Context.getOrUndefined(
          context as Context.Context<HttpRouter.RouteContext>,
          HttpRouter.RouteContext
        )
        const route = found?.route.path ?? "none"
        const known = methods.has(method) ? method : "other"
        return Effect.flatMap(Clock.currentTimeMillis, (now) =>
          Effect.andThen(
            Metric.update(requests(known, route, String(response.status)), 1),
            Metric.update(duration(route), (now - began) / 1000)
          )
        )
      })
    )
  })
)

const info = Metric.gauge("idem_info", {
  description: "The version of this process.",
  attributes: { version: packageJson.version }
})

/** Metrics with a description, which Prometheus' rules require. Effect's own metrics have none and are left out. */
const described = Effect.map(
  Metric.MetricRegistry,
  (registry) =>
    new Map(
      Array.from(registry)
        .filter(([, { description }]) => description !== undefined)
        .toSorted(([, a], [, b]) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0))
    )
)

/** Returns the present gauges and the counters since the process started. */
export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter | Gauges> = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const gauges = yield* Gauges
    yield* Metric.update(info, 1)
    yield* router.add(
      "GET",
      "/metrics",
      Effect.gen(function* () {
        yield* gauges.refresh
        const text = yield* Effect.provideServiceEffect(PrometheusMetrics.format(), Metric.MetricRegistry, described)
        return HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
      })
    )
  })
)
