import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { Unauthorized } from "../../src/contract/IntegrationError.ts"
import { type Engine, SourceError, UsageError } from "../../src/engine/Engine.ts"
import * as Cursor from "../../src/engine/feed/Cursor.ts"
import { ConnectionId } from "../../src/engine/model/Connection.ts"
import { NameTaken, StoreError } from "../../src/engine/store/StoreError.ts"
import type { WholeStore } from "../../src/testing/WholeStore.ts"
import * as Problems from "../../src/http/Problems.ts"
import { type Answer, connection, contentRow, layer, TestServer } from "../support/HttpServer.ts"
import { fault } from "../support/MemorySource.ts"
import * as Http from "node:http"
import { Readable } from "node:stream"

const live = { excludeTestServices: true } as const
const secret = "s3cret-of-somebody"

/** Reads the problem of a response, and asserts that the response is one. */
const problem = (answer: Answer): { readonly type: string; readonly status: number; readonly detail: string } => {
  assert.strictEqual(answer.headers["content-type"], "application/problem+json", answer.text)
  const told = answer.json as { readonly type: string; readonly status: number; readonly detail: string }
  assert.strictEqual(told.status, answer.status)
  assert.notInclude(answer.text, secret)
  return told
}

const told = (answer: Answer): string => `${answer.status} ${problem(answer).type.replace("urn:idem:problem:", "")}`

it("a source that may answer later is 502, and one that refuses is 422", () => {
  const statusOf = (reason: string) => {
    const found = Problems.problemOf(new SourceError({ reason, message: "why" }))
    return found instanceof Problems.SourceAwayProblem ? 502 : found instanceof Problems.SourceRefusedProblem ? 422 : 0
  }
  for (const reason of ["Transient", "RateLimited", "Timeout"]) assert.strictEqual(statusOf(reason), 502, reason)
  for (const reason of ["Unauthorized", "Forbidden", "Gone", "Malformed", "TooLarge"]) {
    assert.strictEqual(statusOf(reason), 422, reason)
  }
})

