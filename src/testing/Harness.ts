/** Runs the real engine over a store in memory, with one integration, for the conformance laws. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Hinted } from "../contract/Hints.ts"
import type { AnySession, Integration } from "../contract/Integration.ts"
import { poll, type SyncTask } from "../contract/SyncTask.ts"
import type { Page } from "../contract/Page.ts"
import { Engine, type SyncResult } from "../engine/Engine.ts"
import { Integrations } from "../engine/source/Integrations.ts"
import { Limits } from "../engine/Limits.ts"
import { Quotas } from "../engine/source/Quotas.ts"
import type { Connection } from "../engine/model/Connection.ts"
import type { ContentPlace, ContentState } from "../engine/model/Content.ts"
import * as SyncEngine from "../engine/sync/SyncEngine.ts"
import * as UnsealedVault from "./UnsealedVault.ts"
import * as Memory from "../stores/Memory.ts"
import * as WholeStore from "./WholeStore.ts"

/** Observes the listings of an integration, without changing them. */
export interface Watcher {
  /** Each page that the engine received, with the task for which it was listed. */
  readonly pages: Array<{ readonly task: SyncTask; readonly page: Page<Schema.Json> }>
  /** External ids in the order of their downloads. */
  readonly downloads: Array<string>
  /** The hints that each listing gets; undefined for none. */
  hinted: Hinted | undefined
  /** The cause of the first defect: the error that the integration's code threw. Undefined if there was none. */
  thrown: Cause.Cause<unknown> | undefined
  /** The id whose download throws, like a fault in the integration's code; undefined for none. */
  throwing: string | undefined
  /** Called before each page is emitted, and before each download. */
  step: () => Effect.Effect<void>
}

export const watcher = (): Watcher => ({
  pages: [],
  downloads: [],
  hinted: undefined,
  thrown: undefined,
  throwing: undefined,
  step: () => Effect.void
})

/** Far more pages than any source needs for the items of a law. */
const mostPages = 1000

/** Fails if the listings of these syncs never end. */
export const ending = Effect.fnUntraced(function* <A, E, R>(watch: Watcher, syncs: Effect.Effect<A, E, R>) {
  const endless = yield* Deferred.make<never, string>()
  watch.step = () =>
    watch.pages.length < mostPages
      ? Effect.void
      : Effect.andThen(
          Deferred.fail(endless, `after ${mostPages} pages the listing of a few dozen items goes on`),
          Effect.never
        )
  return yield* Effect.raceFirst(syncs, Deferred.await(endless))
})

/** Records the first defect of the integration's code, for the finding of a law. */
const keepDefect =
  (watch: Watcher) =>
  <E>(cause: Cause.Cause<E>) =>
    Effect.sync(() => {
      if (Cause.hasDies(cause)) watch.thrown ??= cause
    })

const watched = (session: AnySession, watch: Watcher): AnySession => ({
  ...session,
  list: (task, checkpoint, parts) =>
    Stream.suspend(() => session.list(task, checkpoint, { get: parts.get, hinted: watch.hinted ?? parts.hinted })).pipe(
      Stream.tapCause((cause) => keepDefect(watch)(cause)),
      Stream.tap((page) => {
        watch.pages.push({ task, page })
        return watch.step()
      })
    ),
  download: (ref) =>
    Effect.suspend(() => {
      watch.downloads.push(ref.externalId)
      if (watch.throwing === ref.externalId) throw new TypeError("thrown by the conformance laws")
      return Effect.andThen(
        watch.step(),
        Effect.tapCause(
          Effect.suspend(() => session.download(ref)),
          keepDefect(watch)
        )
      )
    })
})

/** Runs an effect with a clock that is this many milliseconds ahead. */
export const ahead =
  (millis: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Clock.Clock, (right) => {
      const nanos = BigInt(millis) * 1_000_000n
      const clock: Clock.Clock = {
        currentTimeMillisUnsafe: () => right.currentTimeMillisUnsafe() + millis,
        currentTimeMillis: Effect.map(right.currentTimeMillis, (now) => now + millis),
        currentTimeNanosUnsafe: () => right.currentTimeNanosUnsafe() + nanos,
        currentTimeNanos: Effect.map(right.currentTimeNanos, (now) => now + nanos),
        monotonicTimeNanosUnsafe: () => right.monotonicTimeNanosUnsafe(),
        monotonicTimeNanos: right.monotonicTimeNanos,
        sleep: (duration) => right.sleep(duration)
      }
      return Effect.provideService(effect, Clock.Clock, clock)
    })

