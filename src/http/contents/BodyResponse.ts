/**
 * Serves the body of a content: whole, one range, or not modified (RFC 9110, sections 13 and 14).
 *
 * Bodies come from outside and must never run in our origin. They are sent as downloads, except pictures and plain
 * text. They always have a content type that browsers do not guess, a sandbox without scripts, and a policy that lets
 * only our own pages load them. Scripts and style sheets are sent as another type.
 */
import * as ContentDisposition from "content-disposition"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Mime from "effect/http/Mime"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ByteRange } from "../../engine/model/Content.ts"
import { PreconditionFailedProblem, RangeProblem, toResponse } from "../Problems.ts"
import type { Body } from "./ContentLookup.ts"

const binary = "application/octet-stream"

/** Media types that a browser displays. */
const inline: ReadonlySet<string> = new Set([
  "image/avif",
  "image/gif",
  "image/jpeg",
  "image/png",
  "image/webp",
  "text/plain"
])

/** Matches media types that a page could load and run, or take styles from. */
const loadable = /script|^text\/css$|^application\/wasm$|^text\/cache-manifest$/

const token = "[\\w!#$%&'*+.^`|~-]+"
const mediaTypePattern = new RegExp(`^(${token}/${token})(?: *;.*?charset *= *"?(${token})"?)?`, "is")

/** Returns the media type to send for the stored one. */
export const contentType = (stored: string | null): string => {
  const [, given, charset] = mediaTypePattern.exec(stored ?? "") ?? []
  const essence = given?.toLowerCase() ?? binary
  if (loadable.test(essence)) return binary
  return charset === undefined ? essence : `${essence}; charset=${charset}`
}

// oxlint-disable-next-line no-control-regex
const notInNames = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069/\\:*?"<>|]+|\p{Surrogate}/gu

/** Returns the name of the download: the title, or the last part of the id, with an extension for the type. */
export const fileName = (title: string | null, externalId: string, type: string): string => {
  const chosen = title === null || title.trim() === "" ? (externalId.split("/").at(-1) ?? "") : title
  const plain = Array.from(chosen.replace(notInNames, " ").replaceAll(/\s+/g, " "))
    .slice(0, 120)
    .join("")
    .replaceAll(/^[. ]+|[. ]+$/g, "")
  const base = plain === "" ? "content" : plain
  if (/\.[A-Za-z0-9]{1,8}$/.test(base)) return base
  const essence = type.replace(/;.*$/s, "")
  if (essence === "message/rfc822") return `${base}.eml`
  return essence === binary
    ? base
    : `${base}${Option.match(Mime.getExtension(essence), { onNone: () => "", onSome: (ending) => `.${ending}` })}`
}

/**
 * Returns the range that a `Range` header requests, from `start` (inclusive) to `end` (exclusive). Returns
 * `unsatisfiable` if it lies outside of the body. Returns undefined for the whole body, if the header is absent, has
 * another unit, is malformed, or lists several ranges.
 */
export const rangeOf = (header: string | undefined, size: number): ByteRange | "unsatisfiable" | undefined => {
  const [, first = "", last = ""] = /^bytes= *(\d{0,15})-(\d{0,15}) *$/i.exec(header ?? "") ?? []
  if (first === "" && last === "") return undefined
  if (first === "") {
    const length = Math.min(Number(last), size)
    return length === 0 ? "unsatisfiable" : { start: size - length, end: size }
  }
  const start = Number(first)
  if (last !== "" && Number(last) < start) return undefined
  if (start >= size) return "unsatisfiable"
  return { start, end: last === "" ? size : Math.min(Number(last) + 1, size) }
}

/** Returns true if the header lists this entity tag. */
const matches = (header: string, tag: string): boolean =>
  header.trim() === "*" || header.split(",").some((each) => each.trim().replace(/^W\//, "") === tag)

const dispositionOf = (type: string, name: string): string =>
  ContentDisposition.create(name, { type: inline.has(type.replace(/;.*$/s, "")) ? "inline" : "attachment" })

export const answer = Effect.fnUntraced(function* (
  request: HttpServerRequest.HttpServerRequest,
  content: { readonly title: string | null; readonly externalId: string },
  body: Omit<Body, "title">
): Effect.fn.Return<HttpServerResponse.HttpServerResponse> {
  const tag = `"${body.hash}"`
  const { "if-match": ifMatch, "if-none-match": ifNoneMatch, "if-range": ifRange, range: wanted } = request.headers
  const type = contentType(body.mediaType)
  const headers: Headers.Input = {
    "accept-ranges": "bytes",
    "content-disposition": dispositionOf(type, fileName(content.title, content.externalId, type)),
    "content-security-policy": "sandbox; default-src 'none'; frame-ancestors 'self'",
    etag: tag
  }
  // A weak tag never matches here (RFC 9110, section 13.1.1).
  if (ifMatch !== undefined && ifMatch.trim() !== "*" && !ifMatch.split(",").some((each) => each.trim() === tag)) {
    return yield* toResponse(new PreconditionFailedProblem({ detail: `the body has the ETag ${tag} now` }))
  }
  if (ifNoneMatch !== undefined && matches(ifNoneMatch, tag)) {
    return HttpServerResponse.empty({ status: 304, headers })
  }
  // Otherwise the client would combine a range of a changed body with parts of the former one.
  const applies = request.method === "GET" && (ifRange === undefined || ifRange.trim() === tag)
  const range = applies ? rangeOf(wanted, body.size) : undefined
  if (range === "unsatisfiable") {
    return yield* toResponse(new RangeProblem({ size: body.size, detail: `there are ${body.size} bytes` }))
  }
  const { end, start } = range ?? { start: 0, end: body.size }
  const bytes = (range === undefined ? body.bytes() : body.bytes(range)).pipe(
    // The headers have been sent, so the response can only be cut off.
    Stream.tapError(({ message }) => Effect.logWarning(`the response with a body was cut off: ${message}`))
  )
  return HttpServerResponse.stream(bytes, {
    status: range === undefined ? 200 : 206,
    contentType: type,
    contentLength: end - start,
    headers: range === undefined ? headers : { ...headers, "content-range": `bytes ${start}-${end - 1}/${body.size}` }
  })
})
