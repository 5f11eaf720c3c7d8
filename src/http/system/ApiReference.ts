/**
 * Serves the API's document at `/openapi.json`, and a page to browse it at `/reference`. The page is the toolkit's
 * Swagger UI. Its inline script and style become separate files, because our policy forbids inline ones.
 */
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpApiSwagger from "effect/http-api/HttpApiSwagger"
import * as Layer from "effect/Layer"
import { Api } from "../Api.ts"
import * as StaticFile from "../StaticFile.ts"

const decoder = new TextDecoder()

/** Returns the page as the toolkit would serve it. */
const whole = Effect.gen(function* () {
  const router = yield* HttpRouter.make
  yield* Layer.build(
    Layer.provide(HttpApiSwagger.layer(Api, { path: "/" }), Layer.succeed(HttpRouter.HttpRouter, router))
  )
  const request = HttpServerRequest.fromWeb(new Request("http://localhost/"))
  const { body } = yield* Effect.provideService(router.asHttpEffect(), HttpServerRequest.HttpServerRequest, request)
  return body._tag === "Uint8Array" ? decoder.decode(body.body) : ""
}).pipe(Effect.scoped, Effect.orDie)

const styleTag = /<style>(.*?)<\/style>/s
const scriptTag = /<script>(.*)<\/script>\s*<\/body>/s

const back = `<p class="back"><a href="/">← Back to Idem</a></p>`

/** Swagger UI has only a light theme: its colours are inverted for browsers that prefer a dark one. */
const ownStyle = `
.back { margin: 0; padding: 12px 20px; font: 16px system-ui, sans-serif; }
.back a { color: #1d4ed8; }
@media (prefers-color-scheme: dark) {
  html { background: #111418; color-scheme: dark; }
  body { background: #111418; }
  .back a { color: #93c5fd; }
  .swagger-ui { filter: invert(88%) hue-rotate(180deg); }
  .swagger-ui .microlight { filter: invert(100%) hue-rotate(180deg); }
}
`

/** Splits the page into the page itself, its style and its script. */
const parts = Effect.flatMap(whole, (html) => {
  const style = styleTag.exec(html)?.[1]
  const script = scriptTag.exec(html)?.[1]
  if (style === undefined || script === undefined) return Effect.die(new Error("the reference page has another form"))
  const page = html
    .replace(styleTag, () => `<link rel="stylesheet" href="/reference/style.css" />`)
    .replace(/<body[^>]*>/, (body) => `${body}${back}`)
    .replace(scriptTag, () => `<script src="/reference/script.js"></script></body>`)
  return Effect.all(
    {
      page: StaticFile.compress("text/html; charset=utf-8", page),
      style: StaticFile.compress("text/css; charset=utf-8", `${style}${ownStyle}`),
      script: StaticFile.compress("text/javascript; charset=utf-8", script)
    },
    { concurrency: "unbounded" }
  )
})

export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter> = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    // Made on demand, because it is large and rarely requested.
    const made = yield* Effect.cached(parts)
    const file = (part: "page" | "style" | "script") =>
      Effect.flatMap(made, (all) => StaticFile.answer(all[part], "no-cache"))
    yield* router.add("GET", "/reference", file("page"))
    yield* router.add("GET", "/reference/style.css", file("style"))
    yield* router.add("GET", "/reference/script.js", file("script"))
  })
)
