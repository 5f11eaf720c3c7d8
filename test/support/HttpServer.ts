/** The HTTP server in this process, on a free port, over a store in memory; and requests to it as they are written. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import { Control } from "../../src/engine/Control.ts"
import { Gauges } from "../../src/engine/telemetry/Gauges.ts"
import { Store } from "../../src/engine/Store.ts"
import { Ready } from "../../src/http/system/Readiness.ts"
import * as Server from "../../src/http/Server.ts"
import { Settings } from "../../src/http/ServerSettings.ts"
import * as Local from "../../src/engine/Local.ts"
import * as Http from "node:http"
import { MemorySource } from "./MemorySource.ts"
import * as TestEngine from "./TestEngine.ts"

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly bytes: Uint8Array
  readonly text: string
  /** The body as JSON; undefined where it is none. */
  readonly json: unknown
}

export interface Asked {
  readonly method?: string
  readonly headers?: Http.OutgoingHttpHeaders
  /** JSON, unless it is text or bytes. */
  readonly body?: unknown
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** One request on a connection of its own, with exactly these headers (and `Content-Type: application/json` for JSON). */
export const ask = (url: string, { body, headers, method = "GET" }: Asked = {}): Effect.Effect<Answer> =>
  Effect.callback<Answer>((resume) => {
    const raw = typeof body === "string" || body instanceof Uint8Array || body === undefined
    const sent = raw ? body : JSON.stringify(body)
    const request = Http.request(
      url,
      { method, headers: { ...(raw ? {} : { "content-type": "application/json" }), ...headers }, agent: false },
      (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk) => chunks.push(chunk))
        response.on("end", () => {
          const bytes = Buffer.concat(chunks)
          const text = bytes.toString("utf8")
          const answer = { status: response.statusCode ?? 0, headers: response.headers, bytes, text }
          resume(Effect.succeed({ ...answer, json: parsed(text) }))
        })
        response.on("error", (error) => resume(Effect.die(error)))
      }
    )
    request.on("error", (error) => resume(Effect.die(error)))
    request.end(sent)
    return Effect.sync(() => request.destroy())
  })

/** A server that runs: where it is, and the source of its integration `memory`. */
export class TestServer extends Context.Service<
  TestServer,
  {
    readonly url: string
    readonly source: MemorySource
    /** Asks this server, with the token where it has one. */
    readonly ask: (path: string, asked?: Asked) => Effect.Effect<Answer>
  }
>()("test/support/TestServer") {}

export const token = "a-token-of-some-length"

/** With these settings, beside `PORT=0`; `change` may replace what it stands on. */
export const layer = (
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly store?: Layer.Layer<Store>
    /** Methods of `Control` that end in another way: faults that a store or an engine has only by accident. */
    readonly faults?: Partial<Control["Service"]>
  } = {}
) => {
  const source = new MemorySource()
  const env = { PORT: "0", ...options.env }
  const engine = TestEngine.layer(source, options.store === undefined ? {} : { store: options.store })
  const ready = Layer.provide(Ready.layer, TestEngine.polling)
  const control = Layer.effect(
    Control,
    Effect.map(Control, (real) => ({ ...real, ...options.faults }))
  ).pipe(Layer.provide(Local.layer))
  const server = Layer.effect(
    TestServer,
    Effect.map(Server.url, (url) => ({
      url,
      source,
      ask: (path: string, asked: Asked = {}) => {
        const given = options.env?.["IDEM_API_TOKEN"]
        const authorization = given === undefined ? {} : { authorization: `Bearer ${given}` }
        return ask(`${url}${path}`, { ...asked, headers: { ...authorization, ...asked.headers } })
      }
    }))
  )
  return server.pipe(
    Layer.provideMerge(Server.layer),
    Layer.provide(Layer.mergeAll(ready, Gauges.layer, Settings.layer)),
    Layer.provide(control),
    Layer.provideMerge(engine),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  )
}
