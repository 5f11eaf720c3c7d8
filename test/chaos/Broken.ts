/** Stores that are broken on purpose, each in one way, which the harness must detect. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Fence } from "../../src/engine/store/Fence.ts"
import type { WholeStore } from "../../src/testing/WholeStore.ts"
import type { Broken } from "./Protocol.ts"

type Service = WholeStore

/** Does not check the fence: every writer counts as the holder. */
const withoutFence = (store: Service): Service => {
  const present = (fence: Fence) =>
    Effect.map(store.connection(fence.connectionId), (found) =>
      Option.match(found, { onNone: () => fence, onSome: (row): Fence => ({ ...fence, fence: row.fence }) })
    )
  return {
    ...store,
    beginRun: (fence, run) => Effect.flatMap(present(fence), (now) => store.beginRun(now, run)),
    finishRun: (fence, run) => Effect.flatMap(present(fence), (now) => store.finishRun(now, run)),
    commit: (fence, batch) => Effect.flatMap(present(fence), (now) => store.commit(now, batch)),
    changeScope: (fence, scope) => Effect.flatMap(present(fence), (now) => store.changeScope(now, scope)),
    applyDeletions: (fence, complete, runId) =>
      Effect.flatMap(present(fence), (now) => store.applyDeletions(now, complete, runId)),
    holdDeletions: (fence, complete) => Effect.flatMap(present(fence), (now) => store.holdDeletions(now, complete)),
    renew: (fence, ttl) => Effect.flatMap(present(fence), (now) => store.renew(now, ttl))
  }
}

/** Commits the end of a page in a separate transaction, before its items. */
const withoutTransaction = (store: Service): Service => ({
  ...store,
  commit: (fence, batch) =>
    batch.page === undefined || batch.items.length === 0
      ? store.commit(fence, batch)
      : Effect.gen(function* () {
          const nothing = { ...batch, items: [], ledgerUpdates: [], done: [], counts: {}, problems: [] }
          const { patched } = yield* store.commit(fence, nothing)
          // Without the pause, a fault rarely hits a process between the two.
          yield* Effect.sleep("2 seconds")
          const committed = yield* store.commit(fence, { ...batch, page: undefined })
          return { ...committed, patched: patched + committed.patched }
        })
})

/** Does not find existing content by its key, and inserts new content beside it. */
const withoutKey = (store: Service): Service => ({
  ...store,
  commit: (fence, batch) =>
    Effect.gen(function* () {
      const ids = batch.items.map((item) => item.externalId)
      const known = yield* store.existing(fence.connectionId, ids)
      const items = batch.items.map((item) =>
        known.has(item.externalId) ? { ...item, externalId: `${item.externalId} again` } : item
      )
      return yield* store.commit(fence, { ...batch, items })
    })
})

export const decorate = (store: Service, broken: Broken | null): Service => {
  switch (broken) {
    case "fence":
      return withoutFence(store)
    case "transaction":
      return withoutTransaction(store)
    case "key":
      return withoutKey(store)
    case "epoch":
    // The harness itself hides the failover from the processes.
    case null:
      return store
  }
}
