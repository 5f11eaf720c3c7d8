/** Runs the HTTP server in this process, on a free port, over a store in memory, and sends exact requests to it. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import { Engine } from "../../src/engine/Engine.ts"
import type { Integrations } from "../../src/engine/source/Integrations.ts"
import { Gauges } from "../../src/engine/telemetry/Gauges.ts"
import { type Connection, ConnectionId, noProblems } from "../../src/engine/model/Connection.ts"
import type { ContentRow } from "../../src/engine/model/Content.ts"
import type { Store } from "../../src/engine/Store.ts"
import { WholeStore, replaceMethods } from "../../src/testing/WholeStore.ts"
import { Ready } from "../../src/http/system/Readiness.ts"
import * as Server from "../../src/http/Server.ts"
import { Settings } from "../../src/http/ServerSettings.ts"
import * as Http from "node:http"
import { MemorySource } from "./MemorySource.ts"
import * as TestEngine from "./TestEngine.ts"

export interface Answer {
  readonly status: number
  readonly headers: Http.IncomingHttpHeaders
  readonly bytes: Uint8Array
  readonly text: string
  /** The body as JSON; undefined if it is not JSON. */
  readonly json: unknown
}

export interface Asked {
  readonly method?: string
  readonly headers?: Http.OutgoingHttpHeaders
  /** Sent as JSON, unless it is text or bytes. */
  readonly body?: unknown
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * Makes one request on a new connection, with exactly these headers (and `Content-Type: application/json` for JSON).
 */
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

/** A running server: its URL, and the source of its integration `memory`. */
export class TestServer extends Context.Service<
  TestServer,
  {
    readonly url: string
    readonly source: MemorySource
    /** Sends a request to this server, with the server's token if it has one. */
    readonly ask: (path: string, asked?: Asked) => Effect.Effect<Answer>
  }
>()("test/support/TestServer") {}

export const token = "a-token-of-some-length"

const time = DateTime.makeUnsafe("2026-01-31T09:30:00Z")

/** A connection for tests that replace the store's results. */
export const connection: Connection = {
  id: ConnectionId.make("00000000-0000-4000-8000-000000000001"),
  name: "work",
  domain: "memory",
  account: "me@example.com",
  config: {},
  credentials: null,
  every: Duration.minutes(5),
  fence: 1n,
  paused: null,
  checkpoint: Option.none(),
  scope: null,
  lastCheckedAt: null,
  problems: noProblems,
  nextPollAt: time,
  lease: null,
  failures: 0,
  guarded: false,
  askedWaitUntil: null,
  member: null,
  estimate: null,
  createdAt: time
}

/** Makes a stored content for tests that replace the store's results. */
export const contentRow = (row: Partial<ContentRow>): ContentRow => ({
  externalId: "id",
  kind: null,
  state: "stored",
  revision: null,
  hash: "00",
  size: 3,
  title: null,
  mediaType: null,
  occurredAt: null,
  metadata: {},
  volatile: {},
  createdAt: time,
  updatedAt: time,
  ...row
})

/** Starts the server with these settings and `PORT=0`. `change` may replace the services below it. */
export const layer = (
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly store?: Layer.Layer<Store>
    /** Services that handlers use instead of the engine's. */
    readonly beside?: Layer.Layer<Integrations>
    /** Replaced methods of the store and the engine, for faults that rarely occur by themselves. */
    readonly faults?: {
      readonly store?: (real: WholeStore) => Partial<WholeStore>
      readonly engine?: Partial<Engine["Service"]>
    }
  } = {}
) => {
  const source = new MemorySource()
  const env = { PORT: "0", ...options.env }
  const engine = TestEngine.layer(source, options.store === undefined ? {} : { store: options.store })
  const ready = Layer.provide(Ready.layer, TestEngine.polling)
  const { faults } = options
  const withFaults = Layer.mergeAll(
    replaceMethods((real) => faults?.store?.(real) ?? {}),
    Layer.effect(
      Engine,
      Effect.map(Engine, (real) => ({ ...real, ...faults?.engine }))
    )
  )
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
    Layer.provide(options.beside ?? Layer.empty),
    Layer.provide(withFaults),
    Layer.provideMerge(engine),
    Layer.provide(Layer.succeed(References.MinimumLogLevel, "Error")),
    Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  )
}
