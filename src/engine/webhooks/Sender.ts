/** The port that sends a message. src/http/webhooks/WebhookSender.ts implements it. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Time limits for the response's status (Standard Webhooks: 15 to 30 s), and for its body. */
export const timeout = Duration.seconds(15)
export const bodyTimeout = Duration.seconds(5)

export interface Answer {
  readonly status: number
  /** The `Retry-After` of the response; undefined if it has none. */
  readonly retryAfter: Duration.Duration | undefined
  /** The beginning of the response's body, without control characters; null if it is empty. */
  readonly text: string | null
}

/** The endpoint did not answer. The message says why. */
export class SendError extends Schema.TaggedError<SendError>()("SendError", { message: Schema.String }) {}

export class Sender extends Context.Service<
  Sender,
  {
    /** Sends the request. Returns any response, whatever its status. Does not follow redirects. */
    readonly post: (request: {
      readonly url: string
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }) => Effect.Effect<Answer, SendError>
  }
>()("idem/engine/webhooks/Sender") {}
