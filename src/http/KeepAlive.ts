/**
 * Keeps the connection of a request open whose answer takes long to make: an interim answer (102, RFC 2518) now and then.
 * Without one the listener, or a proxy before it, takes a connection on which nothing moves for dead.
 */
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpServerRequest from "effect/http/HttpServerRequest"

/** Well below the minute after which proxies commonly give up. */
const interval = Duration.seconds(20)

/** Does the work, and lets the client know meanwhile that it is being done. */
export const during =
  (request: HttpServerRequest.HttpServerRequest) =>
  <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
    const response = NodeHttpServerRequest.toServerResponse(request)
    const say = Effect.sync(() => {
      // HTTP/2 has other ways, and we don't serve it.
      if ("writeProcessing" in response && !response.headersSent && !response.destroyed) response.writeProcessing()
    })
    return Effect.raceFirst(work, Effect.forever(Effect.andThen(Effect.sleep(interval), say)))
  }
