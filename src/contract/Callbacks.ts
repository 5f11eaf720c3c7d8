/**
 * Callbacks: requests by which a provider tells of changes (`POST /events/DOMAIN` of the HTTP API). They become hints.
 * The route is public, so an integration accepts only what its provider has signed.
 */
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { Hint } from "./Hints.ts"

export interface Callback {
  /** By name, in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body as it was sent, at most 1 MB. */
  readonly body: string
  /** The secrets of the settings (`IDEM_DOMAIN_SIGNING_SECRET`), one for each app; never empty. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** Milliseconds since 1970. */
  readonly now: number
}

export interface Received {
  /** With the accounts that they are for: a hint without an account goes nowhere. */
  readonly hints: ReadonlyArray<Hint>
  /** The body of the response. Default: none. */
  readonly answer?: Schema.Json | undefined
}
