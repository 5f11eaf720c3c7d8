/** Integrations as the engine sees them: the same type for every source. `make` turns a definition into one. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Definition, DeletionLimits, Guide, OpenOptions, RefreshCredentials, Session } from "./Definition.ts"
import { jsonSchema, secretIn } from "./Field.ts"
import type { Callback, Hint, Received } from "./Hints.ts"
import { IntegrationError, Unauthorized } from "./IntegrationError.ts"
import * as ListingCodec from "./ListingCodec.ts"
import type { AnyMembers, Members } from "./Members.ts"
import { direct, type Network } from "./Network.ts"
import * as SessionValues from "./SessionValues.ts"
import type { Projection } from "./Projection.ts"
import type { Budget, Call, Quota } from "./Quota.ts"
import type { AnySignIn, SignIn } from "./SignIn.ts"

export type {
  Definition,
  DeletionLimits,
  Estimate,
  Guide,
  OpenOptions,
  RefreshCredentials,
  Session
} from "./Definition.ts"
export { aboutQuota, type Budget, type Call, type Quota, QuotaConfig } from "./Quota.ts"

/** A session as the engine sees it: checkpoints are JSON. */
export type AnySession = Session<Schema.Json, Schema.Json>

/** An integration whose schemas are closed over: the same type for every source, so that a registry needs no casts. */
export interface Integration {
  readonly domain: string
  readonly title: string
  readonly summary: string | undefined
  readonly guide: Guide | undefined
  readonly callTimeout: Duration.Input
  /** The JSON Schema (draft 2020-12) of a config. */
  readonly configSchema: Schema.JsonObject
  /** The JSON Schema of credentials. */
  readonly credentialsSchema: Schema.JsonObject
  /** Whether the config and the credentials have any fields. A schema without fields accepts every value. */
  readonly hasFields: { readonly config: boolean; readonly credentials: boolean }
  readonly signIn: AnySignIn | undefined
  readonly projection: Projection | undefined
  readonly members: AnyMembers | undefined
  readonly deletionLimits: DeletionLimits | undefined
  /** Checks a config. Returns it as JSON, with its scope, its address and its quota. */
  readonly decodeConfig: (input: unknown) => Effect.Effect<DecodedConfig, Schema.SchemaError>
  /** Checks credentials. Returns them as JSON with the secrets in clear: only for sealing. */
  readonly decodeCredentials: (input: unknown) => Effect.Effect<Schema.Json, Schema.SchemaError>
  /** Returns the budgets of a connection. Config and credentials must have been decoded before. */
  readonly budgets: (options: {
    readonly config: unknown
    readonly credentials: Schema.Json
    readonly account: string
  }) => Effect.Effect<ReadonlyArray<Budget>, IntegrationError | Schema.SchemaError>
  /** Returns true if a stored checkpoint still decodes. */
  readonly readsCheckpoint: (checkpoint: Schema.Json) => Effect.Effect<boolean>
  /** Opens a session. Config and credentials must have been decoded before. */
  readonly open: (
    options: AnyOpenOptions
  ) => Effect.Effect<AnySession, IntegrationError | Schema.SchemaError, Scope.Scope>
  readonly callbacks: ((callback: Callback) => Option.Option<Received>) | undefined
  /**
   * Returns the stream of hints, or undefined if these credentials do not allow one. Absent if the integration has
   * none.
   */
  readonly hints:
    | ((
        options: AnyOpenOptions
      ) => Effect.Effect<Option.Option<Stream.Stream<Hint, IntegrationError>>, IntegrationError | Schema.SchemaError>)
    | undefined
}

/** The options with which the engine opens a source: config and credentials are JSON that was decoded before. */
export interface AnyOpenOptions {
  readonly config: unknown
  readonly credentials: unknown
  readonly call: Call
  /** Default: a network without restrictions. */
  readonly network?: Network | undefined
  readonly saveCredentials: (credentials: Schema.Json) => Effect.Effect<void, IntegrationError>
  /** Default: `saveCredentials`. Correct only if no other process refreshes these credentials. */
  readonly refreshCredentials?: RefreshCredentials<Schema.Json> | undefined
}

