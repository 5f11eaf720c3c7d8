/**
 * Makes requests with undici, in two ways. `options` makes the clients of googleapis use it, because their own
 * `node-fetch` takes more than twice the processor time a request. `get` makes requests without a client, which would
 * take half of that time again to prepare a request.
 *
 * Both behave like `node-fetch`: they follow redirects, without the Authorization header to another origin; decompress
 * responses; and use the proxies of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
 */
import type { gmail_v1 } from "googleapis/build/src/apis/gmail/index.js"
import type { IncomingHttpHeaders } from "node:http"
import { Readable } from "node:stream"
import { direct, type Network } from "../../contract/Network.ts"
import * as Response from "./Response.ts"

type Adapter = NonNullable<gmail_v1.Options["adapter"]>

/** The same number of redirects as the clients follow. */
const maxRedirections = 20

/** Loaded by the first request, so that commands start faster. All requests of the process share its agent. */
const load = async () => {
  const { default: undici } = await import("@effect/platform-node/Undici")
  const { EnvHttpProxyAgent, interceptors, request } = undici
  // HTTP/1.1 only: with HTTP/2, one broken connection would break all requests in flight.
  const dispatcher = new EnvHttpProxyAgent({ allowH2: false }).compose(
    interceptors.decompress({ skipErrorResponses: false }),
    interceptors.redirect({ maxRedirections, throwOnMaxRedirect: true })
  )
  return { dispatcher, request }
}
let loaded: ReturnType<typeof load> | undefined

/** Returns the value of a JSON text, or the text itself if it is not JSON. */
export const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

const headersOf = (headers: IncomingHttpHeaders): Headers => {
  const lines = Object.entries(headers).flatMap(([name, value = []]) => [value].flat().map((each) => [name, each]))
  return new Headers(lines as Array<[string, string]>)
}

const adapter: Adapter = async (config) => {
  const { dispatcher, request } = await (loaded ??= load())
  const { body, headers, statusCode, statusText } = await request(config.url, {
    dispatcher,
    method: (config.method ?? "GET") as "GET",
    headers: config.headers,
    signal: config.signal ?? null
  })
  const isJson = String(headers["content-type"]).includes("application/json")
  const data = config.responseType === "stream" ? body : isJson ? parsed(await body.text()) : await body.text()
  const ok = statusCode >= 200 && statusCode < 300
  const response = {
    config,
    data,
    // Only an error of the client reads them as `Headers`.
    headers: ok ? headers : headersOf(headers),
    ok,
    status: statusCode,
    statusText,
    // An error of the client contains `data` only if this is true.
    bodyUsed: true
  }
  // The client reads no other fields of a `Response`.
  return response as never
}

/** Returns the options of a client whose requests use this network. */
export const options = (network: Network) => (network === direct ? { adapter } : { fetchImplementation: network.fetch })

/** Makes a GET request. Rejects if no response begins, or if a small body breaks off. */
export type Get = (
  url: URL,
  options: { readonly headers: Readonly<Record<string, string>>; readonly signal: AbortSignal }
) => Promise<Response.Response>

/**
 * Google compresses responses if both headers ask for it
 * (https://developers.google.com/workspace/gmail/api/guides/performance).
 */
const compressed = { "Accept-Encoding": "gzip", "User-Agent": "Idem (gzip)" }

/** Makes requests through this network, without a client. */
export const get = (network: Network): Get =>
  network === direct
    ? async (url, { headers, signal }) =>
        Response.receive((await (loaded ??= load())).dispatcher, url, {
          headers: { ...compressed, ...headers },
          signal
        })
    : async (url, { headers, signal }) => {
        const response = await network.fetch(url, { headers: { ...compressed, ...headers }, signal })
        return Response.of(response, response.body === null ? Readable.from([]) : Readable.fromWeb(response.body))
      }
