import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TaskWatcher from "../../src/cli/TaskWatcher.ts"
import * as RunCounts from "../../src/engine/model/RunCounts.ts"
import { ApiClient } from "../../src/http/client/ApiClient.ts"

const task = { task: "t1", run: null, counts: RunCounts.zero, error: null, notes: [], problems: [], createdAt: null }

/** Syncs through a server that returns these states of the task in turn. Returns the holders that it waited for. */
const waitedFor = Effect.fnUntraced(function* (first: string, ...later: ReadonlyArray<string>) {
  const states = later.values()
  const holders: Array<string> = []
  const api = {
    connections: { get: () => Effect.succeed({ id: "c1", name: "work", holder: "process 1" }) },
    tasks: {
      submit: () => Effect.succeed({ ...task, status: first }),
      get: () => Effect.sync(() => ({ ...task, status: states.next().value }))
    }
  } as unknown as ApiClient["Service"]
  const result = yield* TaskWatcher.sync(
    "work",
    { force: false, forceIds: [], dryRun: false },
    {
      spec: "",
      wait: true,
      onWait: (holder) => Effect.sync(() => holders.push(holder)),
      onProgress: () => Effect.void,
      onTrouble: () => Effect.void
    }
  ).pipe(Effect.provideService(ApiClient, api))
  assert.strictEqual(result.status, "succeeded")
  return holders
})

it.live("names the process that a queued task waits for, and not the one that runs the task itself", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* waitedFor("queued", "queued", "queued", "running", "succeeded"), ["process 1"])
    assert.deepStrictEqual(yield* waitedFor("queued", "running", "succeeded"), [])
    assert.deepStrictEqual(yield* waitedFor("queued", "succeeded"), [])
  })
)
