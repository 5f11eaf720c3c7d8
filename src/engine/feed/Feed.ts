/**
 * The change feed: each content at its latest change, in the order in which changes become visible, from the beginning
 * or after a cursor. A reader that has everything can wait for more.
 *
 * All waiting readers of a process share one poller, so that the database gets one cheap query every 100 ms to 1 s
 * whatever their number, and none while nobody waits. A commit of this process wakes the poller at once. LISTEN and
 * NOTIFY are not used: NOTIFY would cost every writer, and LISTEN needs a session, which a connection pooler does not
 * keep.
 */
import * as Context from "effect/Context"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Cursor from "./Cursor.ts"
import * as ChangeDocument from "./ChangeDocument.ts"
import { LocalCommits } from "./LocalCommits.ts"
import { type Change, type ChangeKind, latestOf } from "../model/Change.ts"
import type { ConnectionId } from "../model/Connection.ts"
import { FeedStore } from "../store/FeedStore.ts"
import type { StoreError } from "../store/StoreError.ts"

/** The longest wait of a reader. Many proxies close requests that take longer. */
export const longestWait = Duration.seconds(60)

const shortestPause = 100
const defaultLongestPause = 1000

interface Query {
  /** The changes of this connection only. */
  readonly connectionId?: ConnectionId | undefined
  /**
   * The kinds of changes to return, each content at its latest change of these kinds (see `Change.latestOf`).
   * Undefined: all.
   */
  readonly kinds?: ReadonlyArray<ChangeKind> | undefined
  readonly after?: string | undefined
  /** The most changes to return, 1 to 1,000. */
  readonly limit: number
  /** How long to wait for the first change, at most `longestWait`. */
  readonly wait: Duration.Duration
}

export class Feed extends Context.Service<
  Feed,
  {
    /**
     * Returns changes after the cursor (from the beginning without one), of one connection or of all, in the order in
     * which they became visible. Waits up to `wait` for the first. `next` is the cursor for the next request, also if
     * there was no change. A page filtered by kinds may be empty although changes follow it.
     *
     * If content that was returned as `stored` to a reader of some kinds changes before the reader reaches the end, it
     * is returned as `stored` again.
     */
    readonly changes: (
      query: Query
    ) => Effect.Effect<
      { readonly changes: ReadonlyArray<ChangeDocument.Change>; readonly next: string },
      Cursor.CursorInvalid | StoreError
    >
  }
>()("idem/engine/feed/Feed") {}

interface Waiter {
  readonly connectionId: ConnectionId | undefined
  /** The first transaction that is new to the reader. */
  from: bigint
  readonly woken: Deferred.Deferred<void, StoreError>
}

interface Options {
  /** The longest time between two queries while nothing changes, in milliseconds. Default: 1,000. */
  readonly longestPause?: number | undefined
}

export const make = Effect.fnUntraced(function* ({ longestPause = defaultLongestPause }: Options = {}) {
  const feedStore = yield* FeedStore
  const commits = yield* LocalCommits
  const scope = yield* Effect.scope
  const waiters = new Set<Waiter>()
  let isPolling = false

  /**
   * Makes one query, and wakes the readers of connections that changed. Returns true if any changed. A reader that
   * joins during the query is served by the next one.
   */
  const wakeReaders = Effect.gen(function* () {
    const asking = [...waiters]
    const [first, ...rest] = asking.map(({ from }) => from)
    if (first === undefined) return false
    const from = rest.reduce((least, one) => (one < least ? one : least), first)
    const { connections, next } = yield* feedStore.changed(from)
    for (const waiter of asking) {
      waiter.from = next
      const { connectionId } = waiter
      if (connectionId === undefined ? connections.size > 0 : connections.has(connectionId)) {
        Deferred.doneUnsafe(waiter.woken, Effect.void)
      }
    }
    return connections.size > 0
  })

  const isCommittedWithin = (millis: number) => Effect.map(Effect.timeoutOption(commits.next, millis), Option.isSome)

  const poll = Effect.gen(function* () {
    let pause = shortestPause
    while (waiters.size > 0) {
      if (yield* isCommittedWithin(pause)) {
        // Gathers the commits of a short time into one query.
        pause = shortestPause
        yield* Effect.sleep(pause)
      }
      pause = (yield* wakeReaders) ? shortestPause : Math.min(pause * 1.5, longestPause)
    }
    // This runs in the same synchronous step as the check for readers, so that a reader that joins next starts a new
    // poller.
    isPolling = false
  }).pipe(
    Effect.onError((cause) =>
      Effect.sync(() => {
        isPolling = false
        for (const { woken } of waiters) Deferred.doneUnsafe(woken, Effect.failCause(cause))
      })
    ),
    // The poller belongs to no request: its spans would appear in the first reader's trace.
    Effect.withTracerEnabled(false)
  )

  /** Waits until something may have changed. Returns false after `millis` milliseconds without a change. */
  const awaitChange = (connectionId: ConnectionId | undefined, from: bigint, millis: number) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const waiter: Waiter = { connectionId, from, woken: Deferred.makeUnsafe() }
        waiters.add(waiter)
        const start = isPolling ? Effect.void : Effect.asVoid(Effect.forkIn(poll, scope))
        isPolling = true
        return start.pipe(
          Effect.andThen(restore(Effect.timeoutOption(Deferred.await(waiter.woken), millis))),
          Effect.map((woken) => woken._tag === "Some"),
          Effect.ensuring(Effect.sync(() => waiters.delete(waiter)))
        )
      })
    )

  const changes = Effect.fn("Feed.changes")(function* (query: Query) {
    const { connectionId, kinds, limit } = query
    const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.min(query.wait, longestWait))
    const cursor = query.after === undefined ? undefined : yield* Cursor.changePlace(connectionId, query.after)
    let after = cursor?.place
    let since = cursor?.since ?? 0n
    let epochId: string | undefined
    while (true) {
      const page = yield* feedStore.changes({ connectionId, after, limit })
      if (cursor !== undefined) yield* cursor.check(page.epoch)
      if (page.isAhead || page.epoch.id !== (epochId ?? page.epoch.id)) return yield* Cursor.gone
      epochId = page.epoch.id
      const cursorOf = (place: Change["place"]) => Cursor.ofChange(page.epoch, connectionId, place, since)
      const answer = {
        changes: page.changes.flatMap((change) => {
          const kind = kinds === undefined ? change.change : latestOf(kinds, change, since)
          return kind === undefined ? [] : [ChangeDocument.change({ ...change, change: kind }, cursorOf(change.place))]
        }),
        next: cursorOf(page.next)
      }
      const left = until - (yield* Clock.currentTimeMillis)
      if (page.changes.length > 0 || left <= 0) return answer
      after = page.next
      since = page.next.transaction
      if (!(yield* awaitChange(connectionId, page.next.transaction, left))) return answer
    }
  })

  return Feed.of({ changes })
})

export const layerWith = (options: Options): Layer.Layer<Feed, never, FeedStore> => Layer.effect(Feed, make(options))

export const layer = layerWith({})
