/**
 * Connects an account by a sign-in at its provider, through the HTTP server. The redirect may reach any process of the
 * server, so pending sign-ins are sealed and kept in the store under the hash of their state: for 10 minutes, for one
 * use, at most 1,000.
 */
import * as Cache from "effect/Cache"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash, timingSafeEqual } from "node:crypto"
import type { Integration } from "../../contract/Integration.ts"
import type { AnySignIn, Client, Provider } from "../../contract/SignIn.ts"
import * as CredentialAddress from "../network/CredentialAddress.ts"
import { type Connected, Engine, type SourceError, UsageError } from "../Engine.ts"
import * as ConfigErrors from "./ConfigErrors.ts"
import { Integrations } from "./Integrations.ts"
import { isGuardedAt, requireDomain } from "./Connect.ts"
import * as SourceNetwork from "../network/SourceNetwork.ts"
import * as OAuth from "./OAuth.ts"
import { credentialsContext, signInContext, Vault } from "../secrets/Vault.ts"
import type { Connection } from "../model/Connection.ts"
import { ConnectionStore } from "../store/ConnectionStore.ts"
import { SecretStore } from "../store/SecretStore.ts"
import type { NameTaken, StoreError } from "../store/StoreError.ts"
import * as MessageText from "../MessageText.ts"

const lifetime = Duration.minutes(10)
const atMost = 1_000

export interface BeginInput {
  readonly domain: string
  readonly name: string
  readonly config: unknown
  readonly every: Duration.Duration | undefined
  /**
   * The client to sign in with. Undefined: the client of the settings (only at the provider's own address), or that of
   * the connection's last sign-in (only at the same address).
   */
  readonly client: Client | undefined
  readonly redirectUri: string
  /** A secret of the browser that began the sign-in. The redirect must come from the same browser. */
  readonly browser: string
}

export class SignIn extends Context.Service<
  SignIn,
  {
    /** The URL to send the person to. */
    readonly begin: (input: BeginInput) => Effect.Effect<{ readonly url: string }, UsageError | StoreError>
    /** Handles the redirect: exchanges the code for tokens, and connects. */
    readonly finish: (input: {
      readonly parameters: URLSearchParams
      readonly browser: string
    }) => Effect.Effect<Connected, OAuth.SignInError | UsageError | SourceError | StoreError | NameTaken>
  }
>()("idem/engine/source/SignIn") {}

/** The names of the settings: `IDEM_GMAIL_CLIENT_ID` and so on. */
const settingsOf = (domain: string) => {
  const prefix = `IDEM_${domain.toUpperCase().replaceAll("-", "_")}_CLIENT`
  return { id: `${prefix}_ID`, secret: `${prefix}_SECRET` }
}

const setting = (name: string) =>
  Config.option(Config.Redacted(name)).pipe(
    Effect.map(Option.map((text) => Redacted.value(text).trim())),
    Effect.map(Option.filter((text) => text !== "")),
    Effect.map(Option.getOrUndefined),
    Effect.orDie
  )

/**
 * Returns the client of the settings, or undefined if it is not set. It is used at the provider's own address only, so
 * that its secret is never sent to an address from a config.
 */
export const clientOfSettings = Effect.fnUntraced(function* (integration: Integration, config: unknown) {
  const isOwn = yield* Effect.map(integration.decodeConfig(config), ({ address }) =>
    CredentialAddress.isOwn(address)
  ).pipe(Effect.orElseSucceed(() => false))
  if (!isOwn) return undefined
  const names = settingsOf(integration.domain)
  const [clientId, secret] = yield* Effect.all([setting(names.id), setting(names.secret)])
  if (clientId === undefined) return undefined
  return { clientId, clientSecret: secret === undefined ? undefined : Redacted.make(secret) } satisfies Client
})

