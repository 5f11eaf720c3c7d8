/** What sends a message: src/http/WebhookSender.ts does. */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** How long an endpoint has until its status is there (Standard Webhooks: 15 to 30 s), and for the body of its answer. */
export const timeout = Duration.seconds(15)
export const bodyTimeout = Duration.seconds(5)

export interface Answer {
  readonly status: number
  /** How long the endpoint asks us to wait. */
  readonly retryAfter: Duration.Duration | undefined
  /** How it begins, safe to show; null where it is empty. */
  readonly text: string | null
}

/** There was no answer; the message says why. */
export class SendError extends Schema.TaggedError<SendError>()("SendError", { message: Schema.String }) {}

export class Sender extends Context.Service<
  Sender,
  {
    /** Any answer is one, whatever its status. Follows no redirect. */
    readonly post: (request: {
      readonly url: string
      readonly headers: Readonly<Record<string, string>>
      readonly body: string
    }) => Effect.Effect<Answer, SendError>
  }
>()("idem/engine/webhooks/Sender") {}
