/** The implementation of `Deriver` over PostgreSQL, loaded when something is derived. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import { UsageError } from "../engine/Engine.ts"
import * as Feed from "../engine/feed/Feed.ts"
import * as Lock from "../engine/locks/Lock.ts"
import * as Supervisor from "../engine/Supervisor.ts"
import type { BodyStore } from "../engine/store/BodyStore.ts"
import type { FeedStore } from "../engine/store/FeedStore.ts"
import type { LockStore } from "../engine/store/LockStore.ts"
import type { StoreError } from "../engine/store/StoreError.ts"
import { toStoreError } from "../stores/postgres/SqlErrors.ts"
import { type Deriver, ProjectionRegistry } from "./Deriver.ts"
import * as TextExtractor from "./extract/TextExtractor.ts"
import * as PendingTexts from "./extract/PendingTexts.ts"
import * as FeedFollower from "./FeedFollower.ts"
import * as SqlQuery from "./SqlQuery.ts"
import * as AgentReads from "./AgentReads.ts"
import * as MirrorTables from "./MirrorTables.ts"
import * as Throttle from "./Throttle.ts"
import * as ReadTokens from "./ReadTokens.ts"
import * as ReadOnlyRole from "./ReadOnlyRole.ts"
import * as SearchIndexer from "./search/SearchIndexer.ts"
import * as SearchSchema from "./search/SearchSchema.ts"

/** The delay before a failed step is repeated, and before a held lock is tried again. */
const pause = Duration.seconds(5)

/**
 * How many queries of people, and reads of agents, run at the same time. Each uses a session of the pool, which runs
 * need too.
 */
const queriesAtOnce = 2
const readsAtOnce = 4

/** The longest time between two checks for work of other processes, while there is none. */
const idlePause = Duration.seconds(10)

