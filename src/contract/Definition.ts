/**
 * What the author of an integration writes. An integration is a kind of source, as a program. It never imports the
 * database or the app: it is given its config and credentials, `call` and `network` for every request,
 * `saveCredentials`, and (as a service) the `ContentExistenceChecker`.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Callback, Received } from "./Callbacks.ts"
import type { Content, Ref } from "./Content.ts"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "./ContentExistenceChecker.ts"
import type { Hint } from "./Hints.ts"
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
    /** Who takes the step: people who sign in on the dashboard, or on the command line. Default: all. */
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
  /** What a callback of the provider says (see Callbacks.ts); none if the provider has not signed it just now. */
  readonly callbacks?: ((callback: Callback) => Option.Option<Received>) | undefined
  readonly open: (
    options: OpenOptions<Config, Credentials>
  ) => Effect.Effect<Session<Checkpoint, Part>, IntegrationError, Scope.Scope>
}
