import { assert, it } from "@effect/vitest"
import * as ContentDisposition from "content-disposition"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as BodyResponse from "../../../src/http/contents/BodyResponse.ts"
import { Engine } from "../../../src/engine/Engine.ts"
import { ask, layer, TestServer } from "../../support/HttpServer.ts"
import { poll } from "../../../src/contract/SyncTask.ts"
import * as TestEngine from "../../support/TestEngine.ts"
import { runs } from "../../support/Property.ts"
import * as Crypto from "node:crypto"

const live = { excludeTestServices: true } as const

const Size = Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 60 })))

it.effect.prop(
  "a range is what RFC 9110 says of it: those bytes that there are, or none, or the whole",
  { size: Size, first: Schema.Union([Size, Schema.Literal("")]), last: Schema.Union([Size, Schema.Literal("")]) },
  ({ first, last, size }) =>
    Effect.sync(() => {
      const range = BodyResponse.rangeOf(`bytes=${first}-${last}`, size)
      const bytes = Array.from({ length: size }, (_, n) => n)
      const wanted =
        first === ""
          ? bytes.slice(last === "" || last === 0 ? size : -last)
          : bytes.filter((n) => n >= first && (last === "" || n <= last))
      const malformed = (first === "" && last === "") || (first !== "" && last !== "" && last < first)
      if (malformed) assert.isUndefined(range)
      else if (wanted.length === 0) assert.strictEqual(range, "unsatisfiable")
      else assert.deepStrictEqual(range, { start: wanted[0] ?? 0, end: (wanted.at(-1) ?? 0) + 1 })
    }),
  runs()
)

it.effect("a Range header without exactly one range of bytes returns the whole body", () =>
  Effect.sync(() => {
    const given = [
      "",
      "bytes",
      "bytes=",
      "bytes=-",
      "items=0-1",
      "bytes=a-b",
      "bytes=0-1,3-4",
      "bytes=1e3-",
      "bytes 0-1/9",
      "bytes=5-2",
      "bytes=--1",
      `bytes=${"9".repeat(30)}-`
    ]
    for (const header of [undefined, ...given]) assert.isUndefined(BodyResponse.rangeOf(header, 10), header)
  })
)

