/**
 * Reads callbacks of Slack's Events API over HTTP. Slack signs the time and the body of a callback with the app's
 * signing secret. Callbacks older than five minutes are refused
 * (https://docs.slack.dev/authentication/verifying-requests-from-slack). A retry (`X-Slack-Retry-Num`) is only one more
 * hint.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHmac, timingSafeEqual } from "node:crypto"
import type { Callback, Received } from "../../contract/Hints.ts"
import { hintsOf } from "./Events.ts"

const oldest = Duration.toMillis("5 minutes")

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Json))
const decodeVerification = Schema.decodeUnknownOption(
  Schema.Struct({ type: Schema.Literal("url_verification"), challenge: Schema.String })
)

const isSigned = ({ body, headers, now, secrets }: Callback): boolean => {
  const timestamp = headers["x-slack-request-timestamp"] ?? ""
  const given = Buffer.from(headers["x-slack-signature"] ?? "")
  if (!/^\d{1,12}$/.test(timestamp) || Math.abs(now - Number(timestamp) * 1000) > oldest) return false
  const signatures = secrets.map((secret) =>
    Buffer.from(`v0=${createHmac("sha256", Redacted.value(secret)).update(`v0:${timestamp}:${body}`).digest("hex")}`)
  )
  // All are compared, so that the duration does not reveal which app it was.
  return signatures.filter((one) => one.length === given.length && timingSafeEqual(one, given)).length > 0
}

/** Reads a callback. Returns `Option.none` unless Slack signed it within the last five minutes. */
export const receive = (callback: Callback): Option.Option<Received> => {
  if (!isSigned(callback)) return Option.none()
  const payload = Option.getOrUndefined(decode(callback.body))
  return Option.some(
    Option.match(decodeVerification(payload), {
      onNone: () => ({ hints: hintsOf(payload) }),
      onSome: ({ challenge }) => ({ hints: [], answer: { challenge } })
    })
  )
}