/** Makes the deriver of this database. */
export const make = Effect.gen(function* () {
  const registry = yield* ProjectionRegistry
  const context = yield* Effect.context<BodyStore | FeedStore | LockStore | SqlClient.SqlClient>()
  const sql = yield* SqlClient.SqlClient
  const querying = Semaphore.makeUnsafe(queriesAtOnce)
  const reading = Semaphore.makeUnsafe(readsAtOnce)

  const follower = Effect.flatMap(registry.all, (projections) => FeedFollower.make(projections)).pipe(
    Effect.catchTag("MirrorNewer", ({ message }) => new UsageError({ message }))
  )

  /**
   * Extracts and indexes the texts of the contents that the follower has derived. The extractor's workers end with the
   * scope.
   */
  const makeExtraction = Effect.fnUntraced(function* ({ tables }: Effect.Success<typeof follower>) {
    const texts = yield* Effect.provide(PendingTexts.make, yield* Layer.build(TextExtractor.layer))
    const indexer = yield* SearchIndexer.make(tables)
    return Effect.fnUntraced(function* (
      throttled: (work: Effect.Effect<number, StoreError>) => Effect.Effect<number, StoreError> = identity
    ) {
      const step = Effect.zipWith(
        throttled(texts.step),
        throttled(indexer.step),
        (extracted, indexed) => extracted + indexed
      )
      yield* Effect.repeat(step, { until: (done) => done === 0 })
    })
  })

  const catchUp = Effect.gen(function* () {
    const done = yield* Effect.gen(function* () {
      const following = yield* follower
      const changes = yield* following.catchUp
      const extractAndIndex = yield* makeExtraction(following)
      yield* extractAndIndex()
      return changes
    }).pipe(Effect.scoped, Lock.withFreeLock(FeedFollower.lockName))
    return Option.match(done, {
      onNone: () => ({ changes: 0, followed: true }),
      onSome: (changes) => ({ changes, followed: false })
    })
  }).pipe(Effect.provideContext(context))

  const followAlone = Effect.gen(function* () {
    const following = yield* follower
    const extractAndIndex = yield* makeExtraction(following)
    // Rows do not wait for texts, because these may be slow to extract, or wait for an unreachable blob store.
    const hasMore = yield* Latch.make(true)
    const again = Effect.andThen(hasMore.open, Effect.sleep(pause))
    // A command of another process may have caused work too, by setting a search language.
    const extracting = Effect.timeoutOption(hasMore.await, idlePause).pipe(
      Effect.andThen(hasMore.close),
      Effect.andThen(extractAndIndex(Throttle.make(Throttle.isBusy))),
      Effect.catch(({ message }) =>
        Effect.logWarning(`extracting texts failed, and is tried again: ${message}`).pipe(Effect.andThen(again))
      ),
      Effect.catchDefect((defect) =>
        Effect.logError("extracting texts failed, and is tried again", defect).pipe(Effect.andThen(again))
      ),
      Effect.forever
    )
    const throttled = Throttle.make(Throttle.isBusy)
    const rows = Effect.gen(function* () {
      const { more } = yield* throttled(following.step)
      yield* hasMore.open
      if (!more) yield* following.waitForChanges
    }).pipe(Effect.forever)
    return yield* Effect.raceFirst(rows, extracting)
  }).pipe(Effect.scoped)

  const follow = Lock.withFreeLock(FeedFollower.lockName)(followAlone).pipe(
    Effect.catch(({ message }) =>
      Effect.logWarning(`deriving the schema mirror failed, and is tried again: ${message}`)
    ),
    (work) => Supervisor.forever(work, { what: "deriving the schema mirror", pause }),
    Effect.provide(
      Layer.provide(Feed.layerWith({ longestPause: Duration.toMillis(idlePause) }), Layer.succeedContext(context))
    ),
    Effect.provideContext(context)
  )

  const rebuild = Effect.andThen(
    // The tables must exist, in this version.
    follower,
    Effect.andThen(MirrorTables.beginAgain(sql), PendingTexts.redrive)
  ).pipe(Effect.asVoid, toStoreError("rebuilding the schema mirror"), Effect.provideContext(context))

  const setLanguage = (connection: string, language: string) =>
    Effect.andThen(
      // The functions and tables must exist, in this version.
      Effect.andThen(follower, SearchSchema.ensure),
      SearchSchema.setLanguage(connection, language)
    ).pipe(Effect.asVoid, Effect.provideContext(context))

  /** Creates the views, unless a newer process has. */
  const views = Effect.flatMap(registry.all, MirrorTables.ensure).pipe(
    Effect.catchTag("MirrorNewer", () => Effect.void),
    Effect.provideContext(context)
  )

  const read = <A, E>(use: (reads: ReturnType<typeof AgentReads.make>) => Effect.Effect<A, E, SqlClient.SqlClient>) =>
    Effect.andThen(views, ReadOnlyRole.ensure).pipe(
      Effect.flatMap((hasReaderRole) => reading.withPermit(use(AgentReads.make(hasReaderRole)))),
      Effect.provideContext(context)
    )

  return {
    reads: {
      get: (...args) => read(({ get }) => get(...args)),
      thread: (...args) => read(({ thread }) => thread(...args))
    },
    tokens: {
      create: (...args) => Effect.provideContext(ReadTokens.create(...args), context),
      list: Effect.provideContext(ReadTokens.list, context),
      revoke: (name) => Effect.provideContext(ReadTokens.revoke(name), context),
      scopeOf: (token) => Effect.provideContext(ReadTokens.scopeOf(token), context)
    },
    catchUp,
    follow,
    rebuild,
    setLanguage,
    query: (query) =>
      Effect.andThen(views, ReadOnlyRole.required).pipe(
        Effect.andThen(querying.withPermit(SqlQuery.run(query))),
        Effect.provideContext(context)
      ),
    grant: (role, options) => Effect.provideContext(Effect.andThen(views, ReadOnlyRole.grant(role, options)), context)
  } satisfies Omit<Deriver, "lag">
})
