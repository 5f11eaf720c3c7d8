/** The composition root: chooses the integrations, the store and the cluster. No other file does. */
import * as NodeDns from "@effect/platform-node/NodeDns"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Path from "effect/Path"
import * as ConfigFile from "./cli/ConfigFile.ts"
import * as RemoteServer from "./cli/RemoteServer.ts"
import { many, AppServices } from "./cli/AppServices.ts"
import type { Integration } from "./contract/Integration.ts"
import { none as noProjection, type Projection } from "./contract/Projection.ts"
import { Deriver, ProjectionRegistry } from "./derive/Deriver.ts"
import { Integrations } from "./engine/source/Integrations.ts"
import * as EngineLimits from "./engine/Limits.ts"
import { Quotas } from "./engine/source/Quotas.ts"
import { credentialsContext, layer as vaultLayer, Vault, webhookContext } from "./engine/secrets/Vault.ts"
import * as DownloadBudget from "./engine/sync/DownloadBudget.ts"
import * as SourceNetwork from "./engine/network/SourceNetwork.ts"
import * as LazyServices from "./LazyServices.ts"
import * as FeedReader from "./integrations/rss/FeedReader.ts"
import * as Blobs from "./stores/blobs/BlobLocation.ts"
import * as Database from "./stores/Database.ts"
import * as Postgres from "./stores/Postgres.ts"
import * as SharedQuotas from "./stores/postgres/SharedQuotas.ts"
import * as PostgresWebhooks from "./stores/postgres/WebhookStore.ts"

// An integration's module is loaded when a connection uses it, so that commands start faster.
const load = (module: () => Promise<{ readonly integration: Integration }>): Effect.Effect<Integration> =>
  Effect.map(Effect.promise(module), ({ integration }) => integration)

const builtIn = {
  ftp: load(() => import("./integrations/Ftp.ts")),
  gmail: load(() => import("./integrations/Gmail.ts")),
  "gmail-domain": load(() => import("./integrations/GmailDomain.ts")),
  imap: load(() => import("./integrations/Imap.ts")),
  rss: load(() => import("./integrations/Rss.ts")),
  slack: load(() => import("./integrations/Slack.ts"))
}

// A projection is a small separate module, so that deriving does not load the providers' clients.
const projectionOf = (module: () => Promise<{ readonly projection: Projection }>): Effect.Effect<Projection> =>
  Effect.map(Effect.promise(module), ({ projection }) => projection)

const builtInProjections = {
  ftp: projectionOf(() => import("./integrations/ftp/Projection.ts")),
  gmail: projectionOf(() => import("./integrations/gmail/Projection.ts")),
  imap: projectionOf(() => import("./integrations/imap/Projection.ts")),
  rss: projectionOf(() => import("./integrations/rss/Projection.ts")),
  slack: projectionOf(() => import("./integrations/slack/Projection.ts"))
}

/**
 * Integrations added to the built-in ones, which they replace by domain: those of `idem.config.ts`, unless a program
 * passes its own.
 */
export const AddedIntegrations = Context.Reference<typeof ConfigFile.load>("idem/App/AddedIntegrations", {
  defaultValue: () => ConfigFile.load
})
const added = Effect.flatMap(AddedIntegrations, (load) => load)

/** The projections of the built-in integrations, and of the added ones. */
const projections = Layer.effect(
  ProjectionRegistry,
  Effect.gen(function* () {
    const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
    const load = Effect.all({
      own: Effect.provideContext(added, context),
      builtIn: Effect.all(builtInProjections)
    })
    const all = Effect.map(
      load,
      ({ builtIn, own }) =>
        new Map([
          ...Object.entries(builtIn),
          ...own.map(({ domain, projection }) => [domain, projection ?? noProjection] as const)
        ])
    )
    return { all: yield* Effect.cached(all) }
  })
)

const integrations = Layer.unwrap(
  Effect.map(Effect.context<FileSystem.FileSystem | Path.Path>(), (context) =>
    Integrations.layer(builtIn, Effect.provideContext(added, context))
  )
)

/** The store, in a migrated database. */
const store = Layer.unwrap(Effect.as(Postgres.migrate, Layer.provide(Postgres.layer, Blobs.layer)))

/** The quotas, which all processes of a database share. */
const quotas = Layer.provide(Quotas.layer, [SharedQuotas.layer, EngineLimits.layer])

const engine = LazyServices.engine.pipe(
  Layer.provideMerge(
    Layer.mergeAll(
      store,
      Layer.provide(LazyServices.deriver, [store, projections]),
      LazyServices.search,
      PostgresWebhooks.layer,
      Database.layerVault,
      quotas,
      DownloadBudget.layer,
      EngineLimits.layer
    )
  ),
  Layer.provide(Database.layer),
  // Provided with the engine, so that every module uses the same rule for addresses.
  Layer.provideMerge(Layer.provide(SourceNetwork.layer, NodeDns.layer)),
  Layer.provideMerge(FeedReader.layer)
)

/** The database into which data is copied. */
const copyTarget = Layer.unwrap(Effect.as(Postgres.migrate, Layer.mergeAll(Blobs.layer, Database.layerVault))).pipe(
  Layer.provideMerge(Database.layer)
)

