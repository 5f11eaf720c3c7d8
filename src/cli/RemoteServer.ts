/** The server that `IDEM_URL` names, for commands that can use a server. */
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { ApiClient, ServerError } from "../http/client/ApiClient.ts"
import * as ServerAddress from "../http/client/ServerAddress.ts"
import * as CommandFailure from "./CommandFailure.ts"

/** The named server, if any. Fails as wrong usage if the name is invalid. */
const named: Effect.Effect<
  Option.Option<ServerAddress.ServerAddress>,
  CommandFailure.Failure | Config.ConfigError
> = Effect.flatMap(
  ServerAddress.fromEnvironment,
  Result.match({
    onFailure: (message) => Effect.fail(CommandFailure.usage(message)),
    onSuccess: Effect.succeed
  })
)

/** True if commands use a server instead of the database. */
export const isNamed = Effect.map(named, Option.isSome)

/** Fails for commands that work on the database itself, if a server is named. */
export const refuse = Effect.fnUntraced(function* (command: string) {
  if (!(yield* isNamed)) return
  return yield* CommandFailure.usage(
    `idem ${command} works on the database itself, not through a server: unset IDEM_URL, and run it where the database is`
  )
})

/** Fails if credentials would be sent over an unencrypted connection to another machine. */
export const refuseInClear = Effect.gen(function* () {
  const server = yield* named
  if (Option.isNone(server) || server.value.isPrivate) return
  return yield* CommandFailure.usage(
    `credentials are not sent over http to another machine (IDEM_URL is ${server.value.url}): use https, or a tunnel (ssh -L 3000:127.0.0.1:3000 HOST, with IDEM_URL=http://127.0.0.1:3000), or connect where the server runs`
  )
})

/** The API that commands call: that of the server that `IDEM_URL` names, or else `here`. */
export const api = <E>(
  here: Layer.Layer<ApiClient, E>
): Layer.Layer<ApiClient, E | ServerError | CommandFailure.Failure | Config.ConfigError> =>
  Layer.unwrap(
    Effect.gen(function* (): Effect.fn.Return<
      Layer.Layer<ApiClient, E | ServerError>,
      CommandFailure.Failure | Config.ConfigError
    > {
      const server = yield* named
      if (Option.isNone(server)) return here
      // Loaded for IDEM_URL only, so that commands start faster.
      const [RemoteApi, NodeHttpClient] = yield* Effect.promise(() =>
        Promise.all([import("../http/client/RemoteApi.ts"), import("@effect/platform-node/NodeHttpClient")])
      )
      return Layer.provide(RemoteApi.layer(server.value), NodeHttpClient.layerNodeHttp)
    })
  )
