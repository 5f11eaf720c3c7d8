/**
 * An integration is a kind of source, as a program. It never imports the database or the app: it is given its config
 * and credentials, `call` and `network` for every request, `saveCredentials`, and (as a service) the
 * `ContentExistenceChecker`.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "./Content.ts"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import type { Hint } from "./Hints.ts"
import { type About, describe } from "./Field.ts"
import { CheckpointExpired, IntegrationError, Unauthorized } from "./IntegrationError.ts"
import type { AnyMembers, Members } from "./Members.ts"
import { direct, type Network } from "./Network.ts"
import type { Page } from "./Page.ts"
import type { PartMove, Parts } from "./Parts.ts"
import type { Projection } from "./Projection.ts"
import type { Client, Grant, Provider, SignIn } from "./SignIn.ts"
import type { SyncTask } from "./SyncTask.ts"

/**
 * How every request to the source is made. It waits for `units` of the account's quota, counts the call, ends it at
 * its deadline, and retries `Transient` and briefly `RateLimited` failures. So the effect must be safe to repeat.
 *
 * `method` is the provider's name (`messages.get`): config may give it another weight or a limit of its own.
 */
export type Call = <A>(
  method: string,
  units: number,
  effect: Effect.Effect<A, IntegrationError>
) => Effect.Effect<A, IntegrationError>

/** What the provider grants: units a minute for the account, other weights by method, and limits by method. */
export interface Quota {
  readonly unitsPerMinute: number
  /** Units of a method instead of those that the integration passes to `call`. */
  readonly weights?: Readonly<Record<string, number>> | undefined
  /** Calls a minute of one method, besides the account's units. */
  readonly methods?: Readonly<Record<string, number>> | undefined
}

/**
 * An allowance that the provider counts under one key: an account, a workspace, an OAuth client. The calls of all
 * connections with the same key spend from it.
 */
export interface Budget {
  /** What the provider counts by. Unique within the integration: prefix it with its kind where there are several. */
  readonly key: string
  readonly unitsPerMinute?: number | undefined
  readonly unitsPerDay?: number | undefined
  /** Bytes of bodies a day. Bodies are counted once they have been read, so that the next call waits for them. */
  readonly bytesPerDay?: number | undefined
  /** Calls a minute of one method. */
  readonly methods?: Readonly<Record<string, number>> | undefined
}

/** Where the credentials of a source are made, for the person who connects. */
export interface Guide {
  /** The address of the provider's page at which the steps begin. */
  readonly url: string
  readonly steps: ReadonlyArray<{
    /** `{redirectUri}` stands for the address to which the provider sends people back. */
    readonly text: string
    /** Who takes the step: people who sign in on the dashboard, or on the command line. Default: all. */
    readonly on?: "dashboard" | "command line" | undefined
  }>
}

/** The `quota` field of a config: what differs from the provider's default grant. */
export const QuotaConfig = Schema.Struct({
  unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
  weights: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0))))
  ),
  methods: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))))
})

/** What people are told of a `quota` field. */
export const aboutQuota: About = {
  title: "Limits of the source",
  description: "What differs from the limits that the provider grants by default. A stand-in has none.",
  example: { unitsPerMinute: 1_000_000_000 },
  isAdvanced: true
}

/** How much a first sync would fetch, for the person who connects. */
export interface Estimate {
  /** About how many items there are; absent where the source can't say cheaply. */
  readonly items?: number | undefined
  /** Quota units that one item costs, its share of the listing included. */
  readonly unitsPerItem: number
  /** About how many bytes the body of one item has, where the provider limits bytes. */
  readonly bytesPerItem?: number | undefined
  /** What is there and not among the items, and how to have it: instead of `leftOut` of the config. */
  readonly leftOut?: ReadonlyArray<string> | undefined
}

