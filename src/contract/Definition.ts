/**
 * The definition of an integration, as its author writes it. An integration is a kind of source, as a program. It never
 * imports the database or the app: it is given its config and credentials, `call` and `network` for every request,
 * `saveCredentials`, and (as a service) the `ContentExistenceChecker`.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Content, Ref } from "./Content.ts"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import type { Callback, Hint, Received } from "./Hints.ts"
import type { IntegrationError } from "./IntegrationError.ts"
import type { Members } from "./Members.ts"
import type { Network } from "./Network.ts"
import type { Page } from "./Page.ts"
import type { Parts } from "./Parts.ts"
import type { Projection } from "./Projection.ts"
import type { Budget, Call, Quota } from "./Quota.ts"
import type { SignIn } from "./SignIn.ts"
import type { SyncTask } from "./SyncTask.ts"

/** Instructions for creating credentials at the provider, shown to the person who connects. */
export interface Guide {
  /** The address of the provider's page on which the steps begin. */
  readonly url: string
  readonly steps: ReadonlyArray<{
    /** The text of the step. `{redirectUri}` is replaced by the redirect URI of the sign-in. */
    readonly text: string
    /** Limits the step to sign-ins on the dashboard or on the command line. Default: both. */
    readonly on?: "dashboard" | "command line" | undefined
  }>
}

/** The estimated amount of a first sync, for the person who connects. */
export interface Estimate {
  /** The approximate number of items; absent if the source can't count them cheaply. */
  readonly items?: number | undefined
  /** Quota units that one item costs, its share of the listing included. */
  readonly unitsPerItem: number
  /** The approximate size of one item's body in bytes, if the provider limits bytes. */
  readonly bytesPerItem?: number | undefined
  /** Content that the items leave out, and how to include it. Replaces the definition's `leftOut`. */
  readonly leftOut?: ReadonlyArray<string> | undefined
}

/** A source that has been opened: its account, and the two programs that the engine runs, `list` and `download`. */
export interface Session<in out Checkpoint, in out Part = Schema.Json> {
  /**
   * Returns the account that the source reports: a Gmail address, a Slack team and user, an FTP user and host. The
   * engine calls this at connect and after a change of credentials, not at polls: it may cost a call. The bounds are
   * those of an external id.
   */
  readonly account: Effect.Effect<string, IntegrationError>
  /** Estimates how much a first sync would fetch. */
  readonly estimate: Effect.Effect<Estimate, IntegrationError>
  /**
   * Lists what is new since the checkpoint, then continues the backfill from the checkpoint. Ends when nothing is left
   * to list now. Honours `task.window`. A forced or windowed task starts with no checkpoint, and gets its own. `parts`
   * are the checkpoints of the connection's parts (see Parts.ts).
   */
  readonly list: (
    task: SyncTask,
    checkpoint: Option.Option<Checkpoint>,
    parts: Parts<Part>
  ) => Stream.Stream<Page<Checkpoint, Part>, IntegrationError | ContentExistenceCheckerError, ContentExistenceChecker>
  /**
   * Downloads one item, by its external id alone: `forceIds` and the ledger use it without a listing. The scope ends
   * once the body has been read or is no longer needed: close the response that the body reads from in it.
   */
  readonly download: (ref: Ref) => Effect.Effect<Content, IntegrationError, Scope.Scope>
}

/**
 * Refreshes credentials. Refreshes are serialized over all processes: a provider that rotates refresh tokens revokes
 * the grant if an old token is used again. `refresh` is given the credentials as they are stored now, and returns their
 * replacement, which is stored before this returns. If another process has just refreshed them, `refresh` returns the
 * same value, and nothing is stored.
 *
 * `refresh` and the storing are uninterruptible: a rotated token that is not stored is lost. (`refresh` may make its
 * request `Effect.interruptible`.)
 */
export type RefreshCredentials<Credentials> = (
  refresh: (current: Credentials) => Effect.Effect<Credentials, IntegrationError>
) => Effect.Effect<Credentials, IntegrationError>

