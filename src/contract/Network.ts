/** How an integration reaches its source. */
import * as Effect from "effect/Effect"
import type { IntegrationError } from "./IntegrationError.ts"

/**
 * The only way to connect to a source. A connection that was created over HTTP gets a network that connects only to
 * public addresses and to those of `IDEM_SOURCE_ALLOW`, checked at every request and every redirect. So a client of the
 * API cannot reach, through Idem, addresses that only Idem can reach.
 */
export interface Network {
  /**
   * The same as the global `fetch`, but fails for an address that is not allowed, with an error whose cause has
   * `refusedCode`.
   */
  readonly fetch: typeof globalThis.fetch
  /**
   * Returns the address to connect a socket to for this host: the host itself, or an address that was checked. Pass the
   * host's name to TLS as `servername`. Fails with `Forbidden` if connections to the host are not allowed.
   */
  readonly addressOf: (host: string) => Effect.Effect<string, IntegrationError>
}

/** The code of the error for an address that is not allowed. Its message says why, and which setting allows it. */
export const refusedCode = "ADDRESS_REFUSED"

/** A network without restrictions. */
export const direct: Network = {
  fetch: (...request) => globalThis.fetch(...request),
  addressOf: Effect.succeed
}
