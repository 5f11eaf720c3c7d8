/**
 * Keeps a connection open during a slow operation with interim responses (102, RFC 2518). Otherwise the listener, or a
 * proxy in front of it, would close the quiet connection.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"

/** The interval is well below the minute after which proxies commonly close a quiet connection. */
const interval = Duration.seconds(20)

/** Sends an interim response to a request. In-process requests have no connection to keep open. */
export const SendInterim = Context.Reference<(request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>>(
  "idem/http/InterimResponses/SendInterim",
  { defaultValue: () => () => Effect.void }
)

/** Runs the work, and sends interim responses meanwhile. */
export const during =
  (request: HttpServerRequest.HttpServerRequest) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    SendInterim.use((send) =>
      Effect.raceFirst(work, Effect.forever(Effect.andThen(Effect.sleep(interval), send(request))))
    )