/** A source that has been opened: its account, and the two programs that the engine runs. */
export interface Session<in out Checkpoint, in out Part = Schema.Json> {
  /**
   * Who the source says we are: a Gmail address, a Slack team and user, an FTP user and host. Asked at connect and when
   * the credentials were changed, never at a poll: it may cost a call.
   */
  readonly account: Effect.Effect<string, IntegrationError>
  /** How much there is. */
  readonly estimate: Effect.Effect<Estimate, IntegrationError>
  /**
   * What is new since the checkpoint, then the backfill from where the checkpoint left it. Ends when there is nothing
   * more to list now. It honours `task.window`. A forced or windowed task starts with no checkpoint, and gets its own.
   * `parts` are the checkpoints of the connection's parts (see Parts.ts).
   */
  readonly list: (
    task: SyncTask,
    checkpoint: Option.Option<Checkpoint>,
    parts: Parts<Part>
  ) => Stream.Stream<Page<Checkpoint, Part>, IntegrationError | ContentExistenceCheckerError, ContentExistenceChecker>
  /**
   * One item, possible from the external id alone: it also serves `forceIds` and the ledger. Its scope ends once the
   * body has been read, or is not wanted any more: a response that the body goes on reading from is closed there.
   */
  readonly download: (ref: Ref) => Effect.Effect<Content, IntegrationError, Scope.Scope>
}

/**
 * One refresh at a time, over all processes: a provider that replaces refresh tokens takes the grant away from whoever
 * comes second with the old one. `refresh` is given the credentials as they are stored now, and gives what they are
 * replaced by; that is stored before this returns. Where someone else has just refreshed them, `refresh` gives them
 * back as they are (the same value), and nothing is stored. `refresh` is not interrupted, nor what stores its
 * credentials: what an answer replaced and nobody stored is lost. (The request itself may be made
 * `Effect.interruptible`.)
 */
export type RefreshCredentials<Credentials> = (
  refresh: (current: Credentials) => Effect.Effect<Credentials, IntegrationError>
) => Effect.Effect<Credentials, IntegrationError>

/** What `open` is given. */
export interface OpenOptions<Config, Credentials> {
  readonly config: Config
  readonly credentials: Credentials
  readonly call: Call
  /** Every connection to the source is made through it. */
  readonly network: Network
  /**
   * Stores credentials that the source replaced, and returns once they are safe: use them only after that. For what
   * nobody else replaces at the same time; a token that is refreshed goes through `refreshCredentials`.
   */
  readonly saveCredentials: (credentials: Credentials) => Effect.Effect<void, IntegrationError>
  readonly refreshCredentials: RefreshCredentials<Credentials>
}

/** The largest number, or share of what is stored, that may be deleted at once without a person. */
export interface DeletionLimits {
  readonly deletions: number
  readonly deletionShare: number
}

/** What an author writes; `make` turns it into an `Integration`. */
export interface Definition<Config, Credentials, Checkpoint, Part = Schema.Json> {
  /** The name of this kind of source, as in `idem connect DOMAIN`. */
  readonly domain: string
  /** The name that people know the source by: `Gmail`. Default: the domain. */
  readonly title?: string | undefined
  /** What a connection mirrors, in a few words: `a mailbox`. */
  readonly summary?: string | undefined
  readonly guide?: Guide | undefined
  readonly config: Schema.Codec<Config, unknown>
  /** Secrets are `Schema.Redacted(Schema.String)`. */
  readonly credentials: Schema.Codec<Credentials, unknown>
  readonly checkpoint: Schema.Codec<Checkpoint, unknown>
  /** The checkpoint of a part, for an integration that has parts (see Parts.ts). */
  readonly part?: Schema.Codec<Part, unknown> | undefined
  /** The config fields that decide what is listed: a change of one lists in full again, and deletes nothing. */
  readonly scope: ReadonlyArray<keyof Config & string>
  /**
   * The config fields that say where credentials are sent, where a config may say so: a server's name, another root of
   * the API. Who may change a config may not therefore have the credentials: after a change of one of these, what is
   * stored is not sent, and the change is refused unless credentials are given with it. Values are compared as they are
   * encoded; an absent one equals only an absent one. The settings' own client signs in only where none is given.
   * Default none.
   */
  readonly address?: ReadonlyArray<keyof Config & string> | undefined
  readonly quota: (config: Config) => Quota
  /** What this config leaves out that a person may miss, and how to have it, in one line each. */
  readonly leftOut?: ((config: Config) => ReadonlyArray<string>) | undefined
  /**
   * The budgets that each call spends from. Only the first one slows down when the provider refuses a call. Default:
   * one budget of `quota`'s amounts, keyed by the account.
   */
  readonly budgets?:
    | ((options: {
        readonly config: Config
        readonly credentials: Credentials
        readonly account: string
      }) => ReadonlyArray<Budget>)
    | undefined
  /** The longest that one call may take; default 1 minute. */
  readonly callTimeout?: Duration.Input | undefined
  /** How an account is signed in at the provider, where that is possible. */
  readonly signIn?: SignIn<Config, Credentials> | undefined
  /**
   * A stream of hints (see Hints.ts); undefined where these credentials do not allow one. It ends or fails when it no
   * longer listens, and does not reconnect by itself. It has a connection of its own, beside the sessions of `open`.
   */
  readonly hints?:
    | ((options: OpenOptions<Config, Credentials>) => Stream.Stream<Hint, IntegrationError> | undefined)
    | undefined
  /** How content becomes rows of the schema `mirror`. Without one, `mirror.content` has a row for it, and its text. */
  readonly projection?: Projection | undefined
  /** For a source whose contents are accounts that have connections of their own (see Members.ts). */
  readonly members?: Members<Config, Credentials> | undefined
  /**
   * Deletions that exceed this number and this share of what is stored are held until a person approves them. Default:
   * the engine's limits, 100 and 20 %.
   */
  readonly deletionLimits?: DeletionLimits | undefined
  readonly open: (
    options: OpenOptions<Config, Credentials>
  ) => Effect.Effect<Session<Checkpoint, Part>, IntegrationError, Scope.Scope>
}

