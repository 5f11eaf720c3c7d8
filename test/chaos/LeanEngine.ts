/** The engine of a lean process: the real engine over the real store, with short bounds and a fast clock. */
import * as NodePath from "@effect/platform-node/NodePath"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Path from "node:path"
import type { Integration } from "../../src/contract/Integration.ts"
import type { Engine } from "../../src/engine/Engine.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { HintListener } from "../../src/engine/schedule/HintListener.ts"
import { PendingHints } from "../../src/engine/schedule/PendingHints.ts"
import { Limits } from "../../src/engine/Limits.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import type * as LeasedSlice from "../../src/engine/sync/LeasedSlice.ts"
import { replaceMethods } from "../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../src/engine/sync/SyncEngine.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"
import * as Ftp from "../../src/integrations/Ftp.ts"
import * as Gmail from "../../src/integrations/Gmail.ts"
import * as Slack from "../../src/integrations/Slack.ts"
import * as Client from "../../src/stores/postgres/Client.ts"
import * as BlobLocation from "../../src/stores/blobs/BlobLocation.ts"
import * as Postgres from "../../src/stores/Postgres.ts"
import * as SharedQuotas from "../../src/stores/postgres/SharedQuotas.ts"
import * as WebhookStore from "../../src/stores/postgres/WebhookStore.ts"
import * as Broken from "./Broken.ts"
import * as FullDisk from "./FullDisk.ts"
import type { Start } from "./Protocol.ts"

/** The factor by which the clock of a lean process is faster than the system's clock. */
export const speed = 8

/** Two seconds by the process's clock, long enough for a busy machine. */
const patience = Duration.seconds(2 * speed)

export type Services = Engine | LeasedSlice.Services | PendingHints | HintListener

const impatient = (integration: Integration): Effect.Effect<Integration> =>
  Effect.succeed({ ...integration, callTimeout: patience })

const integrations = Integrations.layer({
  ftp: impatient(Ftp.integration),
  gmail: impatient(Gmail.integration),
  slack: impatient(Slack.integration)
})

/** The services of the engine over the seed's database. */
export const layer = (start: Start) => {
  const sql = PgClient.layerFrom(
    Client.make({
      path: start.socket,
      username: start.username,
      password: Redacted.make(start.password),
      database: start.database,
      // The audit recognizes a writer by this name.
      applicationName: `idem-${process.pid}`,
      maxConnections: 6,
      // Five seconds by the system's clock, as by default.
      connectTimeout: Duration.seconds(5 * speed)
    })
  )
  const blobs = Layer.provide(
    BlobLocation.layer,
    Layer.merge(FullDisk.layer(Path.join(start.folder, "full")), NodePath.layer)
  )
  const store = replaceMethods((real) => Broken.decorate(real, start.broken)).pipe(
    Layer.provide(Postgres.layer),
    Layer.provide(blobs)
  )
  return SyncEngine.layer.pipe(
    Layer.provideMerge(
      Layer.mergeAll(
        store,
        Layer.provide(Quotas.layer, SharedQuotas.layer),
        UnsealedVault.layer,
        integrations,
        WebhookStore.layer,
        PendingHints.layer,
        HintListener.layerNone
      )
    ),
    Layer.provide(sql),
    Layer.provide(
      ConfigProvider.layer(
        ConfigProvider.fromUnknown(start.inFolder ? { IDEM_BLOB_DIR: Path.join(start.folder, "blobs") } : {})
      )
    )
  )
}

/** Bounds that are reached within the few seconds of a seed. */
export const limits = (start: Start) =>
  Effect.map(Limits, (defaults): Limits => ({
    ...defaults,
    sliceTime: Duration.seconds(12),
    slicePages: 4,
    batchItems: 5,
    groupItems: 10,
    batchAge: Duration.seconds(1),
    concurrency: 4,
    inlineBytes: 2000,
    chunkTimeout: patience,
    leaseTtl: Duration.millis(start.leaseMillis),
    // The clock is put forward by an hour at a time, which must not count as a stall.
    stallAfter: Duration.days(1),
    retries: 20,
    deletions: 4,
    deletionShare: 0.3
  }))
