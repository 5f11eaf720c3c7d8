/** Building blocks of the store's laws: a connection that is being run, and the parts of a batch. */
import type { Vitest } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Crypto from "node:crypto"
import type { Metadata } from "../../src/contract/Content.ts"
import { type Batch, type Item, type LedgerUpdate, type PageEnd } from "../../src/engine/model/Batch.ts"
import type { Readiness, ContentState } from "../../src/engine/model/Content.ts"
import { RunId } from "../../src/engine/model/Run.ts"
import type { Store } from "../../src/engine/Store.ts"
import type { Fence } from "../../src/engine/store/Fence.ts"
import { WholeStore } from "../../src/testing/WholeStore.ts"
import { Limits } from "../../src/engine/Limits.ts"
import * as Deletions from "../../src/engine/sync/Deletions.ts"

/** Lets time pass for the store under test, without waiting for it. */
export class Time extends Context.Service<Time, { readonly pass: (by: Duration.Duration) => Effect.Effect<void> }>()(
  "test/stores/Time"
) {}

/** The tests of a group of laws, which share a store. */
export type Laws<R = Store | Time> = Vitest.MethodsNonLive<R>

/** Waits until readers of the changes see all commits. Other transactions on the server may still be writing. */
export const AwaitVisible: Context.Reference<Effect.Effect<void>> = Context.Reference("test/stores/AwaitVisible", {
  defaultValue: () => Effect.void
})

let last = 0
const unique = (word: string): string => {
  last += 1
  return `${word} ${last} of ${process.pid}`
}

export const ttl = Duration.minutes(30)

export const connect = (name = unique("connection"), domain = "gmail") =>
  Effect.flatMap(WholeStore, (store) =>
    store.createConnection({
      name,
      domain,
      account: "me@example.com",
      config: { query: "in:inbox" },
      credentials: new Uint8Array([1, 2, 3]),
      every: Duration.minutes(5)
    })
  )

/** Acquires the connection for a new run, and returns the run's fence. */
export const take = Effect.fnUntraced(function* (connectionId: Fence["connectionId"], holder = "a holder") {
  const store = yield* WholeStore
  const taken = yield* store.acquire(connectionId, { holder, ttl })
  return { connectionId, fence: Option.getOrThrow(taken).fence }
})

export const beginRun = Effect.fnUntraced(function* (fence: Fence) {
  const store = yield* WholeStore
  const runId = RunId.make(unique("run"))
  yield* store.beginRun(fence, { runId, taskId: undefined })
  return runId
})

/** Returns a run of this connection, with a function that commits for the run. */
const runOf = Effect.fnUntraced(function* ({
  id,
  name
}: {
  readonly id: Fence["connectionId"]
  readonly name: string
}) {
  const store = yield* WholeStore
  const fence = yield* take(id)
  const runId = yield* beginRun(fence)
  const commit = (parts: Partial<Batch>) => store.commit(fence, batch(runId, parts))
  return { id, name, fence, runId, commit }
})
export type Running = Effect.Success<ReturnType<typeof runOf>>

/** Makes a connection with a run that has begun. */
export const running = Effect.fnUntraced(function* (domain?: string) {
  return yield* runOf(yield* connect(undefined, domain))
})

/** Ends the run, and begins the connection's next run. */
export const nextRun = Effect.fnUntraced(function* (run: Running) {
  const store = yield* WholeStore
  yield* store.release(run.fence, { interrupted: true })
  return yield* runOf(run)
})

export const batch = (runId: RunId, parts: Partial<Batch>): Batch => ({
  runId,
  taskId: undefined,
  items: [],
  // As for items that a page has listed.
  inScope: true,
  listed: [...(parts.items ?? []), ...(parts.ledgerUpdates ?? [])].map(({ externalId }) => externalId),
  ledgerUpdates: [],
  done: [],
  page: undefined,
  counts: {},
  problems: [],
  ...parts
})

export const page = (parts: Partial<PageEnd>): PageEnd => ({
  checkpoint: { at: 1 },
  scope: "scope",
  deleted: [],
  patches: [],
  seen: [],
  listing: undefined,
  parts: [],
  forgetsParts: false,
  covers: [],
  complete: false,
  ...parts
})

export const sha256 = (bytes: Uint8Array): Uint8Array =>
  new Uint8Array(Crypto.createHash("sha256").update(bytes).digest())

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