/** A config that was checked against its schema. */
export interface DecodedConfig {
  readonly json: Schema.Json
  readonly scope: Schema.JsonObject
  /**
   * The values of the address fields (see `Definition.address`): empty if credentials go to the provider's own address.
   */
  readonly address: Schema.JsonObject
  readonly quota: Quota
  readonly leftOut: ReadonlyArray<string>
}

const hasFields = ({ ast }: Schema.Top): boolean =>
  ast._tag !== "Objects" || ast.propertySignatures.length > 0 || ast.indexSignatures.length > 0

/** Turns a definition into an integration. Throws a `TypeError` if the schema of the config has a secret. */
export const make: {
  /** For an integration with parts. */
  <Config extends object, Credentials, Checkpoint, Part>(
    definition: Definition<Config, Credentials, Checkpoint, Part> & { readonly part: Schema.Codec<Part, unknown> }
  ): Integration
  <Config extends object, Credentials, Checkpoint>(definition: Definition<Config, Credentials, Checkpoint>): Integration
} = <Config extends object, Credentials, Checkpoint, Part>(
  definition: Definition<Config, Credentials, Checkpoint, Part>
): Integration => {
  const secret = secretIn(definition.config.ast)
  if (secret !== undefined) {
    throw new TypeError(
      `${definition.domain}: the config has the secret \`${secret}\`: ` +
        "declare it in `credentials`, which are sealed before they are stored"
    )
  }
  const config = Schema.toCodecJson(definition.config)
  const credentials = Schema.toCodecJson(definition.credentials)
  // A field that the schema does not name is usually a typing error: report it instead of dropping it.
  const strict = { onExcessProperty: "error", errors: "all" } as const
  const decodeConfig = Schema.decodeUnknownEffect(config, strict)
  // The encoder of a union must use the member that has all fields: another member would drop the fields that it lacks.
  const encodeConfig = Schema.encodeEffect(config, strict)
  const decodeCredentials = Schema.decodeUnknownEffect(credentials, strict)
  const encodeCredentials = Schema.encodeEffect(credentials, strict)
  const listing = ListingCodec.make(definition)

  /** Decodes stored credentials, which were valid when they were stored. The error contains no part of them. */
  const readCredentials = (json: Schema.Json) =>
    Effect.mapError(
      decodeCredentials(json),
      () => new IntegrationError({ reason: new Unauthorized({ message: "the stored credentials no longer fit" }) })
    )

  const session = (opened: Session<Checkpoint, Part>): AnySession => ({
    account: Effect.flatMap(SessionValues.effect("account", opened.account), SessionValues.account),
    estimate: Effect.flatMap(SessionValues.effect("estimate", opened.estimate), SessionValues.estimate),
    download: (ref) => SessionValues.effect("download", opened.download(ref)),
    list: (task, json, parts) =>
      listing.checkpoint(json).pipe(
        Effect.map((checkpoint) => SessionValues.stream("list", opened.list(task, checkpoint, listing.parts(parts)))),
        Stream.unwrap,
        Stream.mapEffect(listing.page)
      )
  })

  /** Decodes the config and the credentials in the options. */
  const openOptions = Effect.fnUntraced(function* (
    options: AnyOpenOptions
  ): Effect.fn.Return<OpenOptions<Config, Credentials>, Schema.SchemaError> {
    const decodedConfig = yield* decodeConfig(options.config)
    const decodedCredentials = yield* decodeCredentials(options.credentials)
    let latest = yield* encodeCredentials(decodedCredentials)
    const refreshAndSave: RefreshCredentials<Schema.Json> = Effect.fnUntraced(function* (refresh) {
      const next = yield* refresh(latest)
      if (next !== latest) yield* options.saveCredentials(next)
      latest = next
      return next
    }, Effect.uninterruptible)
    const refreshAs = options.refreshCredentials ?? refreshAndSave
    return {
      config: decodedConfig,
      credentials: decodedCredentials,
      call: options.call,
      network: options.network ?? direct,
      saveCredentials: (next) => Effect.flatMap(Effect.orDie(encodeCredentials(next)), options.saveCredentials),
      refreshCredentials: (refresh) =>
        refreshAs(
          Effect.fnUntraced(function* (json) {
            const current = yield* readCredentials(json)
            const next = yield* refresh(current)
            // The same object means no change: encoding it again might give other JSON.
            return next === current ? json : yield* Effect.orDie(encodeCredentials(next))
          })
        ).pipe(Effect.flatMap(readCredentials))
    }
  })

  const signIn = (given: SignIn<Config, Credentials>): AnySignIn => ({
    publicClients: given.publicClients ?? false,
    pkce: given.pkce ?? "all",
    loopbackHost: given.loopbackHost ?? "127.0.0.1",
    standardize: given.standardize ?? ((answer) => answer),
    provider: (json) => Effect.map(decodeConfig(json), given.provider),
    credentials: (grant) =>
      Effect.flatMap(Effect.fromResult(given.credentials(grant)), (made) => Effect.orDie(encodeCredentials(made))),
    keep: (signedIn, before) =>
      Effect.all([decodeCredentials(signedIn), decodeCredentials(before)]).pipe(
        Effect.map(([next, former]) => given.keep?.(next, former) ?? next),
        Effect.flatMap(encodeCredentials),
        Effect.orElseSucceed(() => signedIn)
      ),
    client: (json) =>
      decodeCredentials(json).pipe(
        Effect.map(given.client),
        Effect.orElseSucceed(() => undefined)
      )
  })

  const members = (given: Members<Config, Credentials>): AnyMembers => ({
    domain: given.domain,
    of: Effect.fnUntraced(function* (from) {
      const decoded = {
        config: yield* decodeConfig(from.config),
        credentials: yield* decodeCredentials(from.credentials)
      }
      return (account) => given.of(decoded, account)
    })
  })

  return {
    domain: definition.domain,
    title: definition.title ?? definition.domain,
    summary: definition.summary,
    guide: definition.guide,
    callTimeout: definition.callTimeout ?? "1 minute",
    // Made on demand, because only forms need them.
    get configSchema() {
      return jsonSchema(definition.config)
    },
    get credentialsSchema() {
      return jsonSchema(definition.credentials)
    },
    hasFields: { config: hasFields(definition.config), credentials: hasFields(definition.credentials) },
    signIn: definition.signIn === undefined ? undefined : signIn(definition.signIn),
    projection: definition.projection,
    members: definition.members === undefined ? undefined : members(definition.members),
    deletionLimits: definition.deletionLimits,
    decodeConfig: Effect.fnUntraced(function* (input) {
      const decoded = yield* decodeConfig(input)
      const json = yield* encodeConfig(decoded)
      const fields = (names: ReadonlyArray<string>) =>
        Object.fromEntries(Object.entries(json as Schema.JsonObject).filter(([name]) => names.includes(name)))
      return {
        json,
        scope: fields(definition.scope),
        address: fields(definition.address ?? []),
        quota: SessionValues.quota(definition.domain, definition.quota(decoded)),
        leftOut: definition.leftOut?.(decoded) ?? []
      }
    }),
    readsCheckpoint: listing.readsCheckpoint,
    decodeCredentials: (input) => Effect.flatMap(decodeCredentials(input), encodeCredentials),
    budgets: Effect.fnUntraced(function* (options) {
      const { account } = options
      const decoded = yield* decodeConfig(options.config)
      if (definition.budgets === undefined) {
        const { methods, unitsPerMinute } = SessionValues.quota(definition.domain, definition.quota(decoded))
        return [{ key: account, unitsPerMinute, methods }]
      }
      return definition.budgets({ account, config: decoded, credentials: yield* readCredentials(options.credentials) })
    }),
    open: (options) =>
      openOptions(options).pipe(
        Effect.flatMap((given) => SessionValues.effect("open", definition.open(given))),
        Effect.flatMap(SessionValues.session),
        Effect.map(session)
      ),
    callbacks: definition.callbacks,
    hints:
      definition.hints === undefined
        ? undefined
        : (options) =>
            Effect.map(openOptions(options), (given) =>
              Option.map(Option.fromUndefinedOr(definition.hints?.(given)), (hints) =>
                SessionValues.stream("hints", hints)
              )
            )
  }
}