/** A session as the engine sees it: checkpoints are JSON. */
export type AnySession = Session<Schema.Json, Schema.Json>

/** How accounts of an integration are signed in: config and credentials are JSON. */
export interface AnySignIn {
  readonly publicClients: boolean
  readonly pkce: "all" | "public"
  readonly loopbackHost: string
  readonly standardize: (answer: Schema.Json) => Schema.Json
  readonly provider: (config: unknown) => Effect.Effect<Provider, Schema.SchemaError>
  /** Credentials as JSON, with secrets in clear: only for `decodeCredentials`; or why the grant is no use. */
  readonly credentials: (grant: Grant) => Effect.Effect<Schema.Json, string>
  /** The client in these credentials, if they are right and hold one. */
  readonly client: (credentials: unknown) => Effect.Effect<Client | undefined>
}

/** An integration whose schemas are closed over: the same type for every source, so that a registry needs no casts. */
export interface Integration {
  readonly domain: string
  readonly title: string
  readonly summary: string | undefined
  readonly guide: Guide | undefined
  readonly callTimeout: Duration.Input
  /** What a config looks like, as JSON Schema (draft 2020-12). */
  readonly configSchema: Schema.JsonObject
  /** What credentials look like, as JSON Schema. */
  readonly credentialsSchema: Schema.JsonObject
  readonly signIn: AnySignIn | undefined
  readonly projection: Projection | undefined
  readonly members: AnyMembers | undefined
  readonly deletionLimits: DeletionLimits | undefined
  /** Checks a config and gives it back as JSON, with the fields of its scope and its address, and its quota. */
  readonly decodeConfig: (input: unknown) => Effect.Effect<DecodedConfig, Schema.SchemaError>
  /** Checks credentials and gives them back as JSON, with secrets in clear: only for sealing. */
  readonly decodeCredentials: (input: unknown) => Effect.Effect<Schema.Json, Schema.SchemaError>
  /** The budgets of a connection, with a config and credentials that were decoded before. */
  readonly budgets: (options: {
    readonly config: unknown
    readonly credentials: Schema.Json
    readonly account: string
  }) => Effect.Effect<ReadonlyArray<Budget>, IntegrationError | Schema.SchemaError>
  /** True if a stored checkpoint can still be read. */
  readonly readsCheckpoint: (checkpoint: Schema.Json) => Effect.Effect<boolean>
  /** Opens with a config and credentials that were decoded before. */
  readonly open: (
    options: AnyOpenOptions
  ) => Effect.Effect<AnySession, IntegrationError | Schema.SchemaError, Scope.Scope>
  /** The stream of hints, none where these credentials do not allow one; absent if no credentials do. */
  readonly hints:
    | ((
        options: AnyOpenOptions
      ) => Effect.Effect<Option.Option<Stream.Stream<Hint, IntegrationError>>, IntegrationError | Schema.SchemaError>)
    | undefined
}

