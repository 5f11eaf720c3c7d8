import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Zlib from "node:zlib"
import * as Browser from "../../dashboard/Browser.ts"
import { skips } from "../../support/Requirement.ts"
import { layer, TestServer, token } from "../../support/HttpServer.ts"

it.layer(layer({ env: { IDEM_API_TOKEN: token } }), { excludeTestServices: true })(
  "the reference in a browser",
  (it) => {
    it.effect.skipIf(skips("the reference's test", Browser.missing))(
      "shows every endpoint, asks one, and needs nothing that its policy forbids or that is elsewhere",
      () =>
        Effect.gen(function* () {
          const { url } = yield* TestServer
          const browser = yield* Effect.acquireRelease(Effect.promise(Browser.launch), (open) =>
            Effect.promise(() => open.close())
          )
          const { asked, context, errors, page } = yield* Effect.promise(() => Browser.open(browser))
          yield* Effect.promise(async () => {
            await context.request.post(`${url}/session`, { data: { token } })
            await page.goto(`${url}/reference`)
            const list = page.locator(".opblock-get").filter({ has: page.locator(`[data-path="/connections"]`) })
            await list.locator(".opblock-summary-control").click()
            await page.getByRole("button", { name: "Try it out" }).click()
            await page.getByRole("button", { name: "Execute" }).click()
            await page.locator(".live-responses-table").getByText('"connections": []').waitFor()
          })
          assert.isAbove(yield* Effect.promise(() => page.locator(".opblock").count()), 30)
          // The page follows the theme, and links back.
          yield* Effect.promise(() => page.emulateMedia({ colorScheme: "dark" }))
          const background = yield* Effect.promise(() =>
            page.evaluate("getComputedStyle(document.body).backgroundColor")
          )
          assert.strictEqual(background, "rgb(17, 20, 24)")
          assert.strictEqual(
            yield* Effect.promise(() => page.getByRole("link", { name: "Back to Idem" }).getAttribute("href")),
            "/"
          )
          assert.deepStrictEqual(
            asked.filter((address) => !address.startsWith(url) && !address.startsWith("data:")),
            []
          )
          assert.deepStrictEqual(errors, [])
        })
    )
  }
)

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
