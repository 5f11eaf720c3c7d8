/**
 * Sends traces, metrics and logs by OTLP over HTTP, configured by OpenTelemetry's variables
 * (`OTEL_EXPORTER_OTLP_ENDPOINT`, `…_HEADERS`, `…_PROTOCOL`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, …).
 *
 * An unreachable collector never delays Idem: telemetry is dropped after a few tries, with one log line.
 */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Otlp from "effect/observability/Otlp"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import packageJson from "../../package.json" with { type: "json" }
import { IsExported } from "../engine/telemetry/Gauges.ts"
import * as ProcessIdentity from "../engine/locks/ProcessIdentity.ts"
import * as CommandFailure from "./CommandFailure.ts"

/** The time limit of one request to the collector. The last requests of a process share it. */
const requestTimeout = Duration.seconds(3)

/** OpenTelemetry's defaults that Effect lacks, and the service's name. */
const defaults = Effect.gen(function* () {
  const attributes = yield* Config.String("OTEL_RESOURCE_ATTRIBUTES").pipe(Config.withDefault(""))
  return ConfigProvider.fromUnknown({
    OTEL_TRACES_EXPORTER: "otlp",
    OTEL_METRICS_EXPORTER: "otlp",
    OTEL_LOGS_EXPORTER: "otlp",
    ...(/(^|,)\s*service\.name\s*=/.test(attributes) ? {} : { OTEL_SERVICE_NAME: "idem" })
  })
})

const endpoints = ["", "TRACES_", "METRICS_", "LOGS_"].map((signal) => `OTEL_EXPORTER_OTLP_${signal}ENDPOINT`)

/** True if a collector is configured. A variable that does not decode is wrong usage; its value is not repeated. */
export const isAsked: Effect.Effect<boolean, CommandFailure.Failure> = Effect.gen(function* () {
  let asked = false
  for (const name of endpoints) {
    const value = yield* Config.String(name).pipe(Config.withDefault(""))
    if (value === "") continue
    asked = true
    const url = URL.canParse(value) ? new URL(value) : undefined
    if (url?.protocol !== "http:" && url?.protocol !== "https:") {
      return yield* CommandFailure.usage(`${name} is not a URL of a collector, like http://127.0.0.1:4318`)
    }
  }
  return asked && !(yield* Config.Boolean("OTEL_SDK_DISABLED").pipe(Config.withDefault(false)))
}).pipe(Effect.catchTag("ConfigError", (error) => Effect.fail(CommandFailure.usage(error.message))))

const serialization = Effect.gen(function* () {
  const protocol = yield* Config.String("OTEL_EXPORTER_OTLP_PROTOCOL").pipe(Config.withDefault("http/protobuf"))
  if (protocol === "http/protobuf") return OtlpSerialization.layerProtobuf
  if (protocol === "http/json") return OtlpSerialization.layerJson
  return yield* CommandFailure.usage(
    "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or http/json: grpc is not supported"
  )
})

interface State {
  /** True if the last request failed. */
  away: boolean
  /** True if the process is ending: only the remaining telemetry is sent. */
  closing: boolean
}

/**
 * The client of the collector. Its requests have a time limit. It logs once when the collector can't be reached, and
 * once when it can be reached again.
 */
const client = (state: State) =>
  Layer.effect(
    HttpClient.HttpClient,
    Effect.map(HttpClient.HttpClient, (http) =>
      HttpClient.transform(http, (response, request) => {
        const { host } = new URL(request.url)
        const late = new HttpClientError.HttpClientError({
          reason: new HttpClientError.TransportError({ request, description: "no answer in time" })
        })
        const isAway = (why: string) =>
          Effect.suspend(() => {
            if (state.away) return Effect.void
            state.away = true
            return Effect.logWarning(
              `telemetry can't be sent to ${host} (${why}): it is dropped, and nothing waits for it`
            )
          })
        return Effect.suspend(() =>
          state.closing && state.away
            ? Effect.die(late)
            : response.pipe(
                Effect.timeoutOrElse({ duration: requestTimeout, orElse: () => Effect.fail(late) }),
                Effect.tap((answer) => {
                  if (answer.status >= 400) return isAway(`it answers ${answer.status}`)
                  if (!state.away) return Effect.void
                  state.away = false
                  return Effect.logInfo(`telemetry is sent to ${host} again`)
                }),
                Effect.catch((error) =>
                  Effect.andThen(
                    isAway("it can't be reached"),
                    // An error would be retried, which would delay the end of the process.
                    Effect.suspend(() => (state.closing ? Effect.die(error) : Effect.fail(error)))
                  )
                )
              )
        )
      })
    )
  ).pipe(Layer.provide(FetchHttpClient.layer))

/** Query parameters with secrets, which must not be in the span of a request. */
const secretParameters = ["code", "state", "token", "access_token", "id_token"]

/**
 * Returns true for our own spans. Statements and other client requests get none: those of commits and calls suffice.
 */
const isOurs = (options: { readonly kind: Tracer.SpanKind; readonly name: string }): boolean =>
  options.name.startsWith("call ") || (options.kind !== "client" && !options.name.startsWith("sql."))

const sparing = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    ...tracer,
    span: (options) => tracer.span(isOurs(options) ? options : { ...options, sampled: false })
  })

/** Sends telemetry while its scope is open, and the rest when it closes. */
export const layer: Layer.Layer<never, CommandFailure.Failure> = Layer.effectContext(
  Effect.gen(function* (): Effect.fn.Return<
    Context.Context<never>,
    CommandFailure.Failure | Config.ConfigError,
    Scope.Scope
  > {
    const state: State = { away: false, closing: false }
    const instance = yield* ProcessIdentity.self
    const provider = ConfigProvider.orElse(yield* ConfigProvider.ConfigProvider, yield* defaults)
    const exporters = Otlp.layerFromConfig({
      resource: { serviceVersion: packageJson.version, attributes: { "service.instance.id": instance } }
    }).pipe(
      Layer.provide([client(state), yield* serialization]),
      Layer.provide(ConfigProvider.layer(provider)),
      // Effect dies of a value that does not decode. The value may be a secret header, so it is not repeated.
      Layer.catchCause(() => Layer.effectContext(CommandFailure.usage("one of the OTEL_ variables can't be read")))
    )
    const context = (yield* Layer.build(exporters)).pipe(
      Context.add(IsExported, true),
      Context.add(UrlParams.CurrentRedactedNames, secretParameters)
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        state.closing = true
      })
    )
    const tracer = Context.get(context, Tracer.Tracer)
    return tracer === Tracer.nativeTracer
      ? Context.add(context, References.TracerEnabled, false)
      : Context.add(context, Tracer.Tracer, sparing(tracer))
  }).pipe(Effect.catchTag("ConfigError", (error) => Effect.fail(CommandFailure.usage(error.message))))
)
