/**
 * Keeps a connection open while its answer takes long to make, with an interim answer (102, RFC 2518) now and then. Without
 * one the listener, or a proxy in front of it, closes a connection on which nothing moves.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"

/** Well below the minute after which proxies commonly give up. */
const interval = Duration.seconds(20)

/** Sends an interim answer to a request. A request in process has no connection to keep open. */
export const SendInterim = Context.Reference<(request: HttpServerRequest.HttpServerRequest) => Effect.Effect<void>>(
  "idem/http/KeepAlive/SendInterim",
  { defaultValue: () => () => Effect.void }
)

/** Does the work, and sends interim answers meanwhile. */
export const during =
  (request: HttpServerRequest.HttpServerRequest) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    SendInterim.use((send) =>
      Effect.raceFirst(work, Effect.forever(Effect.andThen(Effect.sleep(interval), send(request))))
    )
