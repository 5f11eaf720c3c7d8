/** The headers of responses that decide the next request: validators, links and waits. */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Http from "../../src/contract/HttpRequest.ts"
import { base, makeServer } from "./HttpFake.ts"

it("a later request is conditional on the entity tag, or on a time of change that had passed", () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toUTCString()
  const changed = { "last-modified": at(10) }
  for (const [headers, expected] of [
    [{}, {}],
    [{ etag: '"1"' }, { "if-none-match": '"1"' }],
    [
      { etag: '"1"', ...changed },
      { "if-none-match": '"1"', "if-modified-since": at(10) }
    ],
    [{ ...changed, date: at(12) }, { "if-modified-since": at(10) }],
    [{ ...changed, date: at(11) }, {}],
    [changed, {}],
    [{ date: at(12) }, {}]
  ] as const) {
    assert.deepStrictEqual(Http.validators(new Headers(headers)), expected)
  }
})

it("the next page is the first link with the relation, in any case and among others", () => {
  const next = (link?: string) =>
    Http.nextLink(new Headers(link === undefined ? {} : { link }), new URL("https://api.example/a?page=1"))?.href
  assert.isUndefined(next())
  assert.isUndefined(next("<?page=2>"))
  assert.isUndefined(next('<?page=2>; rel="nextish"'))
  assert.isUndefined(next('<?page=2>; norel="next"'))
  assert.isUndefined(next('<https://[>; rel="next"'))
  assert.strictEqual(next('<?page=2>; REL="NEXT"'), "https://api.example/a?page=2")
  assert.strictEqual(next("<?page=2> ; rel = next, <?page=3>; rel=last"), "https://api.example/a?page=2")
  assert.strictEqual(next('<?page=2>; rel="start  next\tup"'), "https://api.example/a?page=2")
  assert.strictEqual(next("<?page=2>; rel=next, <?page=3>; rel=next"), "https://api.example/a?page=2")
  assert.strictEqual(next("<?page=2>; rel=next; title=x"), "https://api.example/a?page=2")
  assert.strictEqual(next("<?page=2>;rel=next"), "https://api.example/a?page=2")
  assert.strictEqual(next('<https://api.example/a?x=1,2>; rel="prev", </b>; rel="next"'), "https://api.example/b")
  assert.isUndefined(next('<?page=1>; rel="prev"'))
})

it("the time after which to ask again is read from a date, an epoch and a number of seconds", () => {
  const now = Date.UTC(2026, 0, 1)
  const seconds = (headers: Record<string, string>) => {
    const delay = Http.retryAfter(new Headers(headers), now)
    return delay && Duration.toSeconds(delay)
  }
  assert.strictEqual(seconds({ "retry-after": new Date(now + 9000).toUTCString() }), 9)
  assert.strictEqual(seconds({ "retry-after": new Date(now - 9000).toUTCString() }), 0)
  assert.strictEqual(seconds({ "x-ratelimit-reset": String(now / 1000 + 40) }), 40)
  assert.strictEqual(seconds({ "x-ratelimit-reset": String(now + 40_000) }), 40)
  assert.strictEqual(seconds({ "ratelimit-reset": "40" }), 40)
  // The server's clock is an hour ahead of this machine's.
  const ahead = new Date(now + 3_600_000)
  const at = new Date(ahead.getTime() + 9000).toUTCString()
  assert.strictEqual(seconds({ date: ahead.toUTCString(), "retry-after": at }), 9)
  const reset = String(ahead.getTime() / 1000 + 40)
  assert.strictEqual(seconds({ date: ahead.toUTCString(), "x-ratelimit-reset": reset }), 40)
  assert.strictEqual(seconds({ "retry-after": "0.65" }), 0.65)
  assert.isUndefined(seconds({ "retry-after": "soon" }))
})

it.effect("a request is refused by the status, if it tells more than the answer's text", () =>
  Effect.gen(function* () {
    const cases: ReadonlyArray<readonly [number, Record<string, string>, string, number?]> = [
      [401, {}, "Unauthorized"],
      [404, {}, "Gone"],
      [410, {}, "Gone"],
      [408, {}, "Transient"],
      [425, {}, "Transient"],
      [499, {}, "Malformed"],
      [500, { "x-ratelimit-remaining": "0" }, "Transient"],
      [403, { "retry-after": "3" }, "RateLimited", 3],
      [403, { "ratelimit-remaining": "0", "ratelimit-reset": "4" }, "RateLimited", 4],
      [403, { ratelimit: '"default";r=0' }, "RateLimited"],
      [503, { ratelimit: "r=0;t=12" }, "RateLimited", 12],
      [403, { ratelimit: '"default";r=0;t=5' }, "RateLimited", 5],
      [403, { ratelimit: '"burst"; r=0, "day";r=9' }, "RateLimited"],
      [403, { ratelimit: '"default";r=09;t=5' }, "Forbidden"],
      [403, { ratelimit: '"default";r=10;t=5' }, "Forbidden"],
      [403, { ratelimit: '"default";pr=0;t=5' }, "Forbidden"],
      [429, { ratelimit: '"default";r=0;pt=5', "ratelimit-reset": "6" }, "RateLimited", 6],
      [429, { ratelimit: "t=7" }, "RateLimited", 7],
      [429, { "retry-after": "1.2.3", "x-ratelimit-reset": "8" }, "RateLimited", 8],
      [429, { "x-ratelimit-reset": "soon" }, "RateLimited"]
    ]
    for (const [status, headers, tag, seconds] of cases) {
      const { server } = makeServer(() => new Response("", { status, headers }))
      const { reason } = yield* Effect.flip(Http.ask(server, base))
      assert.strictEqual(reason._tag, tag, `${status} ${JSON.stringify(headers)}`)
      assert.strictEqual(reason.message, `api.example answers ${status}`)
      const wait = reason._tag === "RateLimited" ? reason.retryAfter : undefined
      assert.strictEqual(wait && Duration.toSeconds(wait), seconds, `${status} ${JSON.stringify(headers)}`)
    }
  })
)