/** Returns the integration's sign-in, the provider's endpoints for this config, and the address of the config. */
export const providerOf = Effect.fnUntraced(function* (
  integration: Integration,
  config: unknown
): Effect.fn.Return<
  { readonly signIn: AnySignIn; readonly provider: Provider; readonly address: Schema.JsonObject },
  UsageError
> {
  const { domain, signIn } = integration
  if (signIn === undefined) {
    return yield* new UsageError({ message: `${domain} has no sign-in: give credentials` })
  }
  const [provider, { address }] = yield* Effect.mapError(
    Effect.all([signIn.provider(config), integration.decodeConfig(config)]),
    (error) => ConfigErrors.notValid("config", domain, error)
  )
  return { signIn, provider, address }
})

/** Returns the client if the provider accepts it, else fails. The client's secret will be sent to `address`. */
export const usableClient = Effect.fnUntraced(function* (
  integration: Integration,
  client: Client | undefined,
  address: Schema.JsonObject
): Effect.fn.Return<Client, UsageError> {
  const names = settingsOf(integration.domain)
  const isPublic = integration.signIn?.publicClients === true
  if (client !== undefined && (client.clientSecret !== undefined || isPublic)) return client
  const missing = client === undefined ? "client id" : "client secret"
  const settings = CredentialAddress.isOwn(address)
    ? `, or set ${names.id} and ${names.secret}`
    : ` (${names.id} is for the provider's own address, and ${Object.keys(address).join(" and ")} names another)`
  return yield* new UsageError({
    message: `to sign in at ${integration.domain} the ${missing} is missing: give clientId${isPublic ? "" : " and clientSecret"}${settings}`
  })
})

/** Returns the client of the connection's last sign-in, if that was at this address. */
const clientOfConnection = Effect.fnUntraced(function* (
  integration: Integration,
  connection: Connection,
  address: Schema.JsonObject
) {
  if (connection.credentials === null || integration.signIn === undefined) return undefined
  const isThere = yield* Effect.map(
    integration.decodeConfig(connection.config),
    (before) => CredentialAddress.changed(before.address, address).length === 0
  ).pipe(Effect.orElseSucceed(() => false))
  if (!isThere) return undefined
  const vault = yield* Vault
  return yield* vault.unseal(connection.credentials, credentialsContext(connection)).pipe(
    Effect.flatMap(integration.signIn.client),
    Effect.orElseSucceed(() => undefined)
  )
})

/** The stored state of a pending sign-in. */
const PendingSignIn = Schema.Struct({
  pending: OAuth.Pending,
  domain: Schema.String,
  name: Schema.String,
  config: Schema.NullOr(Schema.Json),
  /** The address that the client's secret and the code may be sent to. */
  address: Schema.JsonObject,
  everyMs: Schema.NullOr(Schema.Finite),
  browser: Schema.String
})
const PendingSignInJson = Schema.toCodecJson(PendingSignIn)

/** A redirect from the provider: the secret of the browser, and the query. */
interface Redirect {
  readonly browser: string
  readonly query: string
}

const sha256 = (text: string) => createHash("sha256").update(text)

const expired = () =>
  new OAuth.SignInError({
    reason: "Expired",
    message: "this sign-in is unknown: it took longer than 10 minutes, or was completed before; start again"
  })

