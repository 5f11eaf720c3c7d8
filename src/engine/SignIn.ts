/**
 * Connecting an account by signing in at its provider, where the person comes back to a server: to any process of it. So
 * what is under way is in the store, sealed, under its state's hash: for 10 minutes, once, and at most 1,000 at a time.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { createHash, timingSafeEqual } from "node:crypto"
import type { AnySignIn, Integration } from "../contract/Integration.ts"
import type { Client, Provider } from "../contract/SignIn.ts"
import { type Connected, Engine, type SourceError, UsageError } from "./Engine.ts"
import * as Fields from "./Fields.ts"
import { Integrations } from "./Integrations.ts"
import * as OAuth from "./OAuth.ts"
import { credentialsContext } from "./Opening.ts"
import { type Connection } from "./Records.ts"
import { type NameTaken, Store, type StoreError } from "./Store.ts"
import { Vault } from "./Vault.ts"

const lifetime = Duration.minutes(10)
const atMost = 1_000

export interface BeginInput {
  readonly domain: string
  readonly name: string
  readonly config: unknown
  readonly every: Duration.Duration | undefined
  /** Undefined: that of the settings, or the one that signed in before. */
  readonly client: Client | undefined
  readonly redirectUri: string
  /** A secret of the browser that began: the same must come back. */
  readonly browser: string
}

export class SignIn extends Context.Service<
  SignIn,
  {
    /** Where to send the person. */
    readonly begin: (input: BeginInput) => Effect.Effect<{ readonly url: string }, UsageError | StoreError>
    /** The person is back: changes the code for tokens, and connects. */
    readonly finish: (input: {
      readonly parameters: URLSearchParams
      readonly browser: string
    }) => Effect.Effect<Connected, OAuth.SignInError | UsageError | SourceError | StoreError | NameTaken>
  }
>()("idem/engine/SignIn") {}

/** `IDEM_GMAIL_CLIENT_ID` and so on. */
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

/** The client in the settings, if one is there. */
export const clientOfSettings = Effect.fnUntraced(function* (domain: string) {
  const names = settingsOf(domain)
  const [clientId, secret] = yield* Effect.all([setting(names.id), setting(names.secret)])
  if (clientId === undefined) return undefined
  return { clientId, clientSecret: secret === undefined ? undefined : Redacted.make(secret) } satisfies Client
})

/** How accounts of this integration are signed in, and where with this config. */
export const providerOf = Effect.fnUntraced(function* (
  integration: Integration,
  config: unknown
): Effect.fn.Return<{ readonly signIn: AnySignIn; readonly provider: Provider }, UsageError> {
  const { domain, signIn } = integration
  if (signIn === undefined) {
    return yield* new UsageError({ message: `accounts of ${domain} are not signed in: give credentials` })
  }
  const provider = yield* Effect.mapError(
    signIn.provider(config),
    (error) =>
      new UsageError({
        message: `the config of ${domain} is not right: ${Fields.explain(error.issue, { secret: false })}`
      })
  )
  return { signIn, provider }
})

/** The client, if it is one that the provider takes. */
export const usableClient = Effect.fnUntraced(function* (
  integration: Integration,
  client: Client | undefined
): Effect.fn.Return<Client, UsageError> {
  const names = settingsOf(integration.domain)
  const isPublic = integration.signIn?.publicClients === true
  if (client !== undefined && (client.clientSecret !== undefined || isPublic)) return client
  const missing = client === undefined ? "client id" : "client secret"
  return yield* new UsageError({
    message: `to sign in at ${integration.domain} the ${missing} is missing: give clientId${isPublic ? "" : " and clientSecret"}, or set ${names.id} and ${names.secret}`
  })
})

/** The client that signed this connection in before, if its credentials say so. */
const clientOfConnection = Effect.fnUntraced(function* (integration: Integration, connection: Connection) {
  if (connection.credentials === null || integration.signIn === undefined) return undefined
  const vault = yield* Vault
  return yield* vault.unseal(connection.credentials, credentialsContext(connection)).pipe(
    Effect.flatMap(integration.signIn.client),
    Effect.orElseSucceed(() => undefined)
  )
})

