/**
 * The services of commands. They are built only after a command's flags and arguments have been checked, so that help
 * and wrong usage start no database.
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { HttpServer } from "effect/http/HttpServer"
import type * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import type { Engine } from "../engine/Engine.ts"
import { Integrations } from "../engine/source/Integrations.ts"
import type { PollingClaim } from "../engine/locks/PollingClaim.ts"
import type * as LeasedSlice from "../engine/sync/LeasedSlice.ts"
import type { Rekeyed } from "../engine/secrets/Rekey.ts"
import type { NameTaken, StartError } from "../engine/store/StoreError.ts"
import type { WebhookStore } from "../engine/store/WebhookStore.ts"
import type { Copied, CopiedWebhook } from "../stores/Copy.ts"
import type { Inspection } from "../stores/postgres/DatabaseInspection.ts"
import type { ApiClient } from "../http/client/ApiClient.ts"
import * as CommandFailure from "./CommandFailure.ts"

/** The data to copy, and callbacks for the progress. */
interface CopyOptions {
  /** A data folder of Idem, or the URL of a database, which may contain a password. */
  readonly from: Redacted.Redacted
  /** The name of the connection to copy; undefined for all. */
  readonly connection: string | undefined
  /** The folder of large bodies; undefined if they are in the database. */
  readonly blobFolder: string | undefined
  readonly onConnection: (name: string) => Effect.Effect<void>
  /** Called for a connection whose credentials can't be unsealed with the present keys. */
  readonly onLocked: (name: string) => Effect.Effect<void>
  /** Called for a webhook whose secret can't be unsealed with the present keys. */
  readonly onLockedWebhook: (name: string) => Effect.Effect<void>
}

export class AppServices extends Context.Service<
  AppServices,
  {
    /** The API: in this process, or on the server that `IDEM_URL` names. */
    readonly api: Layer.Layer<ApiClient, StartError>
    readonly layer: Layer.Layer<Engine | LeasedSlice.Services | WebhookStore, StartError>
    /** Polls, and delivers webhooks, while its scope is open. */
    readonly poller: Layer.Layer<PollingClaim, StartError, LeasedSlice.Services | WebhookStore>
    /** Serves HTTP while its scope is open. */
    readonly server: Layer.Layer<HttpServer, StartError, Engine | PollingClaim | LeasedSlice.Services | WebhookStore>
    /**
     * Copies connections of another database into this database. Returns the connections that it copied, and those that
     * had been copied before; `source` is the name of the other database, without a password.
     */
    readonly copy: (options: CopyOptions) => Effect.Effect<
      {
        readonly copied: ReadonlyArray<Copied>
        readonly skipped: ReadonlyArray<string>
        readonly webhooks: ReadonlyArray<CopiedWebhook>
        readonly tokens: ReadonlyArray<string>
        readonly source: string
      },
      StartError | NameTaken
    >
    /** Moves large bodies to the present place (see `BlobLocation.move`). */
    readonly moveBlobs: Effect.Effect<{ readonly bodies: number; readonly bytes: number }, StartError>
    /** Opens the place of large bodies, tries to write to it, and returns its name. */
    readonly inspectBlobs: Effect.Effect<string, StartError>
    /**
     * Allows a role to read the schema `mirror` (see `ReadOnlyRole.grant`). Returns the URL to connect with, for a new
     * password.
     */
    readonly grant: (
      role: string,
      options: { readonly login: boolean }
    ) => Effect.Effect<{ readonly created: boolean; readonly url: string | undefined }, StartError>
    /** Inspects the database without changing it. */
    readonly inspect: Effect.Effect<Inspection, StartError>
    /** Seals everything again with the current key (see `Rekey.rekey`). */
    readonly rekey: Effect.Effect<Rekeyed, StartError>
    /** Migrates the database. Returns the version of its schema before and after, and its epoch. */
    readonly migrate: (options: {
      /** True to begin a new epoch, in which readers of the feed begin again. */
      readonly newEpoch: boolean
    }) => Effect.Effect<
      { readonly before: number; readonly after: number; readonly epoch: number; readonly begun: boolean },
      StartError
    >
  }
>()("idem/cli/AppServices") {}

/** `IDEM_CLUSTER`: true if this process polls in a cluster. */
export const many: Config.Config<boolean> = Config.Boolean("IDEM_CLUSTER").pipe(Config.withDefault(false))

/** Runs work with the store, the engine and their services. */
export const provide = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | StartError, AppServices | Exclude<R, Engine | LeasedSlice.Services | WebhookStore>> =>
  AppServices.use((services) => Effect.provide(work, services.layer))

/** Runs a command's work with the API that it calls. */
export const ask = <A, E, R>(
  work: Effect.Effect<A, E, R>
): Effect.Effect<A, E | StartError, AppServices | Exclude<R, ApiClient>> =>
  AppServices.use((services) => Effect.provide(work, services.api))

/**
 * The domains of all integrations. Commands that open sources read them first, so that a broken `idem.config.ts` is
 * reported as wrong usage before anything starts.
 */
export const domains: Effect.Effect<ReadonlyArray<string>, CommandFailure.Failure, Integrations> = Integrations.use(
  (integrations) => Effect.mapError(integrations.domains, (error) => CommandFailure.usage(error.message))
)
