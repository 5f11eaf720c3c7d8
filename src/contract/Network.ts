/** How an integration reaches its source. */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "./IntegrationError.ts"

/**
 * The only way to a source. A connection that was made over HTTP gets a network that connects only to public addresses
 * and to those of `IDEM_SOURCE_ALLOW`, at every request and every redirect. So a client of the API cannot reach,
 * through Idem, addresses that only Idem can reach.
 */
export interface Network {
  /** As the global `fetch`. An address that is not allowed fails it with an error whose cause has `refusedCode`. */
  readonly fetch: typeof globalThis.fetch
  /**
   * The address that a socket connects to for this host: the host itself, or an address that was checked. Give the
   * host's name to TLS as `servername` beside it. Fails with `Forbidden` if connections to the host are not allowed.
   */
  readonly addressOf: (host: string) => Effect.Effect<string, IntegrationError>
}

/** The code of the error for an address that is not allowed. Its message says why, and which setting allows it. */
export const refusedCode = "ADDRESS_REFUSED"

/** Restricts nothing. */
export const direct: Network = {
  fetch: (...request) => globalThis.fetch(...request),
  addressOf: Effect.succeed
}