/** Polls alone or, with `IDEM_CLUSTER=1`, in a cluster. Loaded for `idem serve` only, because a cluster is large. */
const poller = Layer.unwrap(
  Effect.gen(function* () {
    // A process that can't open credentials does not begin to poll.
    yield* (yield* Vault).keys
    const [Scheduler, Dispatcher, Feed] = yield* Effect.promise(() =>
      Promise.all([
        import("./engine/schedule/Scheduler.ts"),
        import("./engine/webhooks/Dispatcher.ts"),
        import("./engine/feed/Feed.ts")
      ])
    )
    const following = Layer.effectDiscard(Effect.flatMap(Deriver, ({ follow }) => Effect.forkScoped(follow)))
    const delivering = Layer.merge(Layer.provide(Dispatcher.layer, [Feed.layer, LazyServices.eagerSender]), following)
    if (!(yield* many)) return Layer.provideMerge(delivering, Scheduler.layer)
    const Cluster = yield* Effect.promise(() => import("./stores/postgres/Cluster.ts"))
    // The lease of a dead process lasts no longer than its membership in the cluster.
    const leases = Layer.effect(
      EngineLimits.Limits,
      Effect.gen(function* () {
        const leaseTtl = yield* Cluster.expiration
        return { ...(yield* EngineLimits.Limits), leaseTtl }
      })
    )
    return delivering.pipe(
      Layer.provideMerge(Scheduler.layerMember(Cluster.layer)),
      Layer.provide(leases),
      Layer.provide(Database.layerSessions)
    )
  })
)

/** Loaded for a server only, so that commands start faster. */
const server = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("./http/Server.ts")),
    (HttpServer) => Layer.provide(HttpServer.layerConfig, LazyServices.eagerSender)
  )
)

/** The API over this process's services. Only commands that call the API need it. */
const inProcess = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("./http/client/LocalApi.ts")),
    ({ layer }) => layer
  )
)

const services = Layer.effect(
  AppServices,
  Effect.gen(function* () {
    const context = yield* Effect.context<FileSystem.FileSystem | Path.Path | Integrations>()
    const all = Layer.provideMerge(engine, Layer.succeedContext(context))
    return AppServices.of({
      api: RemoteServer.api(inProcess.pipe(Layer.provide(LazyServices.sender), Layer.provide(all))),
      layer: all,
      poller,
      server: Layer.provide(server, Layer.succeedContext(context)),
      copy: (options) =>
        Effect.promise(() => import("./stores/CopySource.ts")).pipe(
          Effect.flatMap(({ run }) => run({ ...options, context: credentialsContext, webhookContext })),
          Effect.provide(copyTarget),
          Effect.provideContext(context)
        ),
      moveBlobs: Effect.andThen(Postgres.migrate, Blobs.move).pipe(
        Effect.provide(Database.layer),
        Effect.provideContext(context)
      ),
      inspectBlobs: Blobs.check.pipe(Effect.provide(Database.layer), Effect.provideContext(context)),
      grant: (role, options) =>
        Effect.gen(function* () {
          const deriver = yield* Deriver
          const { created, password } = yield* deriver.grant(role, options)
          const url = password === undefined ? undefined : yield* Database.urlOf(role, Redacted.make(password))
          return { created, url: url === undefined ? undefined : Redacted.value(url) }
        }).pipe(
          Effect.provide(Layer.provideMerge(Layer.provide(LazyServices.deriver, [store, projections]), Database.layer)),
          Effect.provideContext(context)
        ),
      rekey: Effect.promise(() => import("./engine/secrets/Rekey.ts")).pipe(
        Effect.flatMap(({ rekey }) => Effect.flatMap(Database.keyFile, rekey)),
        Effect.provide(Layer.provideMerge(Layer.mergeAll(store, Database.layerVault), Database.layer)),
        Effect.provideContext(context)
      ),
      inspect: Effect.promise(() => import("./stores/postgres/DatabaseInspection.ts")).pipe(
        Effect.flatMap(({ inspect }) => inspect),
        Effect.provide(Database.layer),
        Effect.provideContext(context)
      ),
      migrate: (options) =>
        Postgres.migrateWith(options).pipe(
          Effect.map((done) => ({ ...done, epoch: done.epoch.number })),
          Effect.provide(Database.layer)
        )
    })
  })
)

/** The engine and the API over a store in memory, for tests of programs. Its data is lost when it closes. */
export const layerMemory = Layer.unwrap(
  Effect.map(
    Effect.promise(() => import("./stores/Memory.ts")),
    (Memory) =>
      Layer.provideMerge(
        Layer.provide(inProcess, LazyServices.sender),
        LazyServices.engine.pipe(
          Layer.provideMerge(
            Layer.mergeAll(Memory.layer, vaultLayer, Quotas.layerMemory, DownloadBudget.layer, EngineLimits.layer)
          ),
          Layer.provideMerge(Layer.provide(SourceNetwork.layer, NodeDns.layer)),
          Layer.provideMerge(FeedReader.layer)
        )
      )
  )
).pipe(Layer.provideMerge(integrations))

/** The services of the command line. Each starts when a command first uses it. */
export const layer: Layer.Layer<AppServices | Integrations, never, FileSystem.FileSystem | Path.Path> =
  Layer.provideMerge(services, integrations)
