/** Reads the bytes of Slack's files. Follows redirects, and detects a page that Slack sends instead of the file. */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import { Forbidden, Gone, type IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import { detail, fail, httpStatus, limited, tooLarge } from "./Errors.ts"

/** The properties of a file that `files.info` announced. */
export interface FileInfo {
  readonly id: string
  readonly url: string
  readonly mediaType: string | undefined
}

/** Enterprise Grid sends one redirect, to `files-origin.slack.com` (hermes-agent#114483, goclaw#233). */
const maxRedirects = 3

/**
 * Reads files. The token is sent only to URLs that `takesToken` allows. Fails with `TooLarge` before the body is read.
 */
export const make = (options: {
  readonly auth: AccessToken
  readonly call: Call
  readonly fetch: typeof globalThis.fetch
  readonly takesToken: (url: string) => boolean
}) => {
  const { takesToken } = options

  /** Requests a file's URL, and follows redirects. The token is sent only to allowed URLs. */
  const follow = (id: string, url: string, token: Redacted.Redacted) =>
    Effect.gen(function* () {
      let at = url
      for (let redirects = 0; redirects <= maxRedirects; redirects += 1) {
        const to = at
        const response = yield* Effect.tryPromise({
          try: (signal) =>
            options.fetch(to, {
              signal,
              redirect: "manual",
              headers: takesToken(to) ? { authorization: `Bearer ${Redacted.value(token)}` } : {}
            }),
          catch: (error) =>
            fail(new Transient({ message: `file ${id}: ${error instanceof Error ? detail(error) : "failed"}` }))
        })
        const location = response.headers.get("location")
        if (response.status < 300 || response.status >= 400 || location === null) return response
        yield* discard(response)
        const next = URL.parse(location, to)
        const isSafe = next?.protocol === "https:" || (next?.protocol === "http:" && to.startsWith("http:"))
        if (next === null || !isSafe) {
          return yield* fail(new Forbidden({ message: `file ${id}: redirected to an address that is not https` }))
        }
        at = next.href
      }
      return yield* fail(new Forbidden({ message: `file ${id}: more than ${maxRedirects} redirects` }))
    })

  const open = (file: FileInfo, maxSize: number, token: Redacted.Redacted) =>
    Effect.flatMap(follow(file.id, file.url, token), (response) => {
      const { id } = file
      const refuse = (error: IntegrationError) => Effect.andThen(discard(response), Effect.fail(error))
      const { status } = response
      if (status === 404 || status === 410) return refuse(fail(new Gone({ message: `file ${id}: HTTP ${status}` })))
      if (status === 401 || status === 403 || (status >= 300 && status < 400)) {
        return refuse(fail(new Forbidden({ message: `file ${id}: HTTP ${status}; is the scope files:read granted?` })))
      }
      if (status === 429) {
        const seconds = Number.parseInt(response.headers.get("retry-after") ?? "", 10)
        return refuse(fail(limited(`file ${id}: ratelimited`, Number.isNaN(seconds) ? undefined : seconds)))
      }
      if (status !== 200) return refuse(httpStatus(`file ${id}`, status))
      const page = pageInstead(file.mediaType, response.headers.get("content-type"))
      if (page !== undefined) {
        const message = `file ${id}: Slack answered with ${page} instead of the file; is the scope files:read granted?`
        return refuse(fail(new Forbidden({ message })))
      }
      const length = Number(response.headers.get("content-length") ?? Number.NaN)
      return length > maxSize ? refuse(tooLarge(id, length, maxSize)) : Effect.succeed(response)
    })

  return (file: FileInfo, maxSize: number): Stream.Stream<Uint8Array, IntegrationError> =>
    Stream.unwrap(
      Effect.map(
        Effect.flatMap(options.auth.token, (token) => options.call("files.download", 1, open(file, maxSize, token))),
        ({ body }) => {
          if (body === null) return Stream.empty
          let size = 0
          return Stream.fromReadableStream({
            evaluate: () => body,
            onError: () => fail(new Transient({ message: `file ${file.id}: the connection broke` }))
          }).pipe(
            Stream.mapEffect((chunk) => {
              size += chunk.length
              return size > maxSize ? Effect.fail(tooLarge(file.id, size, maxSize)) : Effect.succeed(chunk)
            })
          )
        }
      )
    )
}

const discard = (response: Response) =>
  Effect.promise(() => response.body?.cancel().catch(() => {}) ?? Promise.resolve())

/**
 * Returns the media type of a page that Slack sent instead of a file; undefined for the file itself. Slack's sign-in
 * page is HTML with status 200 (deno-slack-sdk#285, bolt-js#2585), its errors are JSON. Canvases and posts are HTML or
 * JSON themselves (slackdump#401).
 */
const pageInstead = (announced: string | undefined, answered: string | null): string | undefined => {
  const type = answered?.split(";")[0]?.trim().toLowerCase()
  if (type !== "text/html" && type !== "application/json") return undefined
  const isDocument = announced?.startsWith("application/vnd.slack-docs") === true
  return isDocument || announced?.toLowerCase() === type ? undefined : type
}
