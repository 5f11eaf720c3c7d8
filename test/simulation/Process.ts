/** A process of the simulation: an engine with its own view of the shared store. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { Integration } from "../../src/contract/Integration.ts"
import { Engine } from "../../src/engine/Engine.ts"
import { type ConnectionId, pausedByPerson } from "../../src/engine/model/Connection.ts"
import { HintListener } from "../../src/engine/schedule/HintListener.ts"
import { PendingHints } from "../../src/engine/schedule/PendingHints.ts"
import * as ProcessIdentity from "../../src/engine/locks/ProcessIdentity.ts"
import * as UnsealedVault from "../../src/testing/UnsealedVault.ts"
import { Integrations } from "../../src/engine/source/Integrations.ts"
import { Quotas } from "../../src/engine/source/Quotas.ts"
import { layer as wholeStoreLayer, type WholeStore } from "../../src/testing/WholeStore.ts"
import type { Services } from "../../src/engine/sync/LeasedSlice.ts"
import * as DownloadBudget from "../../src/engine/sync/DownloadBudget.ts"
import * as SyncEngine from "../../src/engine/sync/SyncEngine.ts"
import * as TaskSubmission from "../../src/http/tasks/TaskSubmission.ts"

/** A person's requests apart from syncs, served in the same way as by the HTTP handlers. */
const personOver = (store: WholeStore, submission: Effect.Success<typeof TaskSubmission.make>) => {
  const find = (id: ConnectionId) => Effect.flatMap(store.connection(id), Effect.fromOption)
  return {
    pause: Effect.fnUntraced(function* (id: ConnectionId) {
      const { paused } = yield* find(id)
      if (paused === null) yield* store.setPaused(id, pausedByPerson)
    }),
    resume: Effect.fnUntraced(function* (id: ConnectionId) {
      const { credentials } = yield* find(id)
      if (credentials !== null) yield* store.setPaused(id, null)
    }),
    disconnect: (id: ConnectionId) => store.disconnect(id, false),
    deletions: (id: ConnectionId) => store.deletions(id, { which: "held", limit: 1000 }),
    approveDeletions: (id: ConnectionId, token: string) => store.approveDeletions(id, { token }),
    submit: Effect.fnUntraced(function* (id: ConnectionId, request: Parameters<typeof submission.submit>[1]) {
      return yield* submission.submit(yield* find(id), request)
    })
  }
}

export interface Process {
  readonly name: string
  dead: boolean
  frozenUntil: number
  readonly context: Context.Context<Services | Engine | PendingHints | HintListener>
  readonly engine: Engine["Service"]
  readonly hints: PendingHints["Service"]
  readonly person: ReturnType<typeof personOver>
}

/** Starts a process. `isDead` returns whether the process of this name is gone. */
export const start = Effect.fnUntraced(function* (options: {
  readonly name: string
  readonly store: WholeStore
  readonly integration: Integration
  readonly isDead: (name: string) => boolean
}) {
  const { integration, isDead, name, store } = options
  const scope = yield* Scope.make()
  const built = yield* Layer.buildWithScope(
    Layer.provideMerge(
      SyncEngine.layer,
      Layer.mergeAll(
        wholeStoreLayer(store),
        Quotas.layerMemory,
        PendingHints.layer,
        HintListener.layerNone,
        UnsealedVault.layer,
        Integrations.layer({ [integration.domain]: Effect.succeed(integration) })
      )
    ),
    scope
  )
  const identity = Context.make(ProcessIdentity.ProcessIdentity, {
    self: Effect.succeed(name),
    isDead: (holder: string) => Effect.sync(() => isDead(holder))
  })
  // A process has its own memory budget, which is lost with the process.
  const own = Context.add(identity, DownloadBudget.DownloadBudget, DownloadBudget.make(64 * 1024 * 1024))
  const context = Context.merge(yield* Effect.context(), Context.merge(built, own))
  const engine = Context.get(context, Engine)
  const process: Process = {
    name,
    dead: false,
    frozenUntil: 0,
    context,
    engine,
    hints: Context.get(context, PendingHints),
    person: personOver(store, yield* Effect.provide(TaskSubmission.make, wholeStoreLayer(store)))
  }
  return process
})
