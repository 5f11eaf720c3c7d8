/** Serving of the dashboard's files. Their behaviour is tested in a browser (test/dashboard). */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Zlib from "node:zlib"
import { layer, TestServer } from "../support/HttpServer.ts"

const live = { excludeTestServices: true } as const

/** Returns the files that the page references. */
const named = (page: string): ReadonlyArray<string> =>
  [...page.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map(([, path = ""]) => path)

it.layer(layer(), live)("the dashboard's files", (it) => {
  it.effect("the page is asked for each time, and sent again only where it has changed", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const page = yield* ask("/")
      assert.strictEqual(page.status, 200)
      assert.match(String(page.headers["content-type"]), /^text\/html/)
      assert.strictEqual(page.headers["cache-control"], "no-cache")
      assert.match(String(page.headers["content-security-policy"]), /script-src 'self'; style-src 'self'/)
      // The page contains nothing that such a policy would block.
      assert.notMatch(page.text, /<style|\sstyle=|\son\w+=|<script(?![^>]*src=)|https?:/)
      const again = yield* ask("/", { headers: { "if-none-match": page.headers.etag ?? "" } })
      assert.deepStrictEqual([again.status, again.text], [304, ""])
    })
  )

  it.effect("scripts and styles are kept for good by a browser, compressed as it can read them, and small", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      const paths = named((yield* ask("/")).text)
      assert.deepStrictEqual(paths.map((path) => path.replace(/-\w+(?=\.\w+$)/, "")).toSorted(), [
        "/assets/icon.svg",
        "/assets/main.js",
        "/assets/style.css"
      ])
      let scripts = 0
      for (const path of paths) {
        const plain = yield* ask(path)
        const brotli = yield* ask(path, { headers: { "accept-encoding": "gzip, deflate, br" } })
        const gzip = yield* ask(path, { headers: { "accept-encoding": "br;q=0, gzip" } })
        assert.strictEqual(plain.headers["content-encoding"], undefined)
        assert.deepStrictEqual(
          [brotli, gzip].map(({ headers }) => headers["content-encoding"]),
          ["br", "gzip"]
        )
        assert.isTrue(Zlib.brotliDecompressSync(brotli.bytes).equals(plain.bytes), path)
        assert.isTrue(Zlib.gunzipSync(gzip.bytes).equals(plain.bytes), path)
        assert.strictEqual(new Set([plain, brotli, gzip].map(({ headers }) => headers.etag)).size, 3)
        for (const { headers } of [plain, brotli, gzip]) {
          assert.match(String(headers["cache-control"]), /max-age=31536000, immutable/)
          assert.strictEqual(headers.vary, "accept-encoding")
        }
        if (path.endsWith(".js")) scripts += gzip.bytes.length
      }
      assert.isBelow(scripts, 100_000)
    })
  )

  it.effect("a file of another version is not there, and says what to do", () =>
    Effect.gen(function* () {
      const { ask } = yield* TestServer
      for (const path of ["/assets/main-OLD.js", "/assets/..%2findex.html", "/assets/index.html"]) {
        const { json, status } = yield* ask(path)
        assert.strictEqual(status, 404, path)
        assert.match((json as { detail: string }).detail, /load the page again/)
      }
    })
  )
})
