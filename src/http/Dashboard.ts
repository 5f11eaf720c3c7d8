/**
 * The dashboard: one page at `/` and the files that it names under `/assets/`, as `npm run prepare` built them
 * (`dashboard/Build.ts`). They are read when the server starts. A name holds the hash of its file, so a browser asks for
 * it once; the page is asked for each time, and sent again only where it has changed.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Crypto from "node:crypto"
import * as Path from "node:path"
import { NotFoundProblem, toResponse } from "./Problems.ts"

const folder = Path.join(import.meta.dirname, "dashboard", "dist")

const mediaTypes: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml"
}

/** A file as it is and as it is sent compressed, best first. */
interface Built {
  readonly mediaType: string
  readonly tag: string
  readonly plain: Uint8Array
  readonly compressed: ReadonlyArray<{ readonly encoding: "br" | "gzip"; readonly bytes: Uint8Array }>
}

const read = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const plain = yield* files.readFile(path)
  const built: Built = {
    mediaType: mediaTypes[Path.extname(path)] ?? "application/octet-stream",
    tag: Crypto.createHash("sha256").update(plain).digest("base64url").slice(0, 22),
    plain,
    compressed: [
      { encoding: "br", bytes: yield* files.readFile(`${path}.br`) },
      { encoding: "gzip", bytes: yield* files.readFile(`${path}.gz`) }
    ]
  }
  return built
})

/** The page and the files that it names, or undefined where they have not been built. */
const bundle = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const page = yield* read(Path.join(folder, "index.html"))
  const names = yield* files.readDirectory(Path.join(folder, "assets"))
  const assets = new Map<string, Built>()
  for (const name of names) {
    if (mediaTypes[Path.extname(name)] !== undefined) assets.set(name, yield* read(Path.join(folder, "assets", name)))
  }
  return { page, assets }
}).pipe(Effect.catchTag("PlatformError", () => Effect.undefined))

/** Whether this content coding may be sent (RFC 9110, section 12.5.3). */
const accepts = (header: string, coding: string): boolean =>
  header.split(",").some((each) => {
    const [name = "", ...parameters] = each.split(";").map((part) => part.trim().toLowerCase())
    return name === coding && !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter))
  })

const answer = (request: HttpServerRequest.HttpServerRequest, file: Built, cacheControl: string) => {
  const { "accept-encoding": wanted = "", "if-none-match": known = "" } = request.headers
  const chosen = file.compressed.find(({ encoding }) => accepts(wanted, encoding))
  const etag = `"${file.tag}${chosen === undefined ? "" : `-${chosen.encoding}`}"`
  const headers = { "cache-control": cacheControl, etag, vary: "accept-encoding" }
  if (known.split(",").some((each) => each.trim().replace(/^W\//, "") === etag)) {
    return HttpServerResponse.empty({ status: 304, headers })
  }
  return HttpServerResponse.uint8Array(chosen?.bytes ?? file.plain, {
    contentType: file.mediaType,
    headers: chosen === undefined ? headers : { ...headers, "content-encoding": chosen.encoding }
  })
}

const howToBuild = "The dashboard has not been built here: run `npm run prepare` and start the server again."

export const layer: Layer.Layer<never, never, HttpRouter.HttpRouter | FileSystem.FileSystem> = HttpRouter.use(
  Effect.fnUntraced(function* (router) {
    const built = yield* bundle
    if (built === undefined) {
      yield* Effect.logWarning(howToBuild)
      const missing = HttpServerResponse.text(`${howToBuild}\nThe HTTP API works without it: see /reference.\n`, {
        status: 503
      })
      yield* router.add("GET", "/", missing)
      return
    }
    const page = Effect.map(HttpServerRequest.HttpServerRequest, (request) => answer(request, built.page, "no-cache"))
    yield* router.add("GET", "/", page)
    yield* router.add(
      "GET",
      "/assets/:name",
      Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        const { name = "" } = yield* HttpRouter.params
        const file = built.assets.get(name)
        if (file === undefined) {
          // Of another version, as a page that was left open names it.
          return yield* toResponse(
            new NotFoundProblem({ what: "path", detail: "there is no such file: load the page again" })
          )
        }
        return answer(request, file, "public, max-age=31536000, immutable")
      })
    )
    const icon = [...built.assets].find(([name]) => name.startsWith("icon-"))?.[1]
    if (icon === undefined) return
    yield* router.add(
      "GET",
      "/favicon.ico",
      Effect.map(HttpServerRequest.HttpServerRequest, (request) => answer(request, icon, "public, max-age=86400"))
    )
  })
)