it.layer(layer(), live)("an invalid request", (it) => {
  it.effect("an unknown path, and a method that the path does not have", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      for (const path of ["/nothing", "/connections/a/nothing", "/Connections", "/connections/%zz", "/../etc/passwd"]) {
        assert.strictEqual(told(yield* ask(path)), "404 not-found", path)
      }
      const put = yield* ask("/connections", { method: "PUT", body: {} })
      assert.deepStrictEqual([told(put), put.headers.allow], ["405 method-not-allowed", "HEAD, GET, POST"])
      const options = yield* ask("/connections/a/pause", { method: "OPTIONS" })
      assert.deepStrictEqual([options.status, options.headers.allow], [405, "POST"])
      assert.strictEqual((yield* ask("/nothing", { method: "HEAD" })).status, 404)
    })
  )

  it.effect("a body that is not JSON, or not of the fields that are known, which it names", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
        ask(path, { method: "POST", body, headers })
      const json = { "content-type": "application/json" }
      assert.strictEqual(told(yield* post("/connections", `{"name": ${secret}`, json)), "400 bad-request")
      assert.strictEqual(
        told(yield* post("/connections", "a=b", { "content-type": "text/plain" })),
        "415 unsupported-media-type"
      )
      const named = (body: unknown) => Effect.map(post("/connections", body), (answer) => problem(answer).detail)
      assert.include(yield* named({ domain: "memory" }), "name is missing")
      assert.include(yield* named({ domain: 3, name: "a" }), "domain: expected string")
      assert.include(yield* named({ domain: "memory", name: "a", every: secret }), "every is not valid")
      // A credential in the place of a field's name, or of another field.
      const swapped = yield* named({ domain: "memory", name: "a", [secret]: "token" })
      assert.include(swapped, "it has a field that is not one of domain, name, config, credentials, every")
      for (const body of [
        secret,
        [secret],
        { domain: secret.repeat(30), name: "a" },
        { domain: "x", name: `${secret}\n` },
        null
      ]) {
        assert.strictEqual((yield* post("/connections", JSON.stringify(body), json)).status, 400)
        problem(yield* post("/connections", JSON.stringify(body), json))
      }
      const task = problem(yield* post("/connections/a/tasks", { forced: true, since: "2026-02-30" })).detail
      assert.include(task, "forced is not a field of it (did you mean force?)")
      assert.include(task, "since: a time is ISO 8601 with an offset")
    })
  )

  it.effect("a header that is too long or empty, which it names with its bounds", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      for (const key of ["", "k".repeat(256)]) {
        const headers = { "idempotency-key": key }
        const answer = yield* ask("/connections/a/tasks", { method: "POST", body: {}, headers })
        assert.strictEqual(told(answer), "400 bad-request")
        assert.strictEqual(
          problem(answer).detail,
          "headers: idempotency-key: expected 1 to 255 characters (give each request a key of its own, such as a UUID)"
        )
      }
    })
  )

  it.effect("a query that has no such parameter, or another kind of value", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const wrong = (query: string) =>
        Effect.map(ask(`/connections/a/contents?${query}`), (answer) => problem(answer).detail)
      for (const limit of ["0", "many", "1.5", "-3", "1e9", "", "NaN"]) {
        const detail = yield* wrong(`limit=${limit}`)
        assert.strictEqual(detail, "query: limit: expected a whole number from 1 to 1000", limit)
      }
      assert.include(yield* wrong("state=lost"), "state")
      assert.include(yield* wrong("sort=id"), "sort is not a field of it")
      assert.include(yield* wrong("since=2026-01-01T00:00"), "since")
      assert.strictEqual(told(yield* ask("/changes?wait=61")), "400 bad-request")
      assert.strictEqual(told(yield* ask("/connections/a/content")), "400 bad-request")
    })
  )

  it.effect(
    "a body of 100 MB is refused before it is sent, and one that does not say its size once it is too long",
    () =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const refused = (headers: Record<string, string>) =>
          Effect.callback<{ readonly status: number; readonly text: string; readonly sent: number }>((resume) => {
            let sent = 0
            const chunks = function* () {
              for (const chunk = Buffer.alloc(64 * 1024, "x"); sent < 100_000_000; sent += chunk.length) yield chunk
            }
            const request = Http.request(
              `${url}/connections`,
              { method: "POST", headers: { "content-type": "application/json", ...headers }, agent: false },
              (response) => {
                let text = ""
                response.on("data", (data) => (text += data))
                response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, text, sent })))
              }
            )
            // The server closes the connection while the rest of the request is being sent.
            request.on("error", () => {})
            Readable.from(chunks()).pipe(request)
          })
        for (const headers of [{ "content-length": "100000000" }, {}]) {
          const { sent, status, text } = yield* refused(headers)
          assert.strictEqual(status, 413)
          assert.include(text, "urn:idem:problem:payload-too-large")
          assert.isBelow(sent, 50_000_000)
        }
      })
  )

  it.effect("what a source says of an account comes back as the source's error", () =>
    Effect.gen(function* () {
      const { ask, source } = yield* TestServer
      const connect = (body: object) =>
        ask("/connections", {
          method: "POST",
          body: { domain: "memory", name: "a", credentials: { token: secret }, ...body }
        })
      assert.strictEqual(told(yield* connect({ domain: "nothing" })), "422 usage")
      assert.strictEqual(told(yield* connect({ config: { colour: secret } })), "422 usage")
      assert.strictEqual(told(yield* connect({ credentials: { tokne: secret } })), "422 usage")
      source.answer = () => fault(new Unauthorized({ message: "not this token" }))
      assert.strictEqual(told(yield* connect({})), "422 source-refused")
      source.answer = () => Effect.void
      assert.strictEqual((yield* connect({})).status, 201)
    })
  )
})

const away = new StoreError({ message: "asking the database", cause: new Error(`connect ECONNREFUSED ${secret}`) })

const named: Readonly<Record<string, ReturnType<WholeStore["connectionByName"]>>> = {
  // The connection has no credentials.
  conflict: Effect.succeedSome(connection),
  unavailable: Effect.fail(away),
  broken: Effect.die(new Error(`a defect that knows ${secret}`))
}

