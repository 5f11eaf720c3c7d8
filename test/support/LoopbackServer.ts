/** HTTP on a free port of this machine, for stand-ins with their own state. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

interface StandIn {
  /** The server's base URL. */
  url: string
  readonly handle: (request: Http.IncomingMessage, response: Http.ServerResponse) => void
}

/** Serves the stand-in as long as the scope is open. */
export const serve = <A extends StandIn>(make: () => A): Effect.Effect<A, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly standIn: A; readonly server: Http.Server }>((resume) => {
      const standIn = make()
      // On a busy machine an idle socket might be closed just as the next request is sent on it.
      const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) =>
        standIn.handle(request, response)
      )
      server.listen(0, "127.0.0.1", () => {
        standIn.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
        resume(Effect.succeed({ standIn, server }))
      })
    }),
    ({ server }) =>
      Effect.callback<void>((resume) => {
        server.closeAllConnections()
        server.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(({ standIn }) => standIn))
