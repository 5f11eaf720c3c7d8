import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as OpenApi from "effect/http-api/OpenApi"
import * as Scope from "effect/Scope"
import { StoreError } from "../../src/engine/store/StoreError.ts"
import { WholeStore, replaceMethods } from "../../src/testing/WholeStore.ts"
import { Api } from "../../src/http/Api.ts"
import { isOpen } from "../../src/http/security/Guard.ts"
import { ListenError } from "../../src/http/ServerSettings.ts"
import * as Memory from "../../src/stores/Memory.ts"
import { ask, layer, TestServer, token } from "../support/HttpServer.ts"
import * as Net from "node:net"

const live = { excludeTestServices: true } as const

interface Operation {
  readonly summary?: string
  readonly security: ReadonlyArray<Record<string, unknown>>
  readonly responses: Readonly<Record<string, unknown>>
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly in: string }>
}

const document = OpenApi.fromApi(Api)
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation: operation as unknown as Operation }))
)

it.layer(layer({ env: { IDEM_API_TOKEN: token } }), live)("the server", (it) => {
  it.effect(
    "every answer, of every route and of none, tells browsers to run nothing and to keep nothing of ours, and no secret",
    () =>
      Effect.gen(function* () {
        const { ask: trusted, url } = yield* TestServer
        const credentials = { token: "s3cret-of-x" }
        const made = yield* trusted("/connections", {
          method: "POST",
          body: { domain: "memory", name: "x", credentials }
        })
        assert.strictEqual(made.status, 201)
        const policy = (headers: Record<string, unknown>) => String(headers["content-security-policy"])
        const paths = [
          ...operations.map(({ method, path }) => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, "x")] as const),
          ...[
            "/nothing",
            "/openapi.json",
            "/reference",
            "/reference/script.js",
            "/reference/style.css",
            "/metrics"
          ].map((path) => ["GET", path] as const)
        ]
        for (const [method, path] of paths) {
          const body = method === "POST" || method === "PATCH" ? {} : undefined
          for (const { headers, status, text } of [
            yield* trusted(path, { method, body }),
            yield* ask(`${url}${path}`, { method, body }),
            yield* trusted(path, { method: "PUT", body: {} })
          ]) {
            const where = `${method} ${path} ${status}`
            assert.notStrictEqual(status, 500, where)
            assert.notInclude(text, credentials.token, where)
            assert.notInclude(text + JSON.stringify(headers), token, where)
            assert.match(policy(headers), /default-src 'none'/, where)
            assert.notMatch(policy(headers), /unsafe|https?:|\*/, where)
            assert.strictEqual(headers["x-content-type-options"], "nosniff", where)
            assert.strictEqual(headers["referrer-policy"], "no-referrer", where)
            assert.strictEqual(headers["cross-origin-resource-policy"], "same-origin", where)
            assert.strictEqual(headers["cross-origin-opener-policy"], "same-origin", where)
            assert.isDefined(headers["permissions-policy"], where)
            // The reference is the same for every client.
            const kept = path.startsWith("/reference") && status === 200 ? "no-cache" : "no-store"
            assert.strictEqual(headers["cache-control"], kept, where)
            assert.isUndefined(headers["access-control-allow-origin"], where)
            assert.isUndefined(headers["x-powered-by"] ?? headers.server, where)
          }
        }
      })
  )

  it.effect("the document describes every endpoint, what it needs and what it may answer", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const served = (yield* ask("/openapi.json")).json as typeof document
      assert.deepStrictEqual(served, JSON.parse(JSON.stringify(document)))
      assert.strictEqual(served.openapi, "3.1.0")
      const endpoints = Object.values(Api.groups).flatMap((group) => Object.values(group.endpoints))
      assert.strictEqual(operations.length, endpoints.length)
      for (const { method, operation, path } of operations) {
        const where = `${method} ${path}`
        assert.isTrue((operation.summary ?? "").length > 10, where)
        assert.strictEqual(operation.security.length, isOpen(path) ? 0 : 2, where)
        for (const status of ["400", "401", "403", "413", "415", "429", "500", "503"]) {
          assert.property(operation.responses, status, where)
        }
        const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
        const told = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name)
        assert.deepStrictEqual(told, inPath, where)
      }
      const references = [...JSON.stringify(served).matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)]
      for (const [, name] of references) assert.property(served.components.schemas, name ?? "")
    })
  )

  it.effect("the reference is a page of this server's own files, with nothing in it to run", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const { text } = yield* ask("/reference")
      const sources = [...text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, source]) => source ?? "")
      assert.isAbove(sources.length, 1)
      for (const source of sources) assert.strictEqual((yield* ask(source)).status, 200, source)
      assert.notMatch(text, /<script(?![^>]* src=)(?![^>]* type="application\/json")|<style|<[^>]+ (?:style|on\w+)=/)
    })
  )

  it.effect("a connection is found by its name, whatever that is made of", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const names = ["plain", "of two words", "a/b", "Ümläut ☃", "100%", "?&#+;", "x".repeat(100), "☃".repeat(100)]
      for (const name of names) {
        const made = yield* ask("/connections", {
          method: "POST",
          body: { domain: "memory", name, credentials: { token: "s3cret" } }
        })
        assert.strictEqual(made.status, 201, made.text)
        assert.notInclude(made.text, "s3cret")
        const found = yield* ask(`/connections/${encodeURIComponent(name)}`)
        assert.deepStrictEqual([found.status, (found.json as { readonly name: string }).name], [200, name])
      }
    })
  )

  it.effect("a connection to an address that only this machine reaches is refused", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const body = (server: string) => ({
        domain: "memory",
        name: "inside",
        config: { server },
        credentials: { token: "s3cret" }
      })
      const post = (server: string) => ask("/connections", { method: "POST", body: body(server) })
      for (const server of ["http://127.0.0.1:1/", "https://[::1]/", "https://169.254.169.254/", "10.0.0.1"]) {
        const refused = yield* post(server)
        assert.strictEqual(refused.status, 422, server)
        assert.match((refused.json as { readonly detail: string }).detail, /^server: .*IDEM_SOURCE_ALLOW/, server)
      }
      assert.strictEqual((yield* post("https://93.184.216.34/")).status, 201)
      const moved = { config: { server: "http://127.0.0.1:1/" }, credentials: { token: "s3cret" } }
      assert.strictEqual((yield* ask("/connections/inside", { method: "PATCH", body: moved })).status, 422)
    })
  )

  it.effect("JSON that would take long to decode is refused before it is parsed", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const headers = { "content-type": "application/json" }
      const post = (config: string) =>
        ask("/connections", { method: "POST", headers, body: `{"domain":"memory","name":"x","config":${config}}` })
      const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`
      for (const [config, message] of [
        [deep(400_000), /nest at most 32/],
        [`[${"0,".repeat(400_000)}0]`, /at most 20,000 values/],
        [`{"a":[${"{},".repeat(200_000)}{}]}`, /at most 20,000 values/],
        [`{${Array.from({ length: 1_001 }, (_, index) => `"n${index}":0`).join()}}`, /at most 1,000 names/]
      ] as const) {
        // A body without a type is also decoded as JSON, and public routes accept bodies from anybody.
        for (const refused of [yield* post(config), yield* ask("/session", { method: "POST", body: config })]) {
          assert.strictEqual(refused.status, 400)
          assert.match((refused.json as { readonly detail: string }).detail, message)
        }
      }
      // Brackets and commas inside a string do not count, and an escaped quote does not end the string.
      const text = JSON.stringify({ domain: "none", name: `\\"${"[,".repeat(30_000)}`.slice(0, 90), config: {} })
      assert.notInclude((yield* ask("/connections", { method: "POST", headers, body: text })).text, "at most 32")
      const long = JSON.stringify({ externalIds: [`\\"${"[,".repeat(30_000)}`] })
      const answer = yield* ask("/connections/none/ledger/redrive", { method: "POST", headers, body: long })
      assert.notMatch(answer.text, /nest at most|values/)
    })
  )

  it.effect("what is no HTTP is answered as a problem, and the connection is closed", () =>
    Effect.gen(function* () {
      const { url } = yield* TestServer
      const talk = (text: string) =>
        Effect.callback<string>((resume) => {
          let said = ""
          const socket = Net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text))
          socket.on("data", (data) => (said += data))
          socket.on("close", () => resume(Effect.succeed(said)))
        })
      assert.match(yield* talk("hello\r\n\r\n"), /^HTTP\/1.1 400 .*application\/problem\+json/s)
      const long = `GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: ${"x".repeat(40_000)}\r\n\r\n`
      assert.match(yield* talk(long), /^HTTP\/1.1 431 .*application\/problem\+json/s)
    })
  )
})

