/**
 * Hints: messages from a source that something has changed. A hint brings the next poll forward and names the place to
 * look at. The poll then asks the source: a hint is never proof. A hint that is lost, doubled or forged costs latency
 * or one poll, never data.
 *
 * - `Definition.hints` gives a stream of hints. `idem serve` holds it open while this process owns the connection, and
 *   opens it again, with back-off, when it ends or fails.
 * - The engine gathers hints for a moment, then runs a poll. `list` reads in `Parts.hinted` which parts were hinted,
 *   and lists those first.
 * - A stream emits a hint as soon as it listens, because it does not report earlier changes: after an interruption,
 *   this hint causes a poll that looks everywhere.
 *
 * Callbacks are requests with which a provider reports changes (`POST /events/DOMAIN` of the HTTP API). They become
 * hints. The route is public, so an integration accepts only callbacks that its provider has signed.
 */
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"

/** The most hinted parts that one poll is given. If more parts are hinted, the next poll looks everywhere. */
export const maxHinted = 1000

export interface Hint {
  /**
   * The part that changed, named as `list` understands it: a mailbox, a channel, one message. The rules of external ids
   * apply. Absent: anything may have changed.
   */
  readonly part?: string | undefined
  /**
   * The account of the change: the hint is for every connection of the integration whose account is this text, or
   * begins with it and a `/`. For streams that carry the events of several accounts. Absent: the hint is for the
   * connection that listens.
   */
  readonly account?: string | undefined
}

/** The hints since the last poll. */
export interface Hinted {
  /**
   * The hinted parts, each once. One slice gets them, and the next slice gets them again if that one commits nothing: a
   * listing that does not reach all of them within a slice keeps the rest in its checkpoint.
   */
  readonly parts: ReadonlyArray<string>
  /** True if only hints caused this poll: nothing else is due, so listing the hinted parts is enough. */
  readonly only: boolean
  /**
   * True if the connection's own stream has listened without interruption since before the last poll that looked
   * everywhere: `list` may look less often at parts that were not hinted.
   */
  readonly isListening: boolean
}

/** No hints, from a connection without an open stream. */
export const noHints: Hinted = { parts: [], only: false, isListening: false }

/** A request in which a provider reports changes. */
export interface Callback {
  /** The headers by name, in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body as it was sent, at most 1 MB. */
  readonly body: string
  /** The signing secrets from the settings (`IDEM_DOMAIN_SIGNING_SECRET`), one for each app; never empty. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** The time now, in milliseconds since 1970. */
  readonly now: number
}

/** The hints of a callback, and the body of the response to it. */
export interface Received {
  /** The hints, each with its account: a hint without an account is ignored. */
  readonly hints: ReadonlyArray<Hint>
  /** The body of the response. Default: none. */
  readonly answer?: Schema.Json | undefined
}
