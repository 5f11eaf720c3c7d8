/** Requests with a client of `googleapis`: each through `call`, with the access token, and with a decoded answer. */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { AccessToken } from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import { classify, failureOf, unreadable } from "./Errors.ts"

/** The time limit of a request; the engine's own deadline for a call is longer. */
export const timeout = Duration.seconds(50)

/** The options of each request. */
interface RequestOptions {
  readonly signal: AbortSignal
  readonly timeout: number
  readonly retry: false
  readonly headers: { readonly Authorization: string }
}

export type Send<Client> = (client: Client, how: RequestOptions) => Promise<{ readonly data: unknown }>

export const make = <Client>(options: {
  readonly auth: AccessToken
  readonly call: Call
  readonly client: Client
  /** The host of the requests, for messages. */
  readonly host: string
}) => {
  const { auth, call, client, host } = options

  /** Makes one request with this token. `retry: false`: the engine retries. */
  const once = <A, I>(
    what: string,
    schema: Schema.Codec<A, I>,
    send: Send<Client>,
    token: Redacted.Redacted
  ): Effect.Effect<A, IntegrationError> =>
    Effect.tryPromise({
      try: (signal) =>
        send(client, {
          signal,
          timeout: Duration.toMillis(timeout),
          retry: false,
          headers: { Authorization: `Bearer ${Redacted.value(token)}` }
        }),
      catch: (error) => failureOf(error, host)
    }).pipe(
      Effect.catch((failure) =>
        Effect.flatMap(DateTime.now, (now) => Effect.fail(classify(what, failure, now, [token])))
      ),
      // A broken or truncated JSON text is no error to the client: `data` is a string then, and does not decode.
      Effect.flatMap((response) =>
        Effect.mapError(Schema.decodeUnknownEffect(schema)(response.data), () => unreadable(what))
      )
    )

  /** A request through `call`. After a 401 it is made once more, with another token. */
  const authorized = <A>(
    method: string,
    units: number,
    send: (token: Redacted.Redacted) => Effect.Effect<A, IntegrationError>
  ): Effect.Effect<A, IntegrationError> =>
    Effect.flatMap(auth.token, (token) =>
      Effect.catch(call(method, units, send(token)), (error) =>
        error.reason._tag === "Unauthorized"
          ? Effect.flatMap(auth.replace(token, error), (next) => call(method, units, send(next)))
          : Effect.fail(error)
      )
    )

  return {
    authorized,
    request: <A, I>(
      method: string,
      units: number,
      what: string,
      schema: Schema.Codec<A, I>,
      send: Send<Client>
    ): Effect.Effect<A, IntegrationError> => authorized(method, units, (token) => once(what, schema, send, token))
  }
}
