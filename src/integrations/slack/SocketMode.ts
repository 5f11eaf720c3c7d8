/**
 * Hints by Socket Mode (https://docs.slack.dev/apis/events-api/using-socket-mode): events over a WebSocket, for an app
 * with an app-level token. Slack's library implements the protocol: pings, acknowledgements, the greeting. Its
 * reconnects are off: the engine reopens the stream, with back-off.
 *
 * Slack sends each event to one of an app's sockets (at most 10), so an event is routed by its workspace, and not by
 * its socket. An event that is not acknowledged is sent again.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Socket } from "node:net"
import type { Hint } from "../../contract/Hints.ts"
import type { Call } from "../../contract/Integration.ts"
import { IntegrationError, Transient } from "../../contract/IntegrationError.ts"
import type { Network } from "../../contract/Network.ts"
import { apiUrlOf, silent } from "./Client.ts"
import { fromThrown } from "./Errors.ts"
import { hintsOf } from "./Events.ts"

interface Options {
  readonly appToken: Redacted.Redacted
  readonly slackApiUrl: string | undefined
  readonly call: Call
  readonly network: Network
}

/** The longest time from the opening of a socket to Slack's greeting. */
const greetingWithin = "30 seconds"

const method = "apps.connections.open"

const broken = (message: string) =>
  new IntegrationError({ reason: new Transient({ message: `Socket Mode: ${message}` }) })

/** Connects sockets through the connection's network, and closes them with the scope. */
const dispatcherOf = Effect.fnUntraced(function* (network: Network) {
  const { default: undici } = yield* Effect.promise(() => import("@effect/platform-node/Undici"))
  const sockets = new Set<Socket>()
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const connector = undici.buildConnector({ allowH2: false })
  return yield* Effect.acquireRelease(
    Effect.sync(
      () =>
        new undici.Agent({
          connect: (options, done) => {
            const connect = Effect.match(network.addressOf(options.hostname), {
              onFailure: (error) => done(error, null),
              onSuccess: (hostname) =>
                connector({ ...options, hostname, servername: options.servername ?? options.hostname }, (...result) => {
                  const [error, socket] = result
                  if (error !== null) return done(error, null)
                  sockets.add(socket)
                  socket.once("close", () => sockets.delete(socket))
                  return done(null, socket)
                })
            })
            run(connect)
          }
        })
    ),
    (agent) =>
      Effect.promise(async () => {
        for (const socket of sockets) socket.destroy()
        await agent.destroy()
      })
  )
})

/** Makes a client that is not connected yet. It drops messages that it can't read. */
const clientOf = Effect.fnUntraced(function* ({ appToken, network, slackApiUrl }: Options) {
  // Uses the default export, because a bundle has no other export for a CommonJS package that is imported on demand.
  const { SocketModeClient } = (yield* Effect.promise(() => import("@slack/socket-mode"))).default
  const dispatcher = yield* dispatcherOf(network)
  class Client extends SocketModeClient {
    // The library reads fields that a message may lack, in a promise that is never awaited.
    protected override onWebSocketMessage(data: string | ArrayBuffer, isBinary: boolean): Promise<void> {
      return super.onWebSocketMessage(data, isBinary).catch(() => {})
    }
  }
  return new Client({
    appToken: Redacted.value(appToken),
    autoReconnectEnabled: false,
    logger: silent,
    dispatcher,
    clientOptions: {
      slackApiUrl: apiUrlOf(slackApiUrl).href,
      retryConfig: { retries: 0 },
      rejectRateLimitedCalls: true,
      allowAbsoluteUrls: false,
      fetch: network.fetch
    }
  })
})

/** Returns the events of the app's workspaces as hints. The first hint follows Slack's greeting. */
export const hints = (options: Options): Stream.Stream<Hint, IntegrationError> =>
  Stream.callback<Hint, IntegrationError>((queue) => listen(options, queue))

const listen = (
  options: Options,
  queue: Queue.Enqueue<Hint, IntegrationError>
): Effect.Effect<never, IntegrationError, Scope.Scope> =>
  Effect.gen(function* () {
    const client = yield* clientOf(options)
    client.on("slack_event", ({ ack, body, type }: { ack: () => Promise<void>; body: unknown; type: string }) => {
      // If an acknowledgement fails, Slack sends the event again.
      ack().catch(() => {})
      if (type === "events_api") for (const hint of hintsOf(body)) Queue.offerUnsafe(queue, hint)
    })
    // Rejects if the socket closes before the greeting.
    const start = Effect.tryPromise({
      try: () => client.start(),
      catch: (error) =>
        error === undefined ? broken("closed by Slack") : fromThrown(method, apiUrlOf(options.slackApiUrl).host, error)
    }).pipe(
      Effect.timeoutOrElse({
        duration: greetingWithin,
        orElse: () => Effect.fail(broken(`no greeting within ${greetingWithin}`))
      })
    )
    const closed = Effect.callback<never, IntegrationError>((resume) => {
      client.once("disconnected", () => resume(Effect.fail(broken("closed"))))
    })
    yield* options.call(method, 1, start)
    Queue.offerUnsafe(queue, {})
    return yield* closed
  })
