/** The requests of REST sources, over a network that answers without a server. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Http from "../../src/contract/HttpRequest.ts"
import { Forbidden, Malformed, TooLarge, Transient, Unauthorized } from "../../src/contract/IntegrationError.ts"
import { refusedCode } from "../../src/contract/Network.ts"
import { base, makeServer, reasonOf, redirect, textOf } from "./HttpFake.ts"

describe("a request", () => {
  it.effect("follows redirects on its server, with its headers, and ends after five of them", () =>
    Effect.gen(function* () {
      const hops = (last: number) =>
        makeServer(({ url }) => {
          const at = Number(url.slice(-1))
          return at < last ? redirect(`/v2/${at + 1}`, [301, 302, 303, 307, 308][at]) : new Response("found")
        })
      const five = hops(5)
      const answer = yield* Http.ask(five.server, new URL("0", base))
      assert.deepStrictEqual([textOf(answer), answer?.url.href], ["found", "https://api.example/v2/5"])
      assert.deepStrictEqual(
        five.log.map(({ headers }) => headers),
        Array.from({ length: 6 }, () => ({ authorization: "Bearer t0ken" }))
      )
      const six = hops(6)
      assert.deepStrictEqual(
        yield* reasonOf(Http.ask(six.server, new URL("0", base))),
        new Malformed({ message: "api.example redirects more than 5 times" })
      )
      assert.strictEqual(six.log.length, 6)
    })
  )

  it.effect("is refused if it is redirected to no address, and follows no answer that is not a redirect", () =>
    Effect.gen(function* () {
      for (const [response, message] of [
        [redirect("https://["), "api.example redirects to something that is not an address"],
        [redirect("/v2", 300), "api.example answers 300"],
        [new Response(null, { status: 302 }), "api.example answers 302"]
      ] as const) {
        const { log, server } = makeServer(() => response)
        assert.deepStrictEqual(yield* reasonOf(Http.ask(server, base)), new Malformed({ message }))
        assert.strictEqual(log.length, 1)
      }
      const { server } = makeServer(() => new Response("whole", { headers: { location: "/v2" } }))
      assert.strictEqual(textOf(yield* Http.ask(server, base)), "whole")
    })
  )

  it.effect("goes to no other server, and a body is fetched from there without the credentials", () =>
    Effect.gen(function* () {
      const steps: Record<string, string> = {
        "https://api.example/v1/": "http://api.example/v1/",
        "http://api.example/v1/": "https://files.example/a",
        "https://files.example/a": "https://api.example/b"
      }
      const { log, server } = makeServer(({ url }) =>
        url in steps ? redirect(steps[url] ?? "") : new Response("bytes")
      )
      const elsewhere = new Forbidden({ message: "api.example leads to another server, which Idem does not follow" })
      assert.deepStrictEqual(yield* reasonOf(Http.ask(server, base)), elsewhere)
      assert.deepStrictEqual(yield* reasonOf(Http.ask(server, new URL("https://files.example/a"))), elsewhere)
      const follows = { ...server, followsElsewhere: true }
      assert.deepStrictEqual(yield* reasonOf(Http.ask(follows, base, { post: { text: "s3cret" } })), elsewhere)
      assert.strictEqual(log.length, 2)
      log.length = 0
      const chunks = yield* Stream.runCollect(yield* Http.getBytes(server, base))
      assert.strictEqual(Buffer.concat(chunks).toString(), "bytes")
      const own = { authorization: "Bearer t0ken" }
      assert.deepStrictEqual(
        log.map(({ headers, url }) => [url, headers]),
        [
          ["https://api.example/v1/", own],
          ["http://api.example/v1/", {}],
          ["https://files.example/a", {}],
          ["https://api.example/b", own]
        ]
      )
      const file = makeServer(() => redirect("file:///etc/passwd"))
      assert.deepStrictEqual(
        yield* reasonOf(Http.getBytes(file.server, base)),
        new Forbidden({ message: "api.example leads to an address that is not http or https" })
      )
    })
  )

  it.effect("sends JSON or a form, and validators with a header that lets servers answer them", () =>
    Effect.gen(function* () {
      const { log, server } = makeServer(({ headers }) =>
        headers["if-none-match"] === undefined ? new Response("") : new Response(null, { status: 304 })
      )
      yield* Http.ask(server, base, { post: { a: [1] }, headers: { "x-page": "2" } })
      const form = new URLSearchParams({ a: "1" })
      yield* Http.ask(server, base, { post: form })
      yield* Http.askIfChanged(server, base, { seen: {} })
      const unchanged = yield* Http.askIfChanged(server, base, {
        seen: { "if-none-match": '"1"' },
        headers: { "x-page": "2" }
      })
      assert.isUndefined(unchanged)
      const authorization = "Bearer t0ken"
      const json = { "content-type": "application/json" }
      const condition = { "if-none-match": '"1"', "cache-control": "max-age=0" }
      assert.deepStrictEqual(
        log.map(({ body, headers, method }) => [method, headers, body]),
        [
          ["POST", { authorization, "x-page": "2", ...json }, '{"a":[1]}'],
          ["POST", { authorization }, form],
          [undefined, { authorization }, undefined],
          [undefined, { authorization, "x-page": "2", ...condition }, undefined]
        ]
      )
    })
  )

  it.effect("without validators has no answer that is unchanged", () =>
    Effect.gen(function* () {
      const { server } = makeServer(() => new Response(null, { status: 304 }))
      const refused = new Malformed({ message: "api.example answers 304" })
      assert.deepStrictEqual(yield* reasonOf(Http.ask(server, base)), refused)
      assert.deepStrictEqual(yield* reasonOf(Http.askIfChanged(server, base, { seen: {} })), refused)
      assert.deepStrictEqual(yield* reasonOf(Http.getBytes(server, base)), refused)
    })
  )

  it.effect("with validators is answered in full if something has changed, or refused", () =>
    Effect.gen(function* () {
      const { server } = makeServer(({ url }) =>
        url.endsWith("refused") ? new Response("", { status: 500 }) : new Response("changed")
      )
      const seen = { "if-none-match": '"1"' }
      assert.strictEqual(textOf(yield* Http.askIfChanged(server, base, { seen })), "changed")
      assert.deepStrictEqual(
        yield* reasonOf(Http.askIfChanged(server, new URL("refused", base), { seen })),
        new Transient({ message: "api.example answers 500" })
      )
      const { reason } = yield* Effect.flip(Http.askIfChanged(server, base, { seen, most: 3 }))
      assert.strictEqual(reason._tag, "TooLarge")
    })
  )

  it.effect("reads an answer of the largest size, and no larger one", () =>
    Effect.gen(function* () {
      const { server } = makeServer(({ url }) => new Response("x".repeat(Number(url.split("?")[1]))))
      const most = 2 ** 20
      const whole = yield* Http.ask(server, new URL(`?${most}`, base), { most })
      assert.strictEqual(whole?.bytes.length, most)
      assert.deepStrictEqual(
        yield* reasonOf(Http.ask(server, new URL(`?${most + 1}`, base), { most })),
        new TooLarge({ message: "an answer of api.example has over 1 MiB, the limit" })
      )
      assert.strictEqual((yield* Http.ask(server, new URL(`?${2 * most}`, base)))?.bytes.length, 2 * most)
      assert.deepStrictEqual(
        yield* reasonOf(Http.ask(server, new URL(`?${33 * most}`, base))),
        new TooLarge({ message: "an answer of api.example has over 32 MiB, the limit" })
      )
    })
  )

  it.effect("is refused by the source's own text, of which a short one is read", () =>
    Effect.gen(function* () {
      const texts: Array<string> = []
      let cancelled = 0
      const refused = (length: number, announced?: number) => {
        const headers = announced === undefined ? {} : { "content-length": String(announced) }
        const body = new ReadableStream({
          start: (controller) => {
            controller.enqueue(new TextEncoder().encode("x".repeat(length)))
            if (announced !== undefined && announced <= 4096) controller.close()
          },
          cancel: () => {
            cancelled += 1
          }
        })
        return makeServer(() => new Response(body, { status: 422, headers }), {
          refusal: ({ status, text }) => {
            texts.push(text)
            return status === 422 && text === "xxx" ? new Unauthorized({ message: "signed out" }) : undefined
          }
        })
      }
      const known = yield* reasonOf(Http.ask(refused(3, 3).server, base))
      assert.deepStrictEqual(known, new Unauthorized({ message: "signed out" }))
      const unknown = new Malformed({ message: "api.example answers 422" })
      for (const [length, announced] of [
        [4096, 4096],
        [4097, 4097],
        [3, undefined]
      ] as const) {
        assert.deepStrictEqual(yield* reasonOf(Http.ask(refused(length, announced).server, base)), unknown)
      }
      assert.deepStrictEqual(texts, ["xxx", "x".repeat(4096), "", ""])
      assert.strictEqual(cancelled, 2)
    })
  )

  it.effect("that gets no answer names the code of the failure, and quotes no text of it", () =>
    Effect.gen(function* () {
      const coded = (code: string) => Object.assign(new Error("https://api.example/?key=s3cret"), { code })
      const within = (error: unknown, depth: number): unknown =>
        depth === 0 ? error : new TypeError("fetch failed", { cause: within(error, depth - 1) })
      const cyclic = new Error("s3cret")
      cyclic.cause = cyclic
      const none = new Transient({ message: "api.example gives no answer" })
      const reset = new Transient({ message: "api.example gives no answer (ECONNRESET)" })
      for (const [error, reason] of [
        [coded("ECONNRESET"), reset],
        [within(coded("ECONNRESET"), 4), reset],
        [within(coded("ECONNRESET"), 5), none],
        [coded("not a code"), none],
        [coded("s3cret_KEY"), none],
        [coded("KEY_s3cret"), none],
        [Object.assign(new Error("s3cret"), { code: 7 }), none],
        [cyclic, none],
        ["s3cret", none],
        [
          within(Object.assign(new Error("10.0.0.1 is private"), { code: refusedCode }), 1),
          new Forbidden({ message: "10.0.0.1 is private" })
        ]
      ] as const) {
        const { server } = makeServer(() => error)
        assert.deepStrictEqual(yield* reasonOf(Http.ask(server, base)), reason)
      }
    })
  )

  it.effect("has a body that ends early, or none", () =>
    Effect.gen(function* () {
      const pull = (controller: ReadableStreamDefaultController) => controller.error(coded)
      const coded = Object.assign(new Error("s3cret"), { code: "ECONNRESET" })
      const broken = makeServer(() => new Response(new ReadableStream({ pull })))
      assert.deepStrictEqual(
        yield* reasonOf(Effect.flatMap(Http.getBytes(broken.server, base), Stream.runDrain)),
        new Transient({ message: "api.example ended a body early" })
      )
      const none = makeServer(() => new Response(null, { status: 204 }))
      assert.deepStrictEqual(yield* Effect.flatMap(Http.getBytes(none.server, base), Stream.runCollect), [])
      const refused = makeServer(() => new Response(null, { status: 404 }))
      assert.strictEqual((yield* Effect.flip(Http.getBytes(refused.server, base))).reason._tag, "Gone")
    })
  )

  it.effect("has an answer that is JSON, or is malformed", () =>
    Effect.gen(function* () {
      const { server } = makeServer(({ url }) => new Response(decodeURIComponent(url.split("?")[1] ?? "")))
      const json = (text: string) =>
        Effect.flatMap(Http.ask(server, new URL(`?${encodeURIComponent(text)}`, base)), (answer) =>
          answer === undefined ? Effect.undefined : Http.jsonOf(server, answer)
        )
      assert.deepStrictEqual(yield* json('{"a":"é"}'), { a: "é" })
      const deep = yield* Effect.flip(json("[".repeat(200)))
      assert.strictEqual(deep.message, "an answer of api.example is too complex: it may nest at most 100 deep")
      const reason = yield* reasonOf(json("<html>"))
      assert.deepStrictEqual(reason, new Malformed({ message: "the answer of api.example is not JSON" }))
    })
  )
})