/** What is kept of a sign-in that is under way. */
const Kept = Schema.Struct({
  pending: OAuth.Pending,
  domain: Schema.String,
  name: Schema.String,
  config: Schema.NullOr(Schema.Json),
  everyMs: Schema.NullOr(Schema.Finite),
  browser: Schema.String
})
const KeptJson = Schema.toCodecJson(Kept)

const sha256 = (text: string) => createHash("sha256").update(text)

const expired = () =>
  new OAuth.SignInError({
    reason: "Expired",
    message: "this sign-in is not under way here: it took longer than 10 minutes, or came back twice; begin again"
  })

/** What a pending sign-in is sealed for. */
export const signInContext = (stateHash: string): string => `sign-in ${stateHash}`

export const layer: Layer.Layer<SignIn, never, Engine | Store | Vault | Integrations> = Layer.effect(
  SignIn,
  Effect.gen(function* () {
    const engine = yield* Engine
    const store = yield* Store
    const vault = yield* Vault
    const integrations = yield* Integrations

    return SignIn.of({
      begin: Effect.fn("SignIn.begin")(function* (input) {
        const integration = yield* integrations.get(input.domain)
        const before = Option.getOrUndefined(yield* store.connectionByName(input.name))
        if (before !== undefined && before.domain !== input.domain) {
          return yield* new UsageError({
            message: `${input.name} is a connection of ${before.domain}, not of ${input.domain}: choose another name`
          })
        }
        const { provider } = yield* providerOf(integration, input.config ?? before?.config ?? {})
        const known =
          input.client ??
          (yield* clientOfSettings(input.domain)) ??
          (before === undefined
            ? undefined
            : yield* Effect.provideService(clientOfConnection(integration, before), Vault, vault))
        const client = yield* usableClient(integration, known)
        const { pending, url } = yield* OAuth.begin({ provider, client, redirectUri: input.redirectUri })
        const kept = yield* Effect.mapError(
          Schema.encodeUnknownEffect(KeptJson)({
            pending,
            domain: input.domain,
            name: input.name,
            config: input.config ?? null,
            everyMs: input.every === undefined ? null : Duration.toMillis(input.every),
            browser: input.browser
          }),
          () => new UsageError({ message: `the config of ${input.domain} is not JSON` })
        )
        const stateHash = sha256(pending.state).digest("hex")
        const sealed = yield* vault
          .seal(kept, signInContext(stateHash))
          .pipe(Effect.mapError(({ message }) => new UsageError({ message })))
        yield* store.putSignIn({ stateHash, sealed, ttl: lifetime, atMost })
        return { url }
      }),

      finish: Effect.fn("SignIn.finish")(function* ({ browser, parameters }) {
        const stateHash = sha256(parameters.get("state") ?? "").digest("hex")
        const sealed = yield* store.takeSignIn(stateHash)
        if (Option.isNone(sealed)) return yield* expired()
        const kept = yield* vault.unseal(sealed.value, signInContext(stateHash)).pipe(
          Effect.flatMap(Schema.decodeUnknownEffect(KeptJson)),
          // Sealed with a key that is gone, or by another version.
          Effect.mapError(expired)
        )
        // Whoever has a link to here may have begun it in a browser of their own: their account would be connected.
        if (!timingSafeEqual(sha256(browser).digest(), sha256(kept.browser).digest())) {
          return yield* new OAuth.SignInError({
            reason: "Refused",
            message: "this sign-in was begun in another browser: begin it here"
          })
        }
        const integration = yield* integrations.get(kept.domain)
        const before = Option.getOrUndefined(yield* store.connectionByName(kept.name))
        const { provider, signIn } = yield* providerOf(integration, kept.config ?? before?.config ?? {})
        const credentials = yield* OAuth.finish({ signIn, provider, pending: kept.pending, parameters })
        return yield* engine.connect({
          domain: kept.domain,
          name: kept.name,
          config: kept.config ?? undefined,
          credentials,
          every: kept.everyMs === null ? undefined : Duration.millis(kept.everyMs)
        })
      })
    })
  })
)
