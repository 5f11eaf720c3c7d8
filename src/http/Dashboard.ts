/**
 * The dashboard: one page at `/` and its files under `/assets/`, as `npm run prepare` built them
 * (`dashboard/Build.ts`). They are read when the server starts. File names contain hashes, so a browser requests a file
 * once. It requests the page each time, and receives it again only if it has changed.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Path from "node:path"
import { NotFoundProblem, toResponse } from "./Problems.ts"
import * as StaticFile from "./StaticFile.ts"

const folder = Path.join(import.meta.dirname, "dashboard", "dist")

const mediaTypes: Readonly<Record<string, string>> = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml"
}

const read = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const mediaType = mediaTypes[Path.extname(path)] ?? "application/octet-stream"
  return StaticFile.make(mediaType, yield* files.readFile(path), {
    br: yield* files.readFile(`${path}.br`),
    gzip: yield* files.readFile(`${path}.gz`)
  })
})

/** Reads the page and its files; undefined if they have not been built. */
const bundle = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const page = yield* read(Path.join(folder, "index.html"))
  const names = yield* files.readDirectory(Path.join(folder, "assets"))
  const assets = new Map<string, StaticFile.StaticFile>()
  for (const name of names) {
    if (mediaTypes[Path.extname(name)] !== undefined) assets.set(name, yield* read(Path.join(folder, "assets", name)))
  }
  return { page, assets }
}).pipe(Effect.catchTag("PlatformError", () => Effect.undefined))

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
    yield* router.add("GET", "/", StaticFile.answer(built.page, "no-cache"))
    yield* router.add(
      "GET",
      "/assets/:name",
      Effect.gen(function* () {
        const { name = "" } = yield* HttpRouter.params
        const file = built.assets.get(name)
        if (file === undefined) {
          // A page of an older version that is still open may request this file.
          return yield* toResponse(
            new NotFoundProblem({ what: "path", detail: "there is no such file: load the page again" })
          )
        }
        return yield* StaticFile.answer(file, "public, max-age=31536000, immutable")
      })
    )
    const icon = [...built.assets].find(([name]) => name.startsWith("icon-"))?.[1]
    if (icon === undefined) return
    yield* router.add("GET", "/favicon.ico", StaticFile.answer(icon, "public, max-age=86400"))
  })
)
