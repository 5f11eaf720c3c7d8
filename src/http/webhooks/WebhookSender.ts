/**
 * Sends one POST to the URL of a webhook. Connects only to the addresses that were checked, follows no redirects, uses
 * no proxy, sends no trace headers, and reads only the beginning of the response.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { pinned } from "../../engine/network/SourceNetwork.ts"
import { oneLine } from "../../engine/SafeText.ts"
import { Destination } from "../../engine/webhooks/Destination.ts"
import { bodyTimeout, Sender, SendError, timeout } from "../../engine/webhooks/Sender.ts"

/** How much of a response is read, in bytes; and how much of that is kept, in characters. */
const answerBytes = 64 * 1024
const answerKept = 1000

const Coded = Schema.Struct({ code: Schema.String })
const Several = Schema.Struct({ errors: Schema.Array(Schema.Unknown) })

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ECONNRESET: "it closed the connection",
  UND_ERR_SOCKET: "it closed the connection",
  UND_ERR_CONNECT_TIMEOUT: "it can't be reached in time",
  EHOSTUNREACH: "it can't be reached",
  ENETUNREACH: "its network can't be reached",
  ETIMEDOUT: "it can't be reached in time"
}

const explain = ({ reason }: HttpClientError.HttpClientError): string => {
  const cause = "cause" in reason ? reason.cause : undefined
  // A host with several addresses fails with an error for each.
  const [first] = Option.getOrElse(
    Option.map(Schema.decodeUnknownOption(Several)(cause), ({ errors }) => errors),
    () => [cause]
  )
  const code = Option.getOrUndefined(Schema.decodeUnknownOption(Coded)(first))?.code
  const explanation = code === undefined ? undefined : words[code]
  if (explanation !== undefined) return explanation
  return oneLine(first instanceof Error && first.message !== "" ? first.message : (code ?? "the request failed")).slice(
    0,
    300
  )
}

const retryAfter = Effect.fnUntraced(function* (header: string | undefined) {
  const parsed = Schema.decodeUnknownOption(Schema.RetryAfterFromString)(header)
  if (Option.isNone(parsed)) return undefined
  if (parsed.value._tag === "Duration") return parsed.value.duration
  const wait = parsed.value.dateTime.epochMilliseconds - (yield* DateTime.now).epochMilliseconds
  return Duration.millis(Math.max(0, wait))
})

/** Reads the first bytes of a body as text: those that arrived, if the body breaks off or takes long. */
const beginning = Effect.fnUntraced(function* (response: HttpClientResponse.HttpClientResponse) {
  const decoder = new TextDecoder()
  let text = ""
  let left = answerBytes
  yield* response.stream.pipe(
    Stream.runForEachWhile((chunk) =>
      Effect.sync(() => {
        if (text.length < answerKept) text += decoder.decode(chunk.subarray(0, left), { stream: true })
        left -= chunk.length
        return left > 0
      })
    ),
    Effect.timeoutOption(bodyTimeout),
    Effect.ignore
  )
  const kept = Array.from(text).slice(0, answerKept).join("")
  return kept === "" ? null : oneLine(kept)
})

export const layer: Layer.Layer<Sender, never, Destination> = Layer.effect(
  Sender,
  Effect.gen(function* () {
    const destination = yield* Destination

    /** Sends the request, and returns the response before its body is read. */
    const ask = Effect.fnUntraced(function* (request: Parameters<Sender["Service"]["post"]>[0]) {
      const { addresses, url } = yield* destination.check(request.url)
      // A separate pool, so that no connection outlives the check that allowed it.
      const dispatcher = yield* NodeHttpClient.makeDispatcherOptions({
        connect: { lookup: pinned(addresses), timeout: Duration.toMillis(timeout) },
        pipelining: 0,
        maxHeaderSize: 16 * 1024
      })
      const client = yield* Effect.provideService(NodeHttpClient.makeUndici, NodeHttpClient.Dispatcher, dispatcher)
      return yield* client.execute(
        HttpClientRequest.post(url, { headers: { ...request.headers, "user-agent": "Idem-Webhooks" } }).pipe(
          HttpClientRequest.bodyText(request.body, "application/json")
        )
      )
    })

    const post: Sender["Service"]["post"] = Effect.fnUntraced(
      function* (request) {
        const late = new SendError({ message: `no answer within ${Duration.format(timeout)}` })
        const response = yield* Effect.timeoutOrElse(ask(request), {
          duration: timeout,
          orElse: () => Effect.fail(late)
        })
        return {
          status: response.status,
          retryAfter: yield* retryAfter(response.headers["retry-after"]),
          text: yield* beginning(response)
        }
      },
      Effect.scoped,
      Effect.catchTag("HttpClientError", (error) => Effect.fail(new SendError({ message: explain(error) }))),
      Effect.catchTag(["Refused", "UnknownHost"], ({ message }) => Effect.fail(new SendError({ message }))),
      // The URL may contain a token, and the trace context is internal.
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      Effect.provideService(HttpClient.TracerPropagationEnabled, false)
    )
    return Sender.of({ post })
  })
)
