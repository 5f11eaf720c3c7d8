/** Laws about listings with hints. */
import * as Effect from "effect/Effect"
import { begin, missing, mirrors, some, succeed } from "./ChangeLaws.ts"
import { type Draft, expect } from "./Law.ts"

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "hints that are forged, doubled or lost delete nothing, store nothing that the source has not, and hide nothing",
    remedy:
      "Take a hint as a place to look at: ask the source, and leave out what you do not know. Keep the checkpoint where it was for all that was not hinted",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(12)
      const { process, watch } = yield* begin(source)
      yield* succeed(process)
      const before = yield* process.ids("stored")
      const forged = ["forged", "forged/1", "/", "forged", ...before.slice(0, 4), ...before.slice(0, 4)]
      // Added without a hint: the ordinary sync after the hinted ones must find them.
      yield* source.add(3)
      for (const only of [true, true, false]) {
        watch.hinted = { parts: forged, only, isListening: true }
        yield* succeed(process)
        const gone = missing(before, yield* process.ids("stored"))
        yield* expect(gone.length === 0, `deleted by a forged hint: ${some(gone)}`)
        const extra = missing(yield* process.ids("stored"), yield* source.ids)
        yield* expect(extra.length === 0, `stored by a forged hint: ${some(extra)}`)
      }
      watch.hinted = undefined
      yield* succeed(process)
      yield* mirrors(source, process)
    })
  }
]