it.live("a database that does not answer makes the process not ready, but no less alive", () =>
  Effect.gen(function* () {
    const store = replaceMethods((real) => ({
      ...real,
      holder: Effect.fail(new StoreError({ message: "asking", cause: "gone" }))
    })).pipe(Layer.provide(Memory.layer))
    yield* TestServer.use(({ ask }) =>
      Effect.gen(function* () {
        const ready = yield* ask("/ready")
        assert.strictEqual(ready.status, 503)
        assert.isDefined(ready.headers["retry-after"])
        assert.include((ready.json as { readonly detail: string }).detail, "the database does not answer")
        const health = yield* ask("/health")
        assert.deepStrictEqual([health.status, health.json], [200, { status: "alive", database: "unreachable" }])
      })
    ).pipe(Effect.provide(layer({ store })))
  })
)

it.live("a process that is ready names the transaction that holds the feed of changes back", () =>
  Effect.gen(function* () {
    const feedHolder = { seconds: 720, process: 123, application: "psql" }
    const store = replaceMethods((real) => ({ ...real, holder: Effect.succeed(feedHolder) })).pipe(
      Layer.provide(Memory.layer)
    )
    yield* TestServer.use(({ ask }) =>
      Effect.gen(function* () {
        assert.deepStrictEqual((yield* ask("/ready")).json, { status: "ready", feedHolder })
        assert.deepStrictEqual((yield* ask("/health")).json, { status: "alive", database: "reachable" })
      })
    ).pipe(Effect.provide(layer({ store })))
  })
)

