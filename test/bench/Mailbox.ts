/**
 * The mailbox of the benchmarks, and the engine over it. Each contestant gets a new mailbox, because a token is limited
 * to 4,999 calls.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as Path from "node:path"
import type { Integration } from "../../src/contract/Integration.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import { layer as wholeStoreLayer, WholeStore } from "../../src/testing/WholeStore.ts"
import * as SyncEngine from "../../src/engine/sync/SyncEngine.ts"
import { integration } from "../../src/integrations/Gmail.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"

const Started = Schema.fromJsonString(
  Schema.Struct({ url: Schema.String, users: Schema.Array(Schema.String), messages: Schema.Int })
)

/** Starts a mailbox, which runs until the scope closes. */
export const start = (count: number) =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [Path.join(import.meta.dirname, "mailboxServer.ts"), String(count)], {
          stdio: ["pipe", "pipe", "inherit"]
        })
      ),
      (process) =>
        Effect.promise(async () => {
          const ended = once(process, "close")
          process.stdin.end()
          await ended
        })
    )
    const [line] = yield* Effect.promise(() => once(child.stdout, "data"))
    return yield* Schema.decodeUnknownEffect(Started)(String(line))
  })

/** The engine over the store in the context, with this integration. */
export const engineOf = (integration: Integration) =>
  Layer.unwrap(
    Effect.map(WholeStore, (store) =>
      Layer.provideMerge(
        SyncEngine.layer,
        Layer.mergeAll(
          wholeStoreLayer(store),
          Quotas.layerMemory,
          UnsealedVault.layer,
          Integrations.layer({ [integration.domain]: Effect.succeed(integration) })
        )
      )
    )
  )

/** The engine with Gmail. */
export const engine = engineOf(integration)

/** Returns a config for a stand-in, in which only the machine limits the speed. */
export const configOf = (url: string) => ({ rootUrl: url, quota: { unitsPerMinute: 1_000_000_000 } })
