import { Agent, fetch as undiciFetch } from "@effect/platform-node/Undici"

const agent = new Agent({ pipelining: 0 })

/**
 * `fetch` on a new connection for each request. A connection that others used before may be closed by the server at the
 * moment at which the request is sent, and `fetch` then fails without a second try: a test that changes a source by it
 * would fail with it, on a busy machine.
 */
export const fetch: typeof globalThis.fetch = async (input, init) => {
  // The agent is of another library than Node's `fetch`: what they share is plain values.
  const request = new Request(input, init)
  const { headers, method, redirect, signal, url } = request
  const body = request.body === null ? null : await request.arrayBuffer()
  return undiciFetch(url, { body, dispatcher: agent, headers: [...headers], method, redirect, signal })
}
