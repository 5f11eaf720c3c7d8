/**
 * The failures between an integration and its source, as reasons that the engine acts on. An integration classifies by
 * the provider's own error reason, never by the HTTP status alone.
 */
import * as Schema from "effect/Schema"

/** The grant is gone: the connection is paused and says so. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { message: Schema.String }) {}

/** The source asks to wait. Without `retryAfter` the engine chooses the delay. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  message: Schema.String,
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {}

/** A failure that may pass: a 5xx, a reset, a timeout, a truncated answer. */
export class Transient extends Schema.TaggedError<Transient>()("Transient", { message: Schema.String }) {}

/** The checkpoint is too old for the source: the engine lists in full, and loses nothing. Only from `list`. */
export class CheckpointExpired extends Schema.TaggedError<CheckpointExpired>()("CheckpointExpired", {
  message: Schema.String
}) {}

/** The source says this id does not exist any more. Not a failure. From a whole listing it fails the run. */
export class Gone extends Schema.TaggedError<Gone>()("Gone", { message: Schema.String }) {}

/**
 * We may not read this. From a whole listing it fails the run. So it does from a download with `ofAccount`: the source
 * refuses each item of the account for now (its user is suspended), which says nothing of this one. The items are
 * deferred at no attempt, and the next poll tries again.
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  message: Schema.String,
  ofAccount: Schema.optionalKey(Schema.Boolean)
}) {}

/** More than a limit allows: dead at once, until a person raises the limit and retries it. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { message: Schema.String }) {}

/** The source's answer can't be read, for this item only. */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", { message: Schema.String }) {}

/** The item changes while it is read (a file being uploaded): deferred to the next poll, at no attempt. */
export class Unsettled extends Schema.TaggedError<Unsettled>()("Unsettled", { message: Schema.String }) {}

/** All that the engine tells apart. */
export const Reason = Schema.Union([
  Unauthorized,
  RateLimited,
  Transient,
  CheckpointExpired,
  Gone,
  Forbidden,
  TooLarge,
  Malformed,
  Unsettled
])
export type Reason = typeof Reason.Type

/**
 * The one error of an integration. Its message is for people: what happened, to which id or place; never a secret.
 *
 * @example
 * new IntegrationError({ reason: new Gone({ message: "message 18c2 is gone" }) })
 */
export class IntegrationError extends Schema.TaggedError<IntegrationError>()("IntegrationError", { reason: Reason }) {
  override get message(): string {
    return this.reason.message
  }
}
