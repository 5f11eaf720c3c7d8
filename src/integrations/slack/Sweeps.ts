/**
 * Passes over conversations that complete a poll: over their history (parents, and the threads that changed), and
 * complete ones (each thread, changed or not). Listing.ts says when each is made.
 */
import * as Duration from "effect/Duration"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { type Checkpoint, type Conversation, type Part, type Place, save, type State, update } from "./Checkpoint.ts"
import { noTally, tallied } from "./DeletionSigns.ts"
import type { Env } from "./MessageRefs.ts"
import { unknownFloor } from "./PlanLimit.ts"
import * as Walk from "./Walk.ts"
import { tsOf } from "./Timestamp.ts"

export type Pages = Stream.Stream<
  Page<Checkpoint, Part>,
  IntegrationError | ContentExistenceCheckerError,
  ContentExistenceChecker
>

const never = () => false
export const always = () => true

/** Lists one conversation after the other until none is due. The streams are made as they are pulled. */
export const chain = (next: () => Pages | undefined): Pages =>
  Stream.suspend(() => {
    const pages = next()
    return pages === undefined ? Stream.empty : Stream.concat(pages, chain(next))
  })

/** Begins a pass over the history of a conversation, unless one is under way. It counts messages up to `top`. */
export const beginHistory = (state: State, channel: string, now: number, top: string): void => {
  const part = state.conversations.get(channel)?.part
  if (part === undefined || part.history !== undefined) return
  const seen = noTally(part.tally?.upTo ?? "0.0")
  update(state, channel, { history: { place: {}, startedAt: now, seen, now: noTally(top) } })
}

/** Counts a message of the pass over the history that is under way. */
export const countHistory = (state: State, channel: string, ts: string): void => {
  const history = state.conversations.get(channel)?.part.history
  if (history === undefined) return
  update(state, channel, {
    history: { ...history, seen: tallied(history.seen, ts), now: tallied(history.now, ts) }
  })
}

/** The message that the history ended with when it was last read as a whole; undefined if it never was read. */
export const floorOf = ({ historyAt, oldest }: Conversation): string | undefined =>
  oldest ?? (historyAt === undefined ? undefined : unknownFloor)

/**
 * Records how far the pass over the history is. A whole pass that counts fewer messages, or others, than the last one
 * counted up to the same time proves that one of them vanished.
 */
export const moveHistory = (state: State, channel: string, place: Place, isEnd: boolean): void => {
  const part = state.conversations.get(channel)?.part
  const history = part?.history
  if (part === undefined || history === undefined) return
  if (!isEnd) return update(state, channel, { history: { ...history, place } })
  const { tally } = part
  const isWhole = place.broken !== true
  const isOther = tally !== undefined && (tally.count !== history.seen.count || tally.sum !== history.seen.sum)
  update(state, channel, {
    history: undefined,
    historyAt: history.startedAt,
    tally: isWhole ? history.now : undefined,
    oldest: isWhole ? (place.at ?? tsOf(history.startedAt)) : part.oldest,
    suspect: part.suspect === true || (isWhole && isOther) ? true : undefined
  })
}

export interface HistoryOptions extends Pick<Walk.Walk, "oldest" | "listing" | "onCall" | "onSeen"> {
  /** A message that is not stored yet. */
  readonly onNew?: ((channel: string, ts: string) => void) | undefined
  /** Conversations whose history is due, asked before each of them. */
  readonly isDue: (id: string) => boolean
  readonly mayGoOn: () => boolean
  readonly now: number
}

/**
 * Passes over the history of every conversation that is due, in their order. `skip` names those that can't be read now,
 * and gets more of them.
 */
export const histories = (env: Env, state: State, skip: Set<string>, options: HistoryOptions): Pages =>
  chain(() => {
    if (!options.mayGoOn()) return undefined
    const isDue = (id: string) => !skip.has(id) && state.conversations.has(id) && options.isDue(id)
    const begun = state.historyOf
    const channel = begun !== undefined && isDue(begun) ? begun : Array.from(state.conversations.keys()).find(isDue)
    if (channel === undefined) return undefined
    state.historyOf = channel
    // Messages that come later than what was seen so far are counted by the next pass.
    beginHistory(state, channel, options.now, state.seen ?? "0.0")
    return Walk.make(env, {
      ...options,
      channel,
      place: state.conversations.get(channel)?.part.history?.place ?? {},
      floor: floorOf(state.conversations.get(channel)?.part ?? {}),
      goOn: always,
      active: never,
      fresh: always,
      onNew: (ts) => options.onNew?.(channel, ts),
      onShorter: () => {
        update(state, channel, { suspect: true })
      },
      onHistory: (ts) => countHistory(state, channel, ts),
      onClosed: () => skip.add(channel),
      save: (place, isEnd) => {
        state.movedAt = env.now()
        if (skip.has(channel)) return save(state)
        if (options.listing !== undefined) restartPass(state)
        moveHistory(state, channel, place, isEnd)
        if (isEnd) delete state.historyOf
        return save(state)
      }
    })
  })