/** The arguments of `open`. */
export interface OpenOptions<Config, Credentials> {
  readonly config: Config
  readonly credentials: Credentials
  readonly call: Call
  /** Makes every connection to the source. */
  readonly network: Network
  /**
   * Stores credentials that the source replaced, and returns once they are stored: use the new credentials only after
   * that. For credentials that no other process replaces at the same time; for a token that is refreshed, use
   * `refreshCredentials`.
   */
  readonly saveCredentials: (credentials: Credentials) => Effect.Effect<void, IntegrationError>
  readonly refreshCredentials: RefreshCredentials<Credentials>
}

/** How many deletions may be applied at once without approval: a number, and a share of the stored content. */
export interface DeletionLimits {
  readonly deletions: number
  readonly deletionShare: number
}

/** The definition of an integration; `Integration.make` turns it into an `Integration`. */
export interface Definition<Config, Credentials, Checkpoint, Part = Schema.Json> {
  /** The name of this kind of source, as in `idem connect DOMAIN`. */
  readonly domain: string
  /** The name that people know the source by: `Gmail`. Default: the domain. */
  readonly title?: string | undefined
  /** Describes in a few words what a connection mirrors: `a mailbox`. */
  readonly summary?: string | undefined
  readonly guide?: Guide | undefined
  readonly config: Schema.Codec<Config, unknown>
  /** The schema of the credentials. Secrets are `Schema.Redacted(Schema.String)`. */
  readonly credentials: Schema.Codec<Credentials, unknown>
  readonly checkpoint: Schema.Codec<Checkpoint, unknown>
  /** The checkpoint of a part, for an integration that has parts (see Parts.ts). */
  readonly part?: Schema.Codec<Part, unknown> | undefined
  /**
   * The config fields that decide what is listed. A change of one of them causes a full listing, and deletes nothing.
   */
  readonly scope: ReadonlyArray<keyof Config & string>
  /**
   * The config fields that decide to which server credentials are sent, such as a host name or another root URL of the
   * API. They are protected, because a person who may change the config must not thereby obtain the credentials: a
   * change of one of these fields is refused unless credentials are given with it, and stored credentials are not sent
   * to the new address. Values are compared as they are encoded; an absent value equals only an absent one. The OAuth
   * client of the settings is used only if none of these fields is set. Default: none.
   */
  readonly address?: ReadonlyArray<keyof Config & string> | undefined
  readonly quota: (config: Config) => Quota
  /** Describes content that this config leaves out and a person may miss, and how to include it, one line each. */
  readonly leftOut?: ((config: Config) => ReadonlyArray<string>) | undefined
  /**
   * The budgets that each call spends from. Only the first one slows down when the provider refuses a call. The last
   * one must be the budget that most connections share: connections that wait to be polled take turns by it. Default:
   * one budget of `quota`'s amounts, keyed by the account.
   */
  readonly budgets?:
    | ((options: {
        readonly config: Config
        readonly credentials: Credentials
        readonly account: string
      }) => ReadonlyArray<Budget>)
    | undefined
  /** The time limit of one call. Default: 1 minute. */
  readonly callTimeout?: Duration.Input | undefined
  /** Signs an account in at the provider. Absent if the provider has no such sign-in. */
  readonly signIn?: SignIn<Config, Credentials> | undefined
  /**
   * Returns a stream of hints (see Hints.ts), or undefined if these credentials do not allow one. The stream ends or
   * fails when it loses its connection, and does not reconnect by itself. It is opened independently of the sessions of
   * `open`.
   */
  readonly hints?:
    | ((options: OpenOptions<Config, Credentials>) => Stream.Stream<Hint, IntegrationError> | undefined)
    | undefined
  /**
   * Turns content into rows of the schema `mirror`. Without a projection, content has only its row in `mirror.content`,
   * with its text.
   */
  readonly projection?: Projection | undefined
  /** For a source whose contents are accounts that have connections of their own (see Members.ts). */
  readonly members?: Members<Config, Credentials> | undefined
  /**
   * Deletions that exceed this number and this share of what is stored are held until a person approves them. Default:
   * the engine's limits, 100 and 20 %.
   */
  readonly deletionLimits?: DeletionLimits | undefined
  /**
   * Reads a callback of the provider (see Hints.ts). Returns `Option.none` unless the provider signed the callback
   * recently.
   */
  readonly callbacks?: ((callback: Callback) => Option.Option<Received>) | undefined
  readonly open: (
    options: OpenOptions<Config, Credentials>
  ) => Effect.Effect<Session<Checkpoint, Part>, IntegrationError, Scope.Scope>
}