/** What the engine opens a source with: config and credentials are JSON that was decoded before. */
export interface AnyOpenOptions {
  readonly config: unknown
  readonly credentials: unknown
  readonly call: Call
  /** Default: one that restricts nothing. */
  readonly network?: Network | undefined
  readonly saveCredentials: (credentials: Schema.Json) => Effect.Effect<void, IntegrationError>
  /** Where it is not given, nobody else refreshes these credentials: `saveCredentials` is all that it takes. */
  readonly refreshCredentials?: RefreshCredentials<Schema.Json> | undefined
}

/** A config that fits its schema. */
export interface DecodedConfig {
  readonly json: Schema.Json
  readonly scope: Schema.JsonObject
  /** Where credentials are sent: empty at the provider's own address. */
  readonly address: Schema.JsonObject
  readonly quota: Quota
  readonly leftOut: ReadonlyArray<string>
}

const draft = { $schema: "https://json-schema.org/draft/2020-12/schema" }

/** What JSON Schema can't say is any value there: decoding has the last word. */
const jsonSchema = (schema: Schema.Codec<unknown, unknown>): Schema.JsonObject => {
  try {
    const { definitions, schema: root } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
    const named = Object.keys(definitions).length === 0 ? {} : { $defs: definitions as Schema.JsonObject }
    return { ...draft, ...describe(root as Schema.JsonObject, schema.ast), ...named }
  } catch {
    return draft
  }
}