const epoch = {
  databaseId: "11111111-1111-4111-8111-111111111111",
  id: "22222222-2222-4222-8222-222222222222",
  number: 1
}
const list = { connectionId: connection.id, epoch, order: "id" as const }
const place = { externalId: "a", occurredAt: null }

const cursors = {
  gone: Cursor.ofContent({ ...list, epoch: { ...epoch, id: "33333333-3333-4333-8333-333333333333" } }, place),
  malformed: "malformed",
  foreign: Cursor.ofContent({ ...list, connectionId: ConnectionId.make("another") }, place)
}

const faults = {
  store: (): Partial<WholeStore> => ({
    connectionByName: (name) => named[name] ?? Effect.succeedNone,
    epoch: Effect.succeed(epoch),
    content: () => Effect.succeedSome(contentRow({})),
    body: () => Stream.concat(Stream.make(new Uint8Array(1)), Stream.fail(away))
  }),
  engine: {
    connect: ({ name }) =>
      name === "taken"
        ? Effect.fail(new NameTaken({ name }))
        : name === "away"
          ? Effect.fail(new SourceError({ reason: "Transient", message: "down" }))
          : Effect.fail(new UsageError({ message: "not so" }))
  } satisfies Partial<Engine["Service"]>
}

it.layer(layer({ faults }), live)("what went wrong", (it) => {
  it.effect("each kind of error has its status and its type", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const resume = (name: string) => ask(`/connections/${name}/resume`, { method: "POST" })
      const connect = (name: string) =>
        ask("/connections", { method: "POST", body: { domain: "memory", name, credentials: { token: secret } } })
      const contents = (after: string) => ask(`/connections/conflict/contents?after=${after}`)
      assert.strictEqual(told(yield* resume("missing")), "404 not-found")
      assert.strictEqual(told(yield* resume("conflict")), "409 conflict")
      const unavailable = yield* resume("unavailable")
      assert.strictEqual(told(unavailable), "503 unavailable")
      assert.strictEqual(unavailable.headers["retry-after"], "5")
      assert.strictEqual(told(yield* connect("taken")), "409 name-taken")
      assert.strictEqual(told(yield* connect("away")), "502 source-away")
      assert.strictEqual(told(yield* connect("other")), "422 usage")
      assert.strictEqual(told(yield* contents(cursors.gone)), "410 cursor-gone")
      assert.strictEqual(told(yield* contents(cursors.malformed)), "400 cursor")
      assert.strictEqual(told(yield* contents(cursors.foreign)), "400 cursor")
    })
  )

  it.effect("a body that breaks off is not taken for a whole one", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const exit = yield* Effect.exit(ask("/connections/conflict/content/body?externalId=x"))
      assert.strictEqual(exit._tag, "Failure")
    })
  )
})

it.live("a defect tells nothing but an id, under which the log tells the rest", () =>
  Effect.gen(function* () {
    const lines = yield* Queue.unbounded<string>()
    const logger = Logger.layer([
      Logger.map(Logger.formatJson, (line) => {
        Queue.offerUnsafe(lines, line)
      })
    ])
    const answer = yield* TestServer.use(({ ask }) =>
      ask("/connections/broken/resume?token=x", { method: "POST" })
    ).pipe(Effect.provide(Layer.provideMerge(layer({ faults }), logger)))
    assert.strictEqual(told(answer), "500 unexpected")
    const { id } = answer.json as { readonly id: string }
    assert.match(id, /^[0-9a-f]{16}$/)
    let line = yield* Queue.take(lines)
    while (!line.includes(id)) line = yield* Queue.take(lines)
    assert.include(line, "a defect that knows")
    assert.include(line, "/connections/broken/resume")
  })
)

it.effect("problems are told apart by their type", () =>
  Effect.sync(() => {
    const classes = Object.values(Problems).filter((each) => typeof each === "function" && "fields" in each)
    const types = classes.map((each) => (each as typeof Problems.UsageProblem).fields.type.schema.literal)
    assert.isAbove(types.length, 15)
    assert.strictEqual(new Set(types).size, types.length)
  })
)