/** Small batches, so that a crash can occur at many places. */
const batchItems = 10
const groupItems = 10
const concurrency = 4

/**
 * The most downloads that a crash may lose: the batch whose commit is in flight, the batch that gathers meanwhile, and
 * the downloads in flight.
 */
export const crashCost = 2 * groupItems + concurrency

/** The engine of one process. Several engines over one store simulate a restart. */
export interface Process {
  readonly watch: Watcher
  readonly sync: (task?: Partial<SyncTask>) => Effect.Effect<SyncResult>
  readonly connect: (config: unknown) => Effect.Effect<Connection>
  readonly ids: (state: ContentState) => Effect.Effect<ReadonlyArray<string>>
  /** The SHA-256 of each stored body, by external id. */
  readonly hashes: Effect.Effect<ReadonlyMap<string, string | null>>
  /** The kind and the time of each stored content, by external id. */
  readonly times: Effect.Effect<ReadonlyMap<string, { readonly kind: string | null; readonly at: DateTime.Utc | null }>>
}

/** Makes the memory store that the processes of one law share. */
export const makeStore: Effect.Effect<WholeStore.WholeStore> = Effect.map(
  Effect.scoped(Layer.build(Memory.layer)),
  WholeStore.fromContext
)

export const start = Effect.fnUntraced(function* (options: {
  readonly integration: Integration
  readonly credentials: unknown
  readonly store: WholeStore.WholeStore
  readonly watch: Watcher
  /** The number of pages in a slice. */
  readonly slicePages?: number
}) {
  const { credentials, integration, store, watch } = options
  const seen: Integration = {
    ...integration,
    open: (given) =>
      Effect.suspend(() => integration.open(given)).pipe(
        Effect.tapCause(keepDefect(watch)),
        Effect.map((session) => watched(session, watch))
      )
  }
  const services = Layer.mergeAll(
    WholeStore.layer(store),
    Quotas.layerMemory,
    UnsealedVault.layer,
    Integrations.layer({ [integration.domain]: Effect.succeed(seen) })
  )
  const limits = Layer.effect(
    Limits,
    Effect.map(Limits, (defaults) => {
      const { slicePages = defaults.slicePages } = options
      return { ...defaults, batchItems, groupItems, concurrency, slicePages, repeatDelay: Duration.zero }
    })
  )
  const context = yield* Layer.build(SyncEngine.layer.pipe(Layer.provide(services), Layer.provide(limits)))
  const engine = Context.get(context, Engine)
  const name = "conformance"

  const connection = Effect.flatMap(Effect.orDie(store.connectionByName(name)), Effect.fromOption).pipe(Effect.orDie)

  const rows = Effect.fnUntraced(function* (state: ContentState) {
    const { id } = yield* connection
    const all = []
    let after: ContentPlace | undefined
    do {
      const page = yield* Effect.orDie(store.contents(id, { state, limit: 1000, after }))
      all.push(...page.contents)
      after = page.next ?? undefined
    } while (after !== undefined)
    return all
  })

  return {
    watch,
    connect: (config) =>
      engine.connect({ domain: integration.domain, name, config, credentials, every: undefined }).pipe(
        Effect.map((connected) => connected.connection),
        Effect.orDie
      ),
    sync: (task = {}) =>
      Effect.flatMap(connection, (found) =>
        Effect.orDie(engine.sync(found, { ...poll, ...task }, { spec: JSON.stringify(task), wait: true }))
      ),
    ids: (state) => Effect.map(rows(state), (found) => found.map((row) => row.externalId)),
    hashes: Effect.map(rows("stored"), (found) => new Map(found.map((row) => [row.externalId, row.hash]))),
    times: Effect.map(
      rows("stored"),
      (found) => new Map(found.map((row) => [row.externalId, { kind: row.kind, at: row.occurredAt }]))
    )
  } satisfies Process
})
