/**
 * An integration is a kind of source, as a program. It never imports the database or the app: it is given its config
 * and credentials, `call` for every request, `saveCredentials`, and (as a service) the `ContentExistenceChecker`.
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Content, Ref } from "./Content.ts"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import { CheckpointExpired, IntegrationError } from "./IntegrationError.ts"
import type { Page } from "./Page.ts"
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

/** The `quota` field of a config: what differs from the provider's default grant. */
export const QuotaConfig = Schema.Struct({
  unitsPerMinute: Schema.optionalKey(Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))),
  weights: Schema.optionalKey(
    Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThanOrEqualTo(0))))
  ),
  methods: Schema.optionalKey(Schema.Record(Schema.String, Schema.Finite.pipe(Schema.check(Schema.isGreaterThan(0)))))
})

/** How much a first sync would fetch, for the person who connects. */
export interface Estimate {
  /** About how many items there are; absent where the source can't say cheaply. */
  readonly items?: number | undefined
  /** Quota units that one item costs, its share of the listing included. */
  readonly unitsPerItem: number
}

/** A source that has been opened: its account, and the two programs that the engine runs. */
export interface Session<in out Checkpoint> {
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
   */
  readonly list: (
    task: SyncTask,
    checkpoint: Option.Option<Checkpoint>
  ) => Stream.Stream<Page<Checkpoint>, IntegrationError | ContentExistenceCheckerError, ContentExistenceChecker>
  /** One item, possible from the external id alone: it also serves `forceIds` and the ledger. */
  readonly download: (ref: Ref) => Effect.Effect<Content, IntegrationError>
}

/** What `open` is given. `saveCredentials` returns once refreshed tokens are safe: use them only after that. */
export interface OpenOptions<Config, Credentials> {
  readonly config: Config
  readonly credentials: Credentials
  readonly call: Call
  readonly saveCredentials: (credentials: Credentials) => Effect.Effect<void, IntegrationError>
}

/** What an author writes; `make` turns it into an `Integration`. */
export interface Definition<Config, Credentials, Checkpoint> {
  /** The name of this kind of source, as in `idem connect DOMAIN`. */
  readonly domain: string
  readonly config: Schema.Codec<Config, unknown>
  /** Secrets are `Schema.Redacted(Schema.String)`. */
  readonly credentials: Schema.Codec<Credentials, unknown>
  readonly checkpoint: Schema.Codec<Checkpoint, unknown>
  /** The config fields that decide what is listed: a change of one lists in full again, and deletes nothing. */
  readonly scope: ReadonlyArray<keyof Config & string>
  readonly quota: (config: Config) => Quota
  /** The longest that one call may take; default 1 minute. */
  readonly callTimeout?: Duration.Input | undefined
  readonly open: (
    options: OpenOptions<Config, Credentials>
  ) => Effect.Effect<Session<Checkpoint>, IntegrationError, Scope.Scope>
}

/** A session as the engine sees it: checkpoints are JSON. */
export type AnySession = Session<Schema.Json>

/** An integration whose schemas are closed over: the same type for every source, so that a registry needs no casts. */
export interface Integration {
  readonly domain: string
  readonly callTimeout: Duration.Input
  /** Checks a config and gives it back as JSON, with its scope's fields and its quota. */
  readonly decodeConfig: (input: unknown) => Effect.Effect<DecodedConfig, Schema.SchemaError>
  /** Checks credentials and gives them back as JSON, with secrets in clear: only for sealing. */
  readonly decodeCredentials: (input: unknown) => Effect.Effect<Schema.Json, Schema.SchemaError>
  /** True if a stored checkpoint can still be read. */
  readonly readsCheckpoint: (checkpoint: Schema.Json) => Effect.Effect<boolean>
  /** Opens with a config and credentials that were decoded before. */
  readonly open: (options: {
    readonly config: unknown
    readonly credentials: unknown
    readonly call: Call
    readonly saveCredentials: (credentials: Schema.Json) => Effect.Effect<void, IntegrationError>
  }) => Effect.Effect<AnySession, IntegrationError | Schema.SchemaError, Scope.Scope>
}

/** A config that fits its schema. */
export interface DecodedConfig {
  readonly json: Schema.Json
  readonly scope: Schema.JsonObject
  readonly quota: Quota
}

/** Closes a definition over its schemas. */
export const make = <Config extends object, Credentials, Checkpoint>(
  definition: Definition<Config, Credentials, Checkpoint>
): Integration => {
  const config = Schema.toCodecJson(definition.config)
  const credentials = Schema.toCodecJson(definition.credentials)
  const checkpoint = Schema.toCodecJson(definition.checkpoint)
  // A field that the schema does not name is a typing error of the person who wrote the config: it is said, not dropped.
  const strict = { onExcessProperty: "error", errors: "all" } as const
  const decodeConfig = Schema.decodeUnknownEffect(config, strict)
  const encodeConfig = Schema.encodeEffect(config)
  const decodeCredentials = Schema.decodeUnknownEffect(credentials, strict)
  const encodeCredentials = Schema.encodeEffect(credentials)
  const decodeCheckpoint = Schema.decodeUnknownEffect(checkpoint)
  const encodeCheckpoint = Schema.encodeEffect(checkpoint)

  const session = (opened: Session<Checkpoint>): AnySession => ({
    account: opened.account,
    estimate: opened.estimate,
    download: opened.download,
    list: (task, json) =>
      Effect.forEach(Option.toArray(json), (value) => decodeCheckpoint(value)).pipe(
        Effect.mapError(
          (error) =>
            new IntegrationError({
              reason: new CheckpointExpired({ message: `the stored checkpoint can't be read: ${error.message}` })
            })
        ),
        Effect.map((decoded) => opened.list(task, Option.fromUndefinedOr(decoded[0]))),
        Stream.unwrap,
        Stream.mapEffect((page) =>
          Effect.map(Effect.orDie(encodeCheckpoint(page.checkpoint)), (encoded) => ({ ...page, checkpoint: encoded }))
        )
      )
  })

  return {
    domain: definition.domain,
    callTimeout: definition.callTimeout ?? "1 minute",
    decodeConfig: Effect.fnUntraced(function* (input) {
      const decoded = yield* decodeConfig(input)
      const json = yield* encodeConfig(decoded)
      const fields = Object.entries(json as Schema.JsonObject)
      return {
        json,
        scope: Object.fromEntries(fields.filter(([name]) => definition.scope.some((field) => field === name))),
        quota: definition.quota(decoded)
      }
    }),
    readsCheckpoint: (json) => Effect.isSuccess(decodeCheckpoint(json)),
    decodeCredentials: (input) => Effect.flatMap(decodeCredentials(input), encodeCredentials),
    open: Effect.fnUntraced(function* (options) {
      const decodedConfig = yield* decodeConfig(options.config)
      const decodedCredentials = yield* decodeCredentials(options.credentials)
      const opened = yield* definition.open({
        config: decodedConfig,
        credentials: decodedCredentials,
        call: options.call,
        saveCredentials: (next) => Effect.flatMap(Effect.orDie(encodeCredentials(next)), options.saveCredentials)
      })
      return session(opened)
    })
  }
}
