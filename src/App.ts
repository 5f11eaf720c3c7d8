/** The composition root: which integrations there are, which store, which cluster. The only file that chooses. */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as ConfigFile from "./cli/ConfigFile.ts"
import { many, Services } from "./cli/Services.ts"
import type { Integration } from "./contract/Integration.ts"
import { Integrations } from "./engine/Integrations.ts"
import { Limits } from "./engine/Limits.ts"
import * as Poller from "./engine/Poller.ts"
import { Quotas } from "./engine/Quotas.ts"
import { credentialsContext } from "./engine/Opening.ts"
import * as Sync from "./engine/Sync.ts"
import * as Blobs from "./stores/blobs/Choice.ts"
import * as CopyFolder from "./stores/CopyFolder.ts"
import * as Database from "./stores/Database.ts"
import * as Postgres from "./stores/Postgres.ts"
import * as Cluster from "./stores/postgres/Cluster.ts"
import * as RateLimits from "./stores/postgres/RateLimits.ts"

// A provider's client is loaded when a connection of its kind is used: each command would pay for all of them.
const load = (module: () => Promise<{ readonly integration: Integration }>): Effect.Effect<Integration> =>
  Effect.map(Effect.promise(module), ({ integration }) => integration)

const builtIn = {
  ftp: load(() => import("./integrations/Ftp.ts")),
  gmail: load(() => import("./integrations/Gmail.ts")),
  slack: load(() => import("./integrations/Slack.ts"))
}

const integrations = Layer.unwrap(
  Effect.map(Effect.context<FileSystem.FileSystem | Path.Path>(), (context) =>
    Integrations.layer(builtIn, Effect.provideContext(ConfigFile.load, context))
  )
)

/** The store, in a database that has been brought up to date. */
const store = Layer.unwrap(Effect.as(Postgres.migrate, Layer.provide(Postgres.layer, Blobs.layer)))

/** Quotas are spent together by all processes of a database. */
const quotas = Layer.provide(Quotas.layer, RateLimits.layer)

const engine = Sync.layer.pipe(
  Layer.provideMerge(Layer.mergeAll(store, Database.layerVault, quotas)),
  Layer.provide(Database.layer)
)

/** What data is copied into. */
const copyTarget = Layer.unwrap(Effect.as(Postgres.migrate, Layer.mergeAll(Blobs.layer, Database.layerVault))).pipe(
  Layer.provideMerge(Database.layer)
)

/** A lease of a process that is gone lasts no longer than its place in the cluster. */
const leases = Layer.effect(
  Limits,
  Effect.gen(function* () {
    const leaseTtl = yield* Cluster.expiration
    return { ...(yield* Limits), leaseTtl }
  })
)

/** Alone, or with `IDEM_CLUSTER=1` as one of many. */
const poller = Layer.unwrap(
  Effect.map(many, (many) =>
    many
      ? Poller.layerMember(Cluster.layer({ maxResidentEntities: Poller.maxResidentEntities })).pipe(
          Layer.provide(leases),
          Layer.provide(Database.layerSessions)
        )
      : Poller.layer
  )
)

const services = Layer.effect(
  Services,
  Effect.gen(function* () {
    const context = yield* Effect.context<FileSystem.FileSystem | Path.Path | Integrations>()
    return Services.of({
      layer: Layer.provideMerge(engine, Layer.succeedContext(context)),
      poller,
      copy: (options) =>
        CopyFolder.run({ ...options, context: credentialsContext }).pipe(
          Effect.provide(copyTarget),
          Effect.provideContext(context)
        ),
      migrate: Effect.provide(Postgres.migrate, Database.layer)
    })
  })
)

/** What the command line needs. Nothing is started before a command asks for it. */
export const layer: Layer.Layer<Services | Integrations, never, FileSystem.FileSystem | Path.Path> = Layer.provideMerge(
  services,
  integrations
)
