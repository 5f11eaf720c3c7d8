/** Laws of the requests to the source: through `call`, and within the task's window. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { begin, mirrors, some, succeed } from "./ChangeLaws.ts"
import { type Draft, expect } from "./Law.ts"

// A scripted source adds content with times between these two.
const early = DateTime.makeUnsafe("2002-01-01T00:00:00Z")
const late = DateTime.makeUnsafe("2100-01-01T00:00:00Z")

export const drafts: ReadonlyArray<Draft> = [
  {
    name: "every request goes through `call`",
    remedy:
      "Make each request of `list` and `download` inside `call(method, units, effect)`: it meters, limits, retries and ends it",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(6)
      const [id] = yield* source.ids
      const { process } = yield* begin(source)
      const tasks = [{}, {}, ...(id === undefined ? [] : [{ forceIds: [id] }])]
      for (const task of tasks) {
        const before = yield* source.requests ?? Effect.succeed(0)
        const { counts } = yield* succeed(process, task)
        yield* expect(counts.apiCalls > 0, "a sync reached the source without `call`")
        if (source.requests === undefined) continue
        const requests = (yield* source.requests) - before
        yield* expect(
          requests === counts.apiCalls,
          `the source had ${requests} requests in a sync, and \`call\` was asked ${counts.apiCalls} times`
        )
      }
    })
  },
  {
    name: "a task's window holds what is listed, and a window around everything leaves nothing out",
    remedy:
      "Leave out what happened outside `task.window` (inWindow(task, at)): since is inclusive, until exclusive, and what has no known time is in every window",
    needs: [],
    check: Effect.fnUntraced(function* (source) {
      yield* source.add(10)
      const { process } = yield* begin(source)
      for (const window of [{ since: late }, { until: early }]) {
        yield* succeed(process, { window })
        const outside = [...(yield* process.times)].filter(([, { at }]) => at !== null).map(([id]) => id)
        yield* expect(outside.length === 0, `stored from outside the window: ${some(outside)}`)
      }
      yield* succeed(process, { window: { since: early, until: late } })
      const inside = yield* process.times
      yield* succeed(process)
      // A window may not apply to every kind: Slack's applies to messages, but channels have a time too.
      const kinds = new Set([...inside.values()].map(({ kind }) => kind))
      const left = [...(yield* process.times)]
        .filter(([id, { at, kind }]) => at !== null && !inside.has(id) && (inside.size === 0 || kinds.has(kind)))
        .map(([id]) => id)
      yield* expect(left.length === 0, `left out of a window that holds everything: ${some(left)}`)
      yield* mirrors(source, process)
    })
  }
]
