/** Connections to a scripted source, and a client's requests to the API about them. */
import { assert } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import { TaskId } from "../../src/engine/model/Task.ts"
import { ApiClient } from "../../src/http/client/ApiClient.ts"
import type { Task } from "../../src/http/tasks/TaskDocuments.ts"
import type { SyncRequest } from "../../src/http/tasks/TaskEndpoints.ts"
import { type MemorySource } from "../support/MemorySource.ts"

/** The source behind the API. */
export class Scripted extends Context.Service<Scripted, { readonly source: MemorySource }>()(
  "test/http/ApiFixture/Scripted"
) {}

export const credentials = { token: "t0ps3cret" }
export const wait = 20
export const nobody = "nobody-by-this-name"
export const noSuchTask = TaskId.make("11111111-2222-4333-8444-555555555555")

/** Makes a request about this connection. */
export const at = (connection: string) => ({ params: { connection } })

let last = 0

/** Makes a connection to its own folder with `items` items, which is removed after the law. */
export const connected = Effect.fnUntraced(function* (items = 0) {
  const { source } = yield* Scripted
  const api = yield* ApiClient
  last += 1
  const folder = `folder ${last}/`
  const ids = Array.from({ length: items }, (_, index) => `${folder}${String(index).padStart(4, "0")}`)
  for (const id of ids) source.add(id)
  const input = {
    domain: "memory",
    name: `connection ${last}`,
    config: { folder },
    credentials: Redacted.make<Schema.Json>(credentials)
  }
  const { connection } = yield* Effect.acquireRelease(api.connections.create({ payload: input }), ({ connection }) =>
    Effect.ignore(api.connections.remove({ ...at(connection.id), query: { deleteContents: true } }))
  )
  return { folder, id: connection.id, ids, input, name: connection.name }
})

/** Makes a connection that has stored all of its items. */
export const synced = Effect.fnUntraced(function* (items: number) {
  const made = yield* connected(items)
  assert.strictEqual((yield* syncNow(made.name)).status, "succeeded")
  return made
})

/**
 * Makes a paused connection that has stored all of its items and is not being run, so that only requested work happens.
 */
export const quiet = Effect.fnUntraced(function* (items: number) {
  const api = yield* ApiClient
  const made = yield* synced(items)
  yield* api.connections.pause(at(made.name))
  yield* eventually(api.connections.get(at(made.id)), ({ state }) => state === "paused")
  return made
})

/** Repeats a request until its result is right. */
export const eventually = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  isRight: (answer: A) => boolean
): Effect.Effect<A, E, R> =>
  Effect.flatMap(ask, (answer) =>
    isRight(answer)
      ? Effect.succeed(answer)
      : Effect.andThen(
          Effect.sleep("20 millis"),
          Effect.suspend(() => eventually(ask, isRight))
        )
  )

export const ended = Effect.fnUntraced(function* (connection: string, { task }: Task) {
  const api = yield* ApiClient
  return yield* eventually(api.tasks.get({ params: { connection, task } }), ({ finishedAt }) => finishedAt !== null)
})

/** Submits a sync: the task of a poll, unless the request says otherwise. */
export const submit = Effect.fnUntraced(function* (connection: string, payload: SyncRequest = {}, key?: string) {
  const api = yield* ApiClient
  const headers = key === undefined ? {} : { "idempotency-key": key }
  const answer = yield* api.tasks.submit({ ...at(connection), headers, payload })
  return "createdAt" in answer ? answer : yield* Effect.die(new Error("a dry run is no task"))
})

export const syncNow = (connection: string) => Effect.flatMap(submit(connection), (task) => ended(connection, task))

export const runsOf = (connection: string, limit: number) =>
  ApiClient.use((api) => Effect.map(api.tasks.runs({ ...at(connection), query: { limit } }), ({ runs }) => runs))

export const tasksOf = (connection: string, limit: number) =>
  ApiClient.use((api) => Effect.map(api.tasks.list({ ...at(connection), query: { limit } }), ({ tasks }) => tasks))

export const ledgerOf = (connection: string, limit: number) =>
  ApiClient.use((api) =>
    Effect.map(api.connections.ledger({ ...at(connection), query: { limit } }), ({ ledger }) => ledger)
  )

export const statisticsOf = (connection: string, hours: number) =>
  ApiClient.use((api) =>
    Effect.map(api.tasks.statistics({ ...at(connection), query: { hours } }), ({ hours }) => hours)
  )

/** Retries these rows of the ledger, or all of them. */
export const redrive = (connection: string, externalIds?: ReadonlyArray<string>) =>
  ApiClient.use((api) =>
    api.connections.redrive({ ...at(connection), payload: externalIds === undefined ? null : { externalIds } })
  )

export const query = { state: "stored", order: "id", limit: 100 } as const

/** Replaces the source's results until the law has ended. */
export const answering = Effect.fnUntraced(function* (answer: MemorySource["answer"]) {
  const { source } = yield* Scripted
  yield* Effect.acquireRelease(
    Effect.sync(() => {
      source.answer = answer
    }),
    () =>
      Effect.sync(() => {
        source.answer = () => Effect.void
      })
  )
})

/** Registers a law of the API under its name. */
export type Law = (says: string, work: () => Effect.Effect<void, unknown, ApiClient | Scripted | Scope>) => void
