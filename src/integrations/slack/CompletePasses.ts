/**
 * Complete passes over conversations: every thread is listed, changed or not. They prove deletions. Listing.ts
 * describes when they are made.
 */
import * as Duration from "effect/Duration"
import * as Stream from "effect/Stream"
import { floorOf } from "./HistoryPasses.ts"
import * as HistoryReader from "./HistoryReader.ts"
import type { Env } from "./MessageRefs.ts"
import type { Pass } from "./Pass.ts"
import { type Pages, save, type State, update } from "./State.ts"

/** The most calls of complete passes in one poll: for the tour, and for suspect conversations. */
export interface Settings {
  readonly sweepEvery: Duration.Duration
  readonly tourCalls: number
  readonly suspectCalls: number
}

type Begun = NonNullable<State["pass"]>

/** Returns true if every conversation that can be visited was visited since a deletion was noticed. */
const isVisitedAll = ({ absentSince = 0, conversations }: State): boolean =>
  Array.from(conversations.values()).every(({ archived, part }) => archived || (part.visitedAt ?? -1) >= absentSince)

/** Makes complete passes within the budget of calls. `skip` names the conversations that can't be read now. */
export const make = (settings: Settings, env: Env, state: State, now: number, skip: ReadonlySet<string>): Pages => {
  /** Conversations that this listing found to be closed. */
  const unreadable = new Set<string>()

  const isReadable = (id: string) => !skip.has(id) && !unreadable.has(id)

  /**
   * Returns the tour's next conversation: the present one, or the next that can be read. If the present one no longer
   * exists, the tour begins again.
   */
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

  /** Returns a conversation that can be read and in which a deletion was noticed; undefined if there is none. */
  const nextSuspect = () =>
    Array.from(state.conversations).find(([id, { part }]) => part.suspect === true && isReadable(id))?.[0]

  const choose = (): Begun | undefined => {
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
   * Returns true once the whole workspace has been examined, in as many rounds as that takes. Absent messages are
   * deleted only then, so that a source that loses everything is noticed before the first deletion.
   */
  const isExamined = () => nextSuspect() === undefined && isVisitedAll(state)

  /** Returns the page that completes the passes, if the last pass ended before the last visit. */
  const completion = (): Pages | undefined => {
    if (state.absentSince === undefined || state.pass !== undefined || !isExamined()) return undefined
    delete state.absentSince
    state.passes += 1
    const listing = `all visited, pass ${state.passes} since ${now}`
    return Stream.make({ listed: [], download: [], listing, complete: true, ...save(state) })
  }

  const passOf = (begun: Begun, budget: number): Pass => ({
    channel: begun.channel,
    place: begun.place,
    floor: floorOf(state.conversations.get(begun.channel)?.part ?? {}),
    listing: begun.name,
    isComplete: true,
    spend: (calls) => {
      state.spent = { ...state.spent, complete: state.spent.complete + calls }
      return state.spent.complete < budget
    },
    onAnswer: () => true,
    relists: () => true,
    onReplies: () => {},
    save: ({ end, place }) => {
      state.movedAt = env.now()
      if (end === undefined) {
        state.pass = { ...begun, place }
        return save(state)
      }
      if (end === "refused") unreadable.add(begun.channel)
      delete state.pass
      advance(begun.channel)
      // Absent messages are deleted when the whole workspace was examined, or at the end of the tour.
      const complete = begun.suspect ? isExamined() : state.tour.next === undefined
      if (complete) delete state.absentSince
      return { ...save(state), complete }
    }
  })

  return HistoryReader.inSequence(() => {
    const begun = state.pass !== undefined && state.conversations.has(state.pass.channel) ? state.pass : choose()
    if (begun === undefined) return completion()
    if (begun.suspect) state.absentSince ??= state.roundAt ?? now
    const budget = begun.suspect ? settings.suspectCalls : settings.tourCalls
    if (state.spent.complete >= budget) return undefined
    if (begun !== state.pass) update(state, begun.channel, { suspect: undefined })
    return HistoryReader.read(env, passOf(begun, budget))
  })
}
