/**
 * `fetch` on a connection of its own. A connection that is kept open may be closed by the server at the moment at which
 * the next request is sent, and `fetch` then fails without a second try: a test that changes a source by it would fail
 * with it, on a busy machine.
 */
export const fetch: typeof globalThis.fetch = (input, init = {}) => {
  const headers = new Headers(init.headers)
  headers.set("connection", "close")
  return globalThis.fetch(input, { ...init, headers })
}
