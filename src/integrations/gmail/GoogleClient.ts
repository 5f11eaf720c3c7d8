/**
 * Makes requests with a client of `googleapis`, each through `call` and with the access token. `request` decodes a JSON
 * response; RawMessage.ts makes its own requests, and streams the response. Both use `authorized` and `send`.
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as AccessToken from "../../contract/AccessToken.ts"
import type { Call } from "../../contract/Integration.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import { classify, type Failure, failureOf, unreadable } from "./Errors.ts"

/** The time limit of a request; the engine's own deadline for a call is longer. */
const timeout = Duration.seconds(50)

/** The options of each request. `retry: false`: the engine retries. */
interface RequestOptions {
  readonly signal: AbortSignal
  readonly retry: false
  readonly headers: { readonly Authorization: string }
}

export type GoogleClient<Client, Method extends string> = ReturnType<typeof make<Client, Method>>

export const make = <Client, Method extends string>(options: {
  readonly auth: AccessToken.AccessToken
  readonly call: Call
  readonly client: Client
  /** The units of the quota by method. */
  readonly units: Readonly<Record<Method, number>>
  /** The host of the requests, for messages. */
  readonly host: string
  /** Adds the next step to the error of a request. */
  readonly explain?: (error: IntegrationError) => IntegrationError
}) => {
  const { auth, call, client, explain = identity, host, units } = options

  /** Makes one request with this token. */
  const send = <A>(
    token: Redacted.Redacted,
    run: (client: Client, options: RequestOptions) => Promise<A>
  ): Effect.Effect<A, Failure> =>
    Effect.tryPromise({
      try: (signal) =>
        run(client, { signal, retry: false, headers: { Authorization: `Bearer ${Redacted.value(token)}` } }),
      catch: (error) => failureOf(error, host)
    })

  /** Fails with the classified reason of a failed request for `what`. */
  const fail = (what: string, token: Redacted.Redacted) => (failure: Failure) =>
    Effect.flatMap(DateTime.now, (now) => Effect.fail(classify(what, failure, now, [token])))

  /** Makes a request through `call`. After a 401 it is repeated once, with another token. */
  const authorized = <A>(
    method: Method,
    request: (token: Redacted.Redacted) => Effect.Effect<A, IntegrationError>
  ): Effect.Effect<A, IntegrationError> =>
    AccessToken.withToken(auth, (token) => call(method, units[method], request(token)))

  /** Makes a request whose response is read as a whole. `what` names the response in errors. */
  const request = <A, I>(
    method: Method,
    what: string,
    schema: Schema.Codec<A, I>,
    run: (client: Client, options: RequestOptions & { readonly timeout: number }) => Promise<{ readonly data: unknown }>
  ): Effect.Effect<A, IntegrationError> =>
    authorized(method, (token) =>
      send(token, (client, how) => run(client, { ...how, timeout: Duration.toMillis(timeout) })).pipe(
        Effect.catch(fail(what, token)),
        // Broken or truncated JSON is not an error for the client: then `data` is a string, which does not decode.
        Effect.flatMap(({ data }) => Effect.mapError(Schema.decodeUnknownEffect(schema)(data), () => unreadable(what)))
      )
    ).pipe(Effect.mapError(explain))

  return { authorized, fail, request, send }
}
