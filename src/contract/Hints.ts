/**
 * Hints: messages from a source that something has changed. A hint brings the next poll forward and says where to look.
 * The poll then asks the source: a hint is never proof. A hint that is lost, doubled or forged costs latency or one
 * poll, never data.
 *
 * - `Definition.hints` gives a stream of hints. `idem serve` holds it open while this process owns the connection, and
 *   opens it again, with back-off, when it ends or fails.
 * - The engine gathers hints for a moment, then runs a poll. `list` reads in `Parts.hinted` which parts were hinted,
 *   and lists those first.
 * - A stream begins with a hint as soon as it listens. Changes before that were not told: a stream that was interrupted
 *   is followed by a poll that looks everywhere.
 *
 * Callbacks are requests by which a provider tells of changes (`POST /events/DOMAIN` of the HTTP API). They become
 * hints. The route is public, so an integration accepts only what its provider has signed.
 */
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"

/** The most parts that one poll is given. If more are hinted, the next poll looks everywhere. */
export const maxHinted = 1000

export interface Hint {
  /**
   * The name of what changed, as `list` understands it: a mailbox, a channel, one message. The rules of external ids
   * hold. Absent: anything may have changed.
   */
  readonly part?: string | undefined
  /**
   * The accounts that are concerned: every connection of the integration whose account is this text, or begins with it
   * and a `/`. Absent: the connection that listens. For streams that carry the events of several accounts.
   */
  readonly account?: string | undefined
}

/** The hints since the last poll. */
export interface Hinted {
  /**
   * The parts that were hinted, each once. They are given to one slice, and again if that slice commits nothing: a
   * listing that does not get to all of them within a slice keeps the others in its checkpoint.
   */
  readonly parts: ReadonlyArray<string>
  /** True if hints alone brought this poll forward: nothing else is due, so that only these parts need be listed. */
  readonly only: boolean
  /**
   * True if the connection's own stream has listened without interruption since before the last poll that looked
   * everywhere: places that were not hinted may be looked at less often.
   */
  readonly isListening: boolean
}

/** Nothing was hinted, and nothing listens. */
export const noHints: Hinted = { parts: [], only: false, isListening: false }

/** A request of a provider. */
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

/** The hints of a callback, and its answer. */
export interface Received {
  /** With the accounts that they are for: a hint without an account goes nowhere. */
  readonly hints: ReadonlyArray<Hint>
  /** The body of the response. Default: none. */
  readonly answer?: Schema.Json | undefined
}
