/** Requested tasks over a scripted source, and the slices that run them. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scheduler from "../../../src/engine/schedule/Scheduler.ts"
import { ApiClient } from "../../../src/http/client/ApiClient.ts"
import * as LocalApi from "../../../src/http/client/LocalApi.ts"
import type { Task } from "../../../src/http/tasks/TaskDocuments.ts"
import type { SyncRequest } from "../../../src/http/tasks/TaskEndpoints.ts"
import { MemorySource } from "../../support/MemorySource.ts"
import { until } from "../../support/Moving.ts"
import * as TestEngine from "../../support/TestEngine.ts"

export const layer = (source: MemorySource, options: Parameters<typeof TestEngine.layer>[1] = {}) =>
  Layer.provideMerge(Layer.provide(LocalApi.layer, NodeServices.layer), TestEngine.layer(source, options))

export const polling = Layer.build(Scheduler.layer)

export const at = (connection: string) => ({ params: { connection } })

export const submitTo = Effect.fnUntraced(function* (connection: string, payload: SyncRequest) {
  const { tasks } = yield* ApiClient
  const answer = yield* tasks.submit({ ...at(connection), headers: {}, payload })
  return "createdAt" in answer ? answer : yield* Effect.die(new Error("a dry run is no task"))
})

export const forced: SyncRequest = { force: true }
export const submit = (payload: SyncRequest) => submitTo("test", payload)

export const taskOf = (connection: string, { task }: Task) =>
  ApiClient.use(({ tasks }) => tasks.get({ params: { connection, task } }))

export const runs = ApiClient.use(({ tasks }) =>
  Effect.map(tasks.runs({ ...at("test"), query: { limit: 100 } }), (answer) => answer.runs)
)

export const statusOf = (name: string) => ApiClient.use(({ connections }) => connections.get(at(name)))
export const pause = (name: string) => ApiClient.use(({ connections }) => connections.pause(at(name)))

export const setEvery = (every: Duration.Duration) =>
  ApiClient.use(({ connections }) => connections.change({ ...at("test"), payload: { every } }))

/** Waits until `holds` returns true for the task, and returns the task. */
export const once = Effect.fnUntraced(function* (task: Task, holds: (task: Task) => boolean) {
  const now = taskOf("test", task)
  yield* until(Effect.map(now, holds))
  return yield* now
})
export const ended = (task: Task) => once(task, ({ finishedAt }) => finishedAt !== null)

/** Makes a connection that has stored everything, and is polled every hour. */
export const stored = Effect.fnUntraced(function* (paused = false) {
  const connection = yield* TestEngine.connect()
  yield* TestEngine.sync(connection)
  yield* setEvery(Duration.hours(1))
  if (paused) yield* pause("test")
  return connection
})

export const short = { slicePages: 2 }