export const item = (
  externalId: string,
  parts: Partial<Omit<Item, "body">> & { readonly text?: string; readonly bytes?: Uint8Array } = {}
): Item => {
  const { bytes = bytesOf(parts.text ?? `body of ${externalId}`), text: _, ...rest } = parts
  return {
    externalId,
    revision: "r1",
    kind: "message",
    title: "a title",
    occurredAt: DateTime.makeUnsafe("2026-01-02T03:04:05.678Z"),
    mediaType: "message/rfc822",
    metadata: { from: "you" },
    volatile: {},
    ...rest,
    body: { _tag: "Inline", hash: sha256(bytes), bytes }
  }
}

/** Makes an item whose body is already in the blob store. */
export const largeItem = Effect.fnUntraced(function* (externalId: string, text: string) {
  const store = yield* WholeStore
  const blob = yield* store.writeBlob(Stream.succeed(bytesOf(text)))
  return { ...item(externalId), body: { _tag: "Blob", ...blob } as const }
})

export const ledgerUpdate = (externalId: string, parts: Partial<LedgerUpdate> = {}): LedgerUpdate => ({
  externalId,
  revision: "r1",
  outcome: "failed",
  reason: "Transient",
  message: "the source was busy",
  attempts: 1,
  retryIn: Duration.minutes(1),
  ...parts
})

/** Returns the ids of stored content, in the store's order. */
export const stored = (id: Fence["connectionId"]) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.contents(id, { state: "stored", limit: 1000 }), ({ contents }) =>
      contents.map((row) => row.externalId)
    )
  )

export const row = (id: Fence["connectionId"], externalId: string) =>
  Effect.flatMap(WholeStore, (store) => Effect.map(store.content(id, externalId), Option.getOrThrow))

export const metadataOf = (id: Fence["connectionId"], externalId: string): Effect.Effect<Metadata, unknown, Store> =>
  Effect.map(row(id, externalId), ({ metadata }) => metadata)

/** Lets a second pass, so that later writes have later times, however coarse the store's clock is. */
export const aMomentLater = Time.use((time) => time.pass(Duration.seconds(1)))

export const listed = Effect.fnUntraced(function* (id: Fence["connectionId"], state: ContentState) {
  const store = yield* WholeStore
  const { contents } = yield* store.contents(id, { state, limit: 100 })
  return contents.map((one) => one.externalId)
})

/** Returns all staged deletions with their cause, from complete and incomplete readings. */
export const staged = (id: Fence["connectionId"]) =>
  Effect.flatMap(WholeStore, (store) =>
    Effect.map(store.deletions(id, { which: "staged", limit: 100 }), ({ deletions }) =>
      deletions.map((one) => `${one.externalId} ${one.cause}`)
    )
  )

/** The state in which all changes and listings that may contradict a deletion are read. */
export const allRead: Readiness = { changes: true, listing: true }

/** Deletes all staged deletions that are complete. */
export const deleteStaged = (fence: Fence, complete = allRead) =>
  Effect.flatMap(WholeStore, (store) => store.applyDeletions(fence, complete, undefined))

/** Applies or holds deletions, as the engine does at the end of a slice. */
export const settle = Effect.fnUntraced(function* (
  fence: Fence,
  options: {
    readonly atMost: number
    readonly share: number
    readonly runId?: RunId
    readonly readiness?: Readiness
  }
) {
  const { atMost, readiness = allRead, runId, share } = options
  const limits = { ...(yield* Limits), deletions: atMost, deletionShare: share }
  return yield* Deletions.applyOrHold({ deletions: yield* WholeStore, fence, limits, readiness, runId })
})

/** Approves the deletions that are held now. */
export const approve = Effect.fnUntraced(function* (id: Fence["connectionId"]) {
  const store = yield* WholeStore
  const { token } = yield* store.deletions(id, { which: "held", limit: 1 })
  return yield* store.approveDeletions(id, { token })
})

/** Commits a pass over the source that saw these ids and covers these prefixes. */
export const pass = (
  { commit }: Running,
  seen: ReadonlyArray<string>,
  options: Partial<Pick<PageEnd, "complete" | "covers" | "forgetsParts" | "listing">> = {}
) => commit({ page: page({ listing: "a listing", complete: true, covers: [{ prefix: "" }], ...options, seen }) })

/** Begins a run of a connection in which an earlier run has stored these ids. */
export const withStored = Effect.fnUntraced(function* (ids: ReadonlyArray<string>) {
  const run = yield* running()
  yield* run.commit({ items: ids.map((one) => item(one)) })
  yield* aMomentLater
  return yield* nextRun(run)
})
