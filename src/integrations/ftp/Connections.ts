/**
 * A bounded number of connections to one server. A connection serves one request at a time, is opened when it is
 * first needed, opened again when it broke, and closed after a minute without use.
 */
import * as Effect from "effect/Effect"
import * as Pool from "effect/Pool"
import type * as Scope from "effect/Scope"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"

export interface Options<Client> {
  readonly call: Call
  readonly max: number
  readonly open: Effect.Effect<Client, IntegrationError>
  readonly isOpen: (client: Client) => boolean
  /** Drops the connection at once, whatever it is doing. */
  readonly close: (client: Client) => void
}

export interface Connection<out Client> {
  /** One request through `call`. It is repeated on a new connection if the old one broke. */
  readonly request: <A>(
    method: string,
    request: (client: Client) => Effect.Effect<A, IntegrationError>
  ) => Effect.Effect<A, IntegrationError>
  /** Drops the connection: for a request that was given up midway, whose answer is still under way. */
  readonly drop: Effect.Effect<void>
}

export interface Connections<out Client> {
  /** Waits for a free connection, outside of any `call`: a call's deadline is the server's, not the queue's. */
  readonly get: Effect.Effect<Connection<Client>, never, Scope.Scope>
  readonly request: Connection<Client>["request"]
  readonly connect: Effect.Effect<void, IntegrationError>
}

export const make = <Client>(options: Options<Client>): Effect.Effect<Connections<Client>, never, Scope.Scope> => {
  const slot = Effect.acquireRelease(
    Effect.sync(() => {
      let client: Client | undefined
      const drop = Effect.sync(() => {
        if (client !== undefined) options.close(client)
        client = undefined
      })
      const isReady = () => client !== undefined && options.isOpen(client)
      const ready = Effect.suspend(() =>
        client !== undefined && options.isOpen(client)
          ? Effect.succeed(client)
          : Effect.andThen(
              drop,
              Effect.tap(options.open, (opened) => Effect.sync(() => (client = opened)))
            )
      )
      // A first login is a call of its own; the one inside serves a repetition after the connection broke.
      const connect = Effect.suspend(() => (isReady() ? Effect.void : Effect.asVoid(options.call("connect", 1, ready))))
      const connection: Connection<Client> = {
        drop,
        request: (method, request) =>
          Effect.andThen(
            connect,
            options.call(
              method,
              1,
              Effect.flatMap(ready, (client) =>
                request(client).pipe(
                  Effect.onInterrupt(() => drop),
                  // After a time-out or a lost answer nobody knows what the connection would say next.
                  Effect.tapError((error) => (error.reason._tag === "Transient" ? drop : Effect.void))
                )
              )
            )
          )
      }
      return { connection, connect }
    }),
    ({ connection }) => connection.drop
  )
  return Effect.map(
    Pool.makeWithTTL({ acquire: slot, min: 0, max: options.max, timeToLive: "1 minute", timeToLiveStrategy: "usage" }),
    (pool) => ({
      get: Effect.map(Pool.get(pool), ({ connection }) => connection),
      request: (method, request) => Pool.use(pool, ({ connection }) => connection.request(method, request)),
      connect: Pool.use(pool, ({ connect }) => connect)
    })
  )
}
