/** A server of REST requests, over a network that answers without a socket. */
import * as Effect from "effect/Effect"
import type * as Http from "../../src/contract/HttpRequest.ts"

interface Sent {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly method: string | undefined
  readonly body: unknown
}

export const base = new URL("https://api.example/v1/")

/** A server that answers each request with this response or failure, and a log of the requests. */
export const makeServer = (respond: (sent: Sent) => unknown, more: Partial<Http.HttpServer> = {}) => {
  const log: Array<Sent> = []
  const fetch = async (url: string | URL | Request, init: RequestInit = {}) => {
    const headers = Object.fromEntries(new Headers(init.headers))
    const sent = { url: String(url), headers, method: init.method, body: init.body }
    log.push(sent)
    const response = respond(sent)
    if (!(response instanceof Response)) throw response
    return response
  }
  const network = { addressOf: Effect.succeed, fetch }
  const server: Http.HttpServer = { network, baseUrl: base, headers: { authorization: "Bearer t0ken" }, ...more }
  return { log, server }
}

export const redirect = (location: string, status = 302) => new Response(null, { status, headers: { location } })

export const reasonOf = <A, E extends { readonly reason: unknown }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), ({ reason }) => reason)

export const textOf = (answer: Http.Answer | undefined) => answer && new TextDecoder().decode(answer.bytes)
