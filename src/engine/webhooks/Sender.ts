/** The port that sends a message. src/http/webhooks/WebhookSender.ts implements it. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Limits for the arrival of the status (Standard Webhooks: 15 to 30 s), and of the body of the answer. */
export const timeout = Duration.seconds(15)
export const bodyTimeout = Duration.seconds(5)

export interface Answer {
  readonly status: number
  /** The `Retry-After` of the answer. */
  readonly retryAfter: Duration.Duration | undefined
  /** The beginning of the answer, without control characters; null if it is empty. */
  readonly text: string | null
}

/** The endpoint did not answer. The message says why. */
export class SendError extends Schema.TaggedError<SendError>()("SendError", { message: Schema.String }) {}

export class Sender extends Context.Service<
  Sender,
  {
    /** Returns any answer, whatever its status. Does not follow redirects. */
    readonly post: (request: {
      readonly url: string
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }) => Effect.Effect<Answer, SendError>
  }
>()("idem/engine/webhooks/Sender") {}