/** Closes a definition over its schemas. */
export const make: {
  /** For an integration with parts. */
  <Config extends object, Credentials, Checkpoint, Part>(
    definition: Definition<Config, Credentials, Checkpoint, Part> & { readonly part: Schema.Codec<Part, unknown> }
  ): Integration
  <Config extends object, Credentials, Checkpoint>(definition: Definition<Config, Credentials, Checkpoint>): Integration
} = <Config extends object, Credentials, Checkpoint, Part>(
  definition: Definition<Config, Credentials, Checkpoint, Part>
): Integration => {
  const config = Schema.toCodecJson(definition.config)
  const credentials = Schema.toCodecJson(definition.credentials)
  const checkpoint = Schema.toCodecJson(definition.checkpoint)
  // A field that the schema does not name is a typing error of the person who wrote the config: it is said, not
  // dropped.
  const strict = { onExcessProperty: "error", errors: "all" } as const
  const decodeConfig = Schema.decodeUnknownEffect(config, strict)
  const encodeConfig = Schema.encodeEffect(config)
  const decodeCredentials = Schema.decodeUnknownEffect(credentials, strict)
  const encodeCredentials = Schema.encodeEffect(credentials)
  const decodeCheckpoint = Schema.decodeUnknownEffect(checkpoint)
  const encodeCheckpoint = Schema.encodeEffect(checkpoint)

  const expired = (what: string) => (error: Schema.SchemaError) =>
    new IntegrationError({
      reason: new CheckpointExpired({ message: `${what} can't be read: ${error.message}` })
    })
  const part = Schema.toCodecJson<Schema.Codec<Part, unknown>>(definition.part ?? Schema.Never)
  const decodePart = Schema.decodeUnknownEffect(part)
  const encodePart = Schema.encodeEffect(part)

  /** The parts as the integration reads them. */
  const partsOf = (json: Parts<Schema.Json>): Parts<Part> => ({
    hinted: json.hinted,
    get: (keys) =>
      Effect.flatMap(json.get(keys), (found) =>
        Effect.map(
          Effect.forEach(found, ([key, value]) => Effect.map(decodePart(value), (decoded) => [key, decoded] as const)),
          (entries) => new Map(entries)
        ).pipe(Effect.mapError(expired("a stored part")))
      )
  })

  const encodeMove = ({ checkpoint: value, key }: PartMove<Part>) =>
    value === null
      ? Effect.succeed({ key, checkpoint: null })
      : Effect.map(Effect.orDie(encodePart(value)), (encoded) => ({ key, checkpoint: encoded }))

  /** Stored credentials, which fitted when they were stored. Nothing of them is in the error. */
  const readCredentials = (json: Schema.Json) =>
    Effect.mapError(
      decodeCredentials(json),
      () => new IntegrationError({ reason: new Unauthorized({ message: "the stored credentials no longer fit" }) })
    )

  const session = (opened: Session<Checkpoint, Part>): AnySession => ({
    account: opened.account,
    estimate: opened.estimate,
    download: opened.download,
    list: (task, json, parts) =>
      Effect.forEach(Option.toArray(json), (value) => decodeCheckpoint(value)).pipe(
        Effect.mapError(expired("the stored checkpoint")),
        Effect.map((decoded) => opened.list(task, Option.fromUndefinedOr(decoded[0]), partsOf(parts))),
        Stream.unwrap,
        Stream.mapEffect((page) =>
          Effect.map(
            Effect.all([Effect.orDie(encodeCheckpoint(page.checkpoint)), Effect.forEach(page.parts ?? [], encodeMove)]),
            ([checkpoint, moves]) => ({ ...page, checkpoint, parts: moves })
          )
        )
      )
  })

  /** The options with config and credentials decoded. */
  const openOptions = Effect.fnUntraced(function* (
    options: AnyOpenOptions
  ): Effect.fn.Return<OpenOptions<Config, Credentials>, Schema.SchemaError> {
    const decodedConfig = yield* decodeConfig(options.config)
    const decodedCredentials = yield* decodeCredentials(options.credentials)
    let alone = yield* encodeCredentials(decodedCredentials)
    const refreshAlone: RefreshCredentials<Schema.Json> = Effect.fnUntraced(function* (refresh) {
      const next = yield* refresh(alone)
      if (next !== alone) yield* options.saveCredentials(next)
      alone = next
      return next
    }, Effect.uninterruptible)
    const refreshAs = options.refreshCredentials ?? refreshAlone
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
            // The same value is no change, whatever its encoding would be.
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
    // Only who shows a form asks for them.
    get configSchema() {
      return jsonSchema(definition.config)
    },
    get credentialsSchema() {
      return jsonSchema(definition.credentials)
    },
    signIn: definition.signIn === undefined ? undefined : signIn(definition.signIn),
    projection: definition.projection,
    members: definition.members === undefined ? undefined : members(definition.members),
    deletionLimits: definition.deletionLimits,
    decodeConfig: Effect.fnUntraced(function* (input) {
      const decoded = yield* decodeConfig(input)
      const json = yield* encodeConfig(decoded)
      const fields = (names: ReadonlyArray<string>) =>
        Object.fromEntries(
          Object.entries(json as Schema.JsonObject).filter(
            ([name, value]) => names.includes(name) && value !== undefined
          )
        )
      return {
        json,
        scope: fields(definition.scope),
        address: fields(definition.address ?? []),
        quota: definition.quota(decoded),
        leftOut: definition.leftOut?.(decoded) ?? []
      }
    }),
    readsCheckpoint: (json) => Effect.isSuccess(decodeCheckpoint(json)),
    decodeCredentials: (input) => Effect.flatMap(decodeCredentials(input), encodeCredentials),
    budgets: Effect.fnUntraced(function* (options) {
      const { account } = options
      const decoded = yield* decodeConfig(options.config)
      if (definition.budgets === undefined) {
        const { methods, unitsPerMinute } = definition.quota(decoded)
        return [{ key: account, unitsPerMinute, methods }]
      }
      return definition.budgets({ account, config: decoded, credentials: yield* readCredentials(options.credentials) })
    }),
    open: (options) => Effect.map(Effect.flatMap(openOptions(options), definition.open), session),
    hints:
      definition.hints === undefined
        ? undefined
        : (options) => Effect.map(openOptions(options), (given) => Option.fromUndefinedOr(definition.hints?.(given)))
  }
}