export const layer: Layer.Layer<SignIn, never, Engine | ConnectionStore | SecretStore | Vault | Integrations> =
  Layer.effect(
    SignIn,
    Effect.gen(function* () {
      const engine = yield* Engine
      const connections = yield* ConnectionStore
      const secrets = yield* SecretStore
      const vault = yield* Vault
      const integrations = yield* Integrations
      const scope = yield* Effect.scope

      const exchange = Effect.fn("SignIn.finish")(function* ({ browser, query }: Redirect) {
        const parameters = new URLSearchParams(query)
        const stateHash = sha256(parameters.get("state") ?? "").digest("hex")
        const sealed = yield* secrets.takeSignIn(stateHash)
        if (Option.isNone(sealed)) return yield* expired()
        const begun = yield* vault.unseal(sealed.value, signInContext(stateHash)).pipe(
          Effect.flatMap(Schema.decodeUnknownEffect(PendingSignInJson)),
          // The state was sealed with a former key, or by another version.
          Effect.mapError(expired)
        )
        // Another person may have begun the sign-in and sent this link, to connect an account of theirs.
        if (!timingSafeEqual(sha256(browser).digest(), sha256(begun.browser).digest())) {
          return yield* new OAuth.SignInError({
            reason: "Refused",
            message: "this sign-in was started in another browser: start it again in this one"
          })
        }
        const integration = yield* integrations.get(begun.domain)
        const before = Option.getOrUndefined(yield* connections.connectionByName(begun.name))
        const config = begun.config ?? before?.config ?? {}
        const { address, provider, signIn } = yield* providerOf(integration, config)
        const moved = CredentialAddress.changed(begun.address, address)
        if (moved.length > 0) {
          return yield* new OAuth.SignInError({
            reason: "Refused",
            message: `${moved.join(" and ")} of ${MessageText.quoted(begun.name)} was changed meanwhile: start again`
          })
        }
        const network = yield* SourceNetwork.of(yield* isGuardedAt(integration, address, before)).pipe(
          Effect.mapError(({ message }) => new UsageError({ message }))
        )
        const credentials = yield* OAuth.finish({ signIn, provider, pending: begun.pending, parameters, network })
        return yield* engine.connect({
          domain: begun.domain,
          name: begun.name,
          // The grant belongs to the address at which it was issued, even if the config has changed meanwhile.
          config,
          credentials,
          signedIn: true,
          every: begun.everyMs === null ? undefined : Duration.millis(begun.everyMs)
        })
      })
      /**
       * Finishes a redirect in a fiber of its own. The person may close or reload the page meanwhile, which interrupts
       * its request, and the code is spent: the exchange continues, and a redirect that comes again gets its result.
       */
      const redirects = yield* Cache.make({
        capacity: 100,
        timeToLive: lifetime,
        lookup: (redirect: Redirect) => Effect.forkIn(exchange(redirect), scope)
      })

      return SignIn.of({
        begin: Effect.fn("SignIn.begin")(function* (input) {
          const integration = yield* integrations.get(input.domain)
          const before = Option.getOrUndefined(yield* connections.connectionByName(input.name))
          if (before !== undefined) yield* requireDomain(before, input.domain)
          const config = input.config ?? before?.config ?? {}
          const { address, provider, signIn } = yield* providerOf(integration, config)
          yield* isGuardedAt(integration, address, before)
          const known =
            input.client ??
            (yield* clientOfSettings(integration, config)) ??
            (before === undefined
              ? undefined
              : yield* Effect.provideService(clientOfConnection(integration, before, address), Vault, vault))
          const client = yield* usableClient(integration, known, address)
          const { pending, url } = yield* OAuth.begin({ signIn, provider, client, redirectUri: input.redirectUri })
          const begun = yield* Effect.mapError(
            Schema.encodeUnknownEffect(PendingSignInJson)({
              pending,
              domain: input.domain,
              name: input.name,
              config: input.config ?? null,
              address,
              everyMs: input.every === undefined ? null : Duration.toMillis(input.every),
              browser: input.browser
            }),
            () => new UsageError({ message: `the config of ${input.domain} is not JSON` })
          )
          const stateHash = sha256(pending.state).digest("hex")
          const sealed = yield* vault
            .seal(begun, signInContext(stateHash))
            .pipe(Effect.mapError(({ message }) => new UsageError({ message })))
          yield* secrets.putSignIn({ stateHash, sealed, ttl: lifetime, atMost })
          return { url }
        }),

        finish: Effect.fnUntraced(function* ({ browser, parameters }) {
          const redirect = { browser, query: parameters.toString() }
          return yield* Effect.flatMap(Cache.get(redirects, redirect), Fiber.join).pipe(
            // Without the database, the sign-in is still pending.
            Effect.tapErrorTag("StoreError", () => Cache.invalidate(redirects, redirect))
          )
        })
      })
    })
  )
