import { Agent, fetch as undiciFetch } from "@effect/platform-node/Undici"

const agent = new Agent({ pipelining: 0 })

/**
 * Runs `fetch` on a new connection for each request. The server may close a reused connection at the moment at which a
 * request is sent. `fetch` then fails without a retry, and on a busy machine a test that changes a source with it would
 * fail too.
 */
export const fetch: typeof globalThis.fetch = async (input, init) => {
  // The agent is from another library than Node's `fetch`, so that only plain values can be passed between them.
  const request = new Request(input, init)
  const { headers, method, redirect, signal, url } = request
  const body = request.body === null ? null : await request.arrayBuffer()
  return undiciFetch(url, { body, dispatcher: agent, headers: [...headers], method, redirect, signal })
}
