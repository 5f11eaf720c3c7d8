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

/** Where the credentials of a source are made, for the person who connects. */
export interface Guide {
  /** The address of the provider's page at which the steps begin. */
  readonly url: string
  readonly steps: ReadonlyArray<{
    /** `{redirectUri}` stands for the address to which the provider sends people back. */
    readonly text: string
    /** The people who take the step: those who sign in on the dashboard, or on the command line. Default: all. */
    readonly on?: "dashboard" | "command line" | undefined
  }>
}

/** How much a first sync would fetch, for the person who connects. */
export interface Estimate {
  /** About how many items there are; absent where the source can't say cheaply. */
  readonly items?: number | undefined
  /** Quota units that one item costs, its share of the listing included. */
  readonly unitsPerItem: number
  /** About how many bytes the body of one item has, where the provider limits bytes. */
  readonly bytesPerItem?: number | undefined
  /** Content that the items leave out, and how to include it. Replaces the definition's `leftOut`. */
  readonly leftOut?: ReadonlyArray<string> | undefined
}

/** A source that has been opened: its account, and the two programs that the engine runs. */
export interface Session<in out Checkpoint, in out Part = Schema.Json> {
  /**
   * The account, by the source's word: a Gmail address, a Slack team and user, an FTP user and host. Asked at connect
   * and after a change of credentials, never at a poll: it may cost a call.
   */
  readonly account: Effect.Effect<string, IntegrationError>
  /** How much there is. */
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
 * Refreshes credentials, one refresh at a time over all processes: a provider that rotates refresh tokens revokes the
 * grant if an old token is used again. `refresh` is given the credentials as they are stored now, and returns their
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
  /** Content that this config leaves out and a person may miss, and how to include it, in one line each. */
  readonly leftOut?: ((config: Config) => ReadonlyArray<string>) | undefined
  /**
   * The budgets that each call spends from. Only the first one slows down when the provider refuses a call. The last
   * one has to be the one that most connections share: connections that wait to be polled take turns by it. Default:
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
  /** Reads a callback of the provider (see Hints.ts). None if the provider has not signed it just now. */
  readonly callbacks?: ((callback: Callback) => Option.Option<Received>) | undefined
  readonly open: (
    options: OpenOptions<Config, Credentials>
  ) => Effect.Effect<Session<Checkpoint, Part>, IntegrationError, Scope.Scope>
}