it.effect.prop(
  "whatever a title holds, the name of a download is one plain name that comes out as it went in",
  [Schema.String, Schema.String],
  ([title, externalId]) =>
    Effect.sync(() => {
      const name = BodyResponse.fileName(title, externalId, "application/octet-stream")
      // oxlint-disable-next-line no-control-regex
      assert.notMatch(name, /[\u0000-\u001f\u007f/\\:*?"<>|]|^\.|^$/)
      const { parameters, type } = ContentDisposition.parse(ContentDisposition.create(name))
      assert.deepStrictEqual({ type, name: parameters["filename"] }, { type: "attachment", name })
    }),
  runs()
)

it.effect("a download has an ending that says what it is", () =>
  Effect.sync(() => {
    assert.strictEqual(BodyResponse.fileName("Re: plans", "18c", "message/rfc822"), "Re plans.eml")
    assert.strictEqual(BodyResponse.fileName("report.pdf", "x", "application/pdf"), "report.pdf")
    assert.strictEqual(BodyResponse.fileName(null, "docs/a/b.txt", "text/plain; charset=utf-8"), "b.txt")
    assert.strictEqual(BodyResponse.fileName("  ", "", "application/octet-stream"), "content")
    assert.strictEqual(BodyResponse.fileName("../../etc/passwd", "x", "application/octet-stream"), "etc passwd")
    assert.strictEqual(BodyResponse.fileName("\u202egnp.exe", "x", "application/octet-stream"), "gnp.exe")
  })
)

it.effect(
  "a stored type is sent as it is, but for what a page could run or be styled by, and for what is no type",
  () =>
    Effect.sync(() => {
      const same = [
        "image/png",
        "text/html",
        "application/pdf",
        "message/rfc822",
        "application/vnd.ms-excel",
        "image/svg+xml"
      ]
      for (const type of same) assert.strictEqual(BodyResponse.contentType(type), type)
      assert.strictEqual(BodyResponse.contentType('TEXT/HTML; charset="utf-8"'), "text/html; charset=utf-8")
      assert.strictEqual(
        BodyResponse.contentType("text/plain; format=flowed; charset=iso-8859-1"),
        "text/plain; charset=iso-8859-1"
      )
      const binary = [
        null,
        "",
        "html",
        "text/javascript",
        "application/javascript; charset=utf-8",
        "application/x-javascript",
        "application/ecmascript",
        "text/jscript",
        "text/css",
        "application/wasm",
        "text/vbscript",
        "te xt/html",
        "text/html\r\nset-cookie: a=b"
      ]
      for (const type of binary.slice(0, -1))
        assert.strictEqual(BodyResponse.contentType(type), "application/octet-stream", type ?? "null")
      assert.notMatch(BodyResponse.contentType(binary.at(-1) ?? null), /[\r\n]|cookie/)
    })
)

const big = new Uint8Array(5_000_000).map((_, n) => (n * 31 + (n >> 9)) & 255)

it.layer(layer(), live)("bodies", (it) => {
  const stored = Effect.fnUntraced(function* () {
    const { source, url } = yield* TestServer
    const engine = yield* Engine
    source.add("small", { body: new TextEncoder().encode("0123456789") })
    source.add("empty", { body: new Uint8Array() })
    source.add("large/one", { body: Stream.make(big) })
    const connection = yield* TestEngine.connect({ name: "bodies" })
    yield* engine.sync(connection, poll, { spec: "", wait: true })
    return (id: string) => `${url}/connections/bodies/content/body?externalId=${encodeURIComponent(id)}`
  })

  it.effect("a body is returned whole, as a range, or as not modified; always as a download that runs nothing", () =>
    Effect.gen(function* () {
      const at = yield* stored()
      const whole = yield* ask(at("small"))
      const tag = `"${Crypto.createHash("sha256").update("0123456789").digest("hex")}"`
      assert.deepStrictEqual([whole.status, whole.text], [200, "0123456789"])
      const { headers } = whole
      assert.strictEqual(headers.etag, tag)
      assert.strictEqual(headers["accept-ranges"], "bytes")
      assert.strictEqual(headers["content-length"], "10")
      assert.strictEqual(headers["content-type"], "text/plain")
      assert.match(headers["content-disposition"] ?? "", /^inline; filename="title of small\.txt"$/)
      assert.strictEqual(headers["x-content-type-options"], "nosniff")
      assert.strictEqual(headers["cross-origin-resource-policy"], "same-origin")
      assert.match(headers["content-security-policy"]?.toString() ?? "", /^sandbox; default-src 'none'/)

      const part = (range: string, more: Record<string, string> = {}) =>
        ask(at("small"), { headers: { range, ...more } })
      const some = yield* part("bytes=2-4")
      assert.deepStrictEqual(
        [some.status, some.text, some.headers["content-range"], some.headers["content-length"]],
        [206, "234", "bytes 2-4/10", "3"]
      )
      assert.strictEqual((yield* part("bytes=-3")).text, "789")
      assert.strictEqual((yield* part("bytes=7-")).text, "789")
      assert.strictEqual((yield* part("bytes=0-1,4-5")).text, "0123456789")
      const beyond = yield* part("bytes=10-")
      assert.deepStrictEqual([beyond.status, beyond.headers["content-range"]], [416, "bytes */10"])
      assert.strictEqual((yield* part("bytes=2-4", { "if-range": tag })).status, 206)
      assert.strictEqual((yield* part("bytes=2-4", { "if-range": '"another"' })).status, 200)
      assert.strictEqual((yield* part("bytes=2-4", { "if-range": `W/${tag}` })).status, 200)

      const only = (ifMatch: string) => Effect.map(part("bytes=2-4", { "if-match": ifMatch }), ({ status }) => status)
      assert.strictEqual(yield* only(`"x", ${tag}`), 206)
      assert.strictEqual(yield* only("*"), 206)
      assert.strictEqual(yield* only('"x"'), 412)
      assert.strictEqual(yield* only(`W/${tag}`), 412)

      const again = yield* ask(at("small"), { headers: { "if-none-match": `"x", W/${tag}` } })
      assert.deepStrictEqual([again.status, again.text, again.headers.etag], [304, "", tag])
      const head = yield* ask(at("small"), { method: "HEAD", headers: { range: "bytes=2-4" } })
      assert.deepStrictEqual([head.status, head.text, head.headers["content-length"]], [200, "", "10"])
      assert.deepStrictEqual((yield* ask(at("empty"))).bytes.byteLength, 0)
      assert.strictEqual((yield* ask(at("empty"), { headers: { range: "bytes=0-" } })).status, 416)
      assert.strictEqual((yield* ask(at("none"))).status, 404)
      const odd = yield* ask(at("a\0b"))
      assert.strictEqual(odd.status, 400)
    })
  )

  it.effect.prop(
    "the ranges of a large body, put together, are the body",
    [Schema.Array(Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 1, maximum: big.length - 1 }))))],
    ([cuts]) =>
      Effect.gen(function* () {
        const { url } = yield* TestServer
        const edges = [...new Set([0, ...cuts, big.length])].toSorted((a, b) => a - b)
        const parts: Array<Uint8Array> = []
        for (const [index, start] of edges.slice(0, -1).entries()) {
          const end = (edges[index + 1] ?? 0) - 1
          const answer = yield* ask(`${url}/connections/bodies/content/body?externalId=large%2Fone`, {
            headers: { range: `bytes=${start}-${end}` }
          })
          assert.strictEqual(answer.status, 206)
          parts.push(answer.bytes)
        }
        assert.isTrue(Buffer.concat(parts).equals(big))
      }),
    runs(5)
  )
})

it.effect("a type that is not shown comes as a download under its title", () =>
  Effect.gen(function* () {
    const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
    const body = { mediaType: "text/html", hash: "00", size: 0, bytes: () => Stream.empty }
    const { headers } = yield* BodyResponse.answer(request, { title: 'Grüße "x"', externalId: "1" }, body)
    assert.strictEqual(
      headers["content-disposition"],
      `attachment; filename="Gr??e x.html"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20x.html`
    )
  })
)
