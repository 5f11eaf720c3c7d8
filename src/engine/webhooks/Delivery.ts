/** Attempts to deliver a message, and records the result. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Metrics from "../telemetry/Metrics.ts"
import type { StoreError } from "../store/StoreError.ts"
import { Vault } from "../secrets/Vault.ts"
import type { AttemptResult, Claimed, MessageId } from "../model/Webhook.ts"
import { WebhookStore } from "../store/WebhookStore.ts"
import * as Signature from "./Signature.ts"
import { type Answer, bodyTimeout, Sender, timeout } from "./Sender.ts"

/** How long a claim lasts: if the sending process dies, the message is due again afterwards. */
const claimFor = Duration.sum(Duration.sum(timeout, bodyTimeout), Duration.seconds(10))

const gone = 410

const attempts = Metrics.counter("idem_webhook_attempts_total", "Attempts to deliver webhook messages, by outcome.", [
  "outcome"
])

/** The delay after each failed attempt, as Standard Webhooks suggests: ten attempts in a little over three days. */
const retryDelays = [
  Duration.seconds(5),
  Duration.minutes(5),
  Duration.minutes(30),
  Duration.hours(2),
  Duration.hours(5),
  Duration.hours(10),
  Duration.hours(14),
  Duration.hours(20),
  Duration.hours(24)
] as const

/** A webhook is disabled after every attempt has failed for this long. */
const disableAfter = Duration.days(5)

/** The longest `Retry-After` of an endpoint that is respected. */
const longestRetryAfter = Duration.hours(24)

/**
 * Returns the delay after this number of failed attempts; undefined after the last. A jitter of 20 % keeps messages
 * that failed together from being sent again together. The delay is never shorter than the endpoint's `Retry-After`.
 */
const retryDelay = Effect.fnUntraced(function* (
  failedAttempts: number,
  retryAfter: Duration.Duration | undefined
): Effect.fn.Return<Duration.Duration | undefined> {
  const wait = retryDelays[failedAttempts - 1]
  if (wait === undefined) return undefined
  const jittered = Duration.times(wait, yield* Random.nextBetween(0.8, 1.2))
  return retryAfter === undefined ? jittered : Duration.max(jittered, Duration.min(retryAfter, longestRetryAfter))
})

/** Returns true if the endpoint accepted the message: any 2xx (Standard Webhooks). A redirect is not accepted. */
export const isTaken = ({ status }: Answer): boolean => status >= 200 && status < 300

const failed = Effect.fnUntraced(function* (
  { message }: Claimed,
  given: { readonly error: string; readonly answer: Answer | undefined }
) {
  const { answer, error } = given
  return {
    _tag: "Failed",
    status: answer?.status ?? null,
    error,
    answer: answer?.text ?? null,
    retryIn: yield* retryDelay(message.attempts + 1, answer?.retryAfter),
    disable: answer?.status === gone ? "the endpoint answered 410: it is gone" : undefined,
    disableAfter
  } satisfies AttemptResult
})

const attempt = Effect.fnUntraced(function* (claimed: Claimed): Effect.fn.Return<AttemptResult, never, Sender | Vault> {
  const { body, message, webhook } = claimed
  const sender = yield* Sender
  return yield* Effect.gen(function* () {
    const secrets = yield* Signature.unseal(webhook.id, webhook.secret)
    const headers = yield* Signature.headers(secrets, message.id, body)
    const answer = yield* sender.post({ url: webhook.url, headers, body })
    if (isTaken(answer)) return { _tag: "Delivered", status: answer.status } as const
    return yield* failed(claimed, { error: `it answered ${answer.status}`, answer })
  }).pipe(
    Effect.catchTag(["SendError", "VaultError"], ({ message }) =>
      failed(claimed, { error: message, answer: undefined })
    )
  )
})

const say = (claimed: Claimed, result: AttemptResult, isDisabled: boolean): Effect.Effect<void> => {
  if (result._tag === "Delivered") return Effect.logDebug(`delivered ${claimed.message.changes} changes`)
  const next = isDisabled
    ? "the webhook is disabled until a person activates it"
    : result.retryIn === undefined
      ? "that was the last attempt: the message is dead until a person redelivers it"
      : `the next attempt is in ${Duration.format(Duration.seconds(Math.round(Duration.toSeconds(result.retryIn))))}`
  const line = `attempt ${claimed.message.attempts + 1} failed (${result.error}); ${next}`
  return isDisabled || result.retryIn === undefined ? Effect.logError(line) : Effect.logWarning(line)
}

/**
 * Claims the message and sends it. Returns false if another sender has claimed it. If it is interrupted while it waits
 * for the response, it releases the claim: the message is sent again, under the same id.
 */
export const deliver = Effect.fn("Webhooks.deliver")(function* (
  messageId: MessageId
): Effect.fn.Return<boolean, StoreError, WebhookStore | Sender | Vault> {
  const store = yield* WebhookStore
  return yield* Effect.uninterruptibleMask((restore) =>
    Effect.gen(function* () {
      const claimed = yield* store.claim(messageId, claimFor)
      if (Option.isNone(claimed)) return false
      const { message, webhook } = claimed.value
      const result = yield* restore(attempt(claimed.value)).pipe(
        Effect.onInterrupt(() => Effect.ignore(store.releaseClaim(claimed.value)))
      )
      const state = yield* store.recordAttempt(claimed.value, result)
      const outcome =
        result._tag === "Delivered" ? "delivered" : result.retryIn === undefined ? "dead" : ("failed" as const)
      yield* Metric.update(attempts(outcome), 1)
      yield* say(claimed.value, result, state === "disabled").pipe(
        Effect.annotateLogs({ webhook: webhook.id, name: webhook.name, message: message.id })
      )
      return true
    })
  )
})
