/** The contract's checker of one connection, over the store in context. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ContentExistenceChecker, ContentExistenceCheckerError } from "../../src/contract/ContentExistenceChecker.ts"
import type { ConnectionId } from "../../src/engine/model/Connection.ts"
import type { Store } from "../../src/engine/Store.ts"
import type { StoreError } from "../../src/engine/store/StoreError.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"

export const checkerOf = (connectionId: ConnectionId): Layer.Layer<ContentExistenceChecker, never, Store> =>
  Layer.effect(
    ContentExistenceChecker,
    Effect.map(WholeStore, (store) => {
      const failed = Effect.mapError(
        (cause: StoreError) => new ContentExistenceCheckerError({ message: cause.message, cause })
      )
      return {
        existing: (ids: ReadonlyArray<string>) => failed(store.existing(connectionId, ids)),
        revisions: (ids: ReadonlyArray<string>) => failed(store.revisions(connectionId, ids))
      }
    })
  )
