/**
 * Serves files that do not change while the server runs. They have an ETag, and are sent compressed if the client
 * accepts that.
 */
import * as Effect from "effect/Effect"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Crypto from "node:crypto"
import * as Util from "node:util"
import * as Zlib from "node:zlib"

interface Compressed {
  readonly encoding: "br" | "gzip"
  readonly bytes: Uint8Array
}

/** A file with its compressed forms, the best one first. */
export interface StaticFile {
  readonly mediaType: string
  readonly tag: string
  readonly plain: Uint8Array
  readonly compressed: ReadonlyArray<Compressed>
}

export const make = (
  mediaType: string,
  plain: Uint8Array,
  { br, gzip }: { readonly br: Uint8Array; readonly gzip: Uint8Array }
): StaticFile => ({
  mediaType,
  tag: Crypto.createHash("sha256").update(plain).digest("base64url").slice(0, 22),
  plain,
  compressed: [
    { encoding: "br", bytes: br },
    { encoding: "gzip", bytes: gzip }
  ]
})

const brotli = Util.promisify(Zlib.brotliCompress)
const gzip = Util.promisify(Zlib.gzip)

/** Compresses a generated text at run time: faster and less than a build does, because a client waits. */
export const compress = (mediaType: string, text: string): Effect.Effect<StaticFile> =>
  Effect.promise(async () => {
    const plain = new TextEncoder().encode(text)
    const params = { [Zlib.constants.BROTLI_PARAM_QUALITY]: 5 }
    const [br, gz] = await Promise.all([brotli(plain, { params }), gzip(plain)])
    return make(mediaType, plain, { br, gzip: gz })
  })

/** Returns true if the client accepts this content coding (RFC 9110, section 12.5.3). */
const accepts = (header: string, coding: string): boolean =>
  header.split(",").some((each) => {
    const [name = "", ...parameters] = each.split(";").map((part) => part.trim().toLowerCase())
    return name === coding && !parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter))
  })

/** Responds with the file, or with 304 if the client already has it. */
export const answer = (
  file: StaticFile,
  cacheControl: string
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, HttpServerRequest.HttpServerRequest> =>
  Effect.map(HttpServerRequest.HttpServerRequest, ({ headers: asked }) => {
    const { "accept-encoding": wanted = "", "if-none-match": known = "" } = asked
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
  })
