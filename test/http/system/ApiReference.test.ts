import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Zlib from "node:zlib"
import { layer, TestServer } from "../../support/HttpServer.ts"

it.layer(layer(), { excludeTestServices: true })("the reference's files", (it) => {
  it.effect("come compressed to who takes that, and only once while they stay as they are", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      for (const path of ["/reference", "/reference/style.css", "/reference/script.js"]) {
        const plain = yield* ask(path)
        const brotli = yield* ask(path, { headers: { "accept-encoding": "gzip, deflate, br" } })
        const gzip = yield* ask(path, { headers: { "accept-encoding": "gzip" } })
        assert.deepStrictEqual(
          [plain, brotli, gzip].map(({ headers }) => headers["content-encoding"]),
          [undefined, "br", "gzip"]
        )
        assert.isTrue(Zlib.brotliDecompressSync(brotli.bytes).equals(plain.bytes), path)
        assert.isTrue(Zlib.gunzipSync(gzip.bytes).equals(plain.bytes), path)
        const again = yield* ask(path, {
          headers: { "accept-encoding": "gzip", "if-none-match": gzip.headers.etag ?? "" }
        })
        assert.deepStrictEqual([again.status, again.text], [304, ""])
      }
      const script = yield* ask("/reference/script.js", { headers: { "accept-encoding": "br" } })
      assert.isBelow(script.bytes.length, 600_000)
    })
  )
})
