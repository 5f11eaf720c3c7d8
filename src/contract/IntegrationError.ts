/**
 * The failures between an integration and its source, as reasons that the engine acts on. An integration classifies by
 * the provider's own error reason, never by the HTTP status alone.
 */
import * as Schema from "effect/Schema"

/** The source refuses the credentials. The engine pauses the connection and asks for new ones. */
export class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", { message: Schema.String }) {}

/** The source asks to wait. Without `retryAfter` the engine chooses the delay. */
export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {
  message: Schema.String,
  retryAfter: Schema.optionalKey(Schema.DurationFromMillis)
}) {}

/** A failure that may pass: a 5xx, a connection reset, a timeout, a truncated response. */
export class Transient extends Schema.TaggedError<Transient>()("Transient", { message: Schema.String }) {}

/** The source no longer accepts the checkpoint. The engine lists in full, and loses nothing. Only from `list`. */
export class CheckpointExpired extends Schema.TaggedError<CheckpointExpired>()("CheckpointExpired", {
  message: Schema.String
}) {}

/** The id no longer exists at the source. Not a failure. If a whole listing fails with it, the run fails. */
export class Gone extends Schema.TaggedError<Gone>()("Gone", { message: Schema.String }) {}

/**
 * The source denies access. If a whole listing fails with it, the run fails. With `ofAccount`, a download fails the run
 * too: the source refuses every item of the account for now (its user is suspended, say), whatever the item. The items
 * are deferred without an attempt, and the next poll tries them again.
 */
export class Forbidden extends Schema.TaggedError<Forbidden>()("Forbidden", {
  message: Schema.String,
  ofAccount: Schema.optionalKey(Schema.Boolean)
}) {}

/** The item exceeds a limit. It is dead at once, until a person raises the limit and retries it. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { message: Schema.String }) {}

/** The source's response for this item can't be read. Only this item fails. */
export class Malformed extends Schema.TaggedError<Malformed>()("Malformed", { message: Schema.String }) {}

/**
 * The item changed while it was read (it is being uploaded, say). It is deferred to the next poll, without an attempt.
 */
export class Unsettled extends Schema.TaggedError<Unsettled>()("Unsettled", { message: Schema.String }) {}

/** All reasons that the engine distinguishes. */
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
 * The only error of an integration. Its message is for people: what happened, and to which id or place; never a secret.
 *
 * @example
 * new IntegrationError({ reason: new Gone({ message: "message 18c2 is gone" }) })
 */
export class IntegrationError extends Schema.TaggedError<IntegrationError>()("IntegrationError", { reason: Reason }) {
  override get message(): string {
    return this.reason.message
  }
}
