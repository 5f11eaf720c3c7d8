/** The parts of one listing: the stored ones, overlaid with the moves of this listing's pages so far. */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { type Hinted, noHints } from "../../contract/Hints.ts"
import type { PartMove, Parts } from "../../contract/Parts.ts"
import type { ConnectionId } from "../model/Connection.ts"
import type { TaskId } from "../model/Task.ts"
import type { ContentStore } from "../store/ContentStore.ts"

export interface PartReader {
  readonly parts: Parts<Schema.Json>
  /** Records the parts that a page moves. The pages of a slice bound the memory. */
  readonly move: (moves: ReadonlyArray<PartMove<Schema.Json>>) => void
  /** Removes all parts, when the listing begins again without a checkpoint. */
  readonly reset: () => void
  /** True while stored parts are ignored, because the listing began without a checkpoint. */
  readonly isFresh: () => boolean
}

export const make = (options: {
  readonly contents: ContentStore["Service"]
  readonly connectionId: ConnectionId
  readonly taskId: TaskId | undefined
  /** True for a listing without a checkpoint. */
  readonly fresh: boolean
  readonly hinted: Hinted
}): PartReader => {
  const { connectionId, contents, taskId } = options
  let fresh = options.fresh
  const moved = new Map<string, Schema.Json | null>()
  return {
    isFresh: () => fresh,
    move: (moves) => {
      for (const { checkpoint, key } of moves) moved.set(key, checkpoint)
    },
    reset: () => {
      fresh = true
      moved.clear()
    },
    parts: {
      // A listing without a checkpoint lists everything, so it gets no hints.
      get hinted() {
        return fresh ? noHints : options.hinted
      },
      get: Effect.fnUntraced(function* (keys) {
        const asked = [...new Set(keys)]
        const unmoved = asked.filter((key) => !moved.has(key))
        const stored =
          fresh || unmoved.length === 0
            ? new Map<string, Schema.Json>()
            : yield* Effect.mapError(
                contents.parts(connectionId, taskId, unmoved),
                (error) => new ContentExistenceCheckerError({ message: error.message, cause: error })
              )
        return new Map(
          asked.flatMap((key) => {
            const checkpoint = moved.has(key) ? moved.get(key) : stored.get(key)
            return checkpoint === undefined || checkpoint === null ? [] : [[key, checkpoint] as const]
          })
        )
      })
    }
  }
}