it.live("a port that is taken is said, with what to do", () =>
  Effect.gen(function* () {
    const { url } = yield* TestServer
    const error = yield* Effect.flip(
      Effect.scoped(Layer.build(Layer.fresh(layer({ env: { PORT: new URL(url).port } }))))
    )
    assert.instanceOf(error, ListenError)
    assert.match((error as ListenError).message, /127\.0\.0\.1:\d+ is taken .*PORT/)
  }).pipe(Effect.provide(layer()))
)

it.live("when the server stops, waiting readers of changes get an answer, and responses in progress complete", () =>
  Effect.gen(function* () {
    const waiting = yield* Deferred.make<void>()
    const reading = yield* Deferred.make<void>()
    const release = yield* Deferred.make<void>()
    const faults = {
      store: (real: WholeStore): Partial<WholeStore> => ({
        changed: (from) => Effect.andThen(Deferred.succeed(waiting, undefined), real.changed(from)),
        connections: Deferred.succeed(reading, undefined).pipe(Effect.andThen(Deferred.await(release)), Effect.as([]))
      })
    }
    const scope = yield* Scope.make()
    const { ask } = Context.get(yield* Layer.buildWithScope(layer({ faults }), scope), TestServer)
    const here = (yield* ask("/changes")).json
    const polling = yield* Effect.forkChild(ask("/changes?wait=60"))
    const asking = yield* Effect.forkChild(ask("/connections"))
    yield* Deferred.await(waiting)
    yield* Deferred.await(reading)
    const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    const answer = yield* Fiber.join(polling)
    assert.deepStrictEqual([answer.status, answer.json], [200, here])
    assert.strictEqual(answer.headers.connection, "close")
    yield* Deferred.succeed(release, undefined)
    assert.strictEqual((yield* Fiber.join(asking)).status, 200)
    yield* Fiber.join(stopping)
    assert.strictEqual((yield* Effect.exit(ask("/health")))._tag, "Failure")
  })
)

it.live("the work for a client that disconnects is interrupted", () =>
  Effect.gen(function* () {
    const begun = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<void>()
    const faults = {
      store: (): Partial<WholeStore> => ({
        connections: Deferred.succeed(begun, undefined).pipe(
          Effect.andThen(Effect.never),
          Effect.onInterrupt(() => Deferred.succeed(ended, undefined))
        )
      })
    }
    yield* TestServer.use(({ ask }) =>
      Effect.gen(function* () {
        const asking = yield* Effect.forkChild(ask("/connections"))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(asking)
        yield* Deferred.await(ended)
      })
    ).pipe(Effect.provide(layer({ faults })))
  })
)