/** Pages of another listing drop the engine's marks of the complete pass: it has to begin again. */
const restartPass = (state: State): void => {
  if (state.pass?.suspect === true) update(state, state.pass.channel, { suspect: true })
  delete state.pass
}

/** Calls of complete passes in one poll: for the tour, and for passes over suspects. */
export interface CompleteSettings {
  readonly sweepEvery: Duration.Duration
  readonly tourCalls: number
  readonly suspectCalls: number
}

/** True if every conversation that can be visited was visited since a deletion was noticed. */
const isVisitedAll = ({ absentSince = 0, conversations }: State): boolean =>
  Array.from(conversations.values()).every(({ archived, part }) => archived || (part.visitedAt ?? -1) >= absentSince)

/** Complete passes within the budget of calls: see this file's head. */
export const completePasses = (
  settings: CompleteSettings,
  env: Env,
  state: State,
  now: number,
  skip: ReadonlySet<string>
): Pages => {
  const skipped = new Set<string>()

  const isReadable = (id: string) => !skip.has(id) && !skipped.has(id)

  /** The tour goes on at its conversation, or at the next one that can be read; from the start if that one is gone. */
  const touring = (): string | undefined => {
    const ids = Array.from(state.conversations.keys())
    if (state.tour.next === undefined && now - state.tour.at >= Duration.toMillis(settings.sweepEvery)) {
      const first = ids[0]
      if (first !== undefined) state.tour = { at: now, next: first }
    }
    const next = state.tour.next
    const channel = next === undefined ? undefined : ids.slice(Math.max(0, ids.indexOf(next))).find(isReadable)
    state.tour = channel === undefined ? { at: state.tour.at } : { at: state.tour.at, next: channel }
    return channel
  }

  /** A conversation in which a deletion was noticed and that can be read. */
  const nextSuspect = () =>
    Array.from(state.conversations).find(([id, { part }]) => part.suspect === true && isReadable(id))?.[0]

  const choose = (): State["pass"] => {
    const tour = touring()
    const suspect = nextSuspect()
    const chosen = suspect !== undefined && (tour === undefined || !state.suspectLast) ? suspect : tour
    if (chosen === undefined) return undefined
    state.suspectLast = chosen !== tour
    state.passes += 1
    return {
      channel: chosen,
      name: `${chosen}, pass ${state.passes} since ${now}`,
      suspect: chosen !== tour,
      place: {}
    }
  }

  const advance = (channel: string) => {
    if (state.tour.next !== channel) return
    const ids = Array.from(state.conversations.keys())
    const next = ids[ids.indexOf(channel) + 1]
    state.tour = next === undefined ? { at: state.tour.at } : { at: state.tour.at, next }
  }

  /**
   * Absent messages are deleted once the whole workspace has been looked at, in as many rounds as that takes. A source
   * that loses everything is then noticed as a whole.
   */
  const isSettled = () => nextSuspect() === undefined && isVisitedAll(state)

  /** The page that says so, where the last pass came before the last visit. */
  const settle = (): Pages | undefined => {
    if (state.absentSince === undefined || state.pass !== undefined || !isSettled()) return undefined
    delete state.absentSince
    state.passes += 1
    const listing = `all visited, pass ${state.passes} since ${now}`
    return Stream.make({ listed: [], download: [], listing, complete: true, ...save(state) })
  }

  return chain(() => {
    const begun = state.pass !== undefined && state.conversations.has(state.pass.channel) ? state.pass : choose()
    if (begun === undefined) return settle()
    if (begun.suspect) state.absentSince ??= state.roundAt ?? now
    const budget = begun.suspect ? settings.suspectCalls : settings.tourCalls
    if (state.spent.complete >= budget) return undefined
    const { channel } = begun
    if (begun !== state.pass) update(state, channel, { suspect: undefined })
    return Walk.make(env, {
      channel,
      place: begun.place,
      floor: floorOf(state.conversations.get(channel)?.part ?? {}),
      goOn: always,
      complete: true,
      active: never,
      fresh: always,
      listing: begun.name,
      onCall: () => {
        state.spent = { ...state.spent, complete: state.spent.complete + 1 }
      },
      onSeen: () => {},
      onShorter: () => {},
      mayGoOn: () => state.spent.complete < budget,
      onClosed: () => skipped.add(channel),
      // Absent messages wait until the whole workspace was looked at, or for the end of the tour.
      completes: () => {
        const isComplete = begun.suspect ? isSettled() : state.tour.next === undefined
        if (isComplete) delete state.absentSince
        return isComplete
      },
      save: (place, isEnd) => {
        state.movedAt = env.now()
        if (isEnd) {
          delete state.pass
          advance(channel)
        } else {
          state.pass = { ...begun, place }
        }
        return save(state)
      }
    })
  })
}
