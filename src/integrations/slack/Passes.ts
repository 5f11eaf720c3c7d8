/** The passes that complete a poll: the backfill, and complete passes. What they are for is written in Listing.ts. */
import * as Duration from "effect/Duration"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import { type Checkpoint, type Place, type State, toCheckpoint } from "./Checkpoint.ts"
import type { Env } from "./Refs.ts"
import * as Walk from "./Walk.ts"

export type Pages = Stream.Stream<
  Page<Checkpoint>,
  IntegrationError | ContentExistenceCheckerError,
  ContentExistenceChecker
>

const never = () => false
const always = () => true

/** One conversation after the other, until none is due: the streams are made as they are pulled. */
export const chain = (next: () => Pages | undefined): Pages =>
  Stream.suspend(() => {
    const pages = next()
    return pages === undefined ? Stream.empty : Stream.concat(pages, chain(next))
  })

/**
 * The backfill of every conversation that has it to do, in their order; `skip` names those that can't be read now, and
 * gets more of them.
 */
export const fill = (
  env: Env,
  state: State,
  skip: Set<string>,
  options: Pick<Walk.Walk, "oldest" | "listing" | "onCall" | "onSeen">
): Pages =>
  chain(() => {
    const due = (id: string) => state.channels.get(id)?.todo === true && !skip.has(id)
    const begun = state.fill
    const channel =
      begun !== undefined && due(begun.channel) ? begun.channel : Array.from(state.channels.keys()).find(due)
    if (channel === undefined) return undefined
    return Walk.make(env, {
      ...options,
      channel,
      place: begun?.channel === channel ? begun.place : {},
      goOn: always,
      active: never,
      fresh: always,
      onShorter: () => {},
      mayGoOn: always,
      onClosed: () => skip.add(channel),
      save: (place) => {
        if (skip.has(channel)) return toCheckpoint(state)
        // Its pages belong to another listing than a complete pass's: that one has to begin again.
        const swept = state.sweep?.wanted === true ? state.channels.get(state.sweep.channel) : undefined
        if (swept !== undefined) swept.wanted = true
        delete state.sweep
        if (place === undefined) {
          delete state.fill
          const channelState = state.channels.get(channel)
          if (channelState !== undefined) channelState.todo = false
        } else {
          state.fill = { channel, place }
        }
        return toCheckpoint(state)
      }
    })
  })

/** Calls of complete passes in one poll, for the tour; and for passes after a deletion was noticed. */
export interface SweepSettings {
  readonly sweepEvery: Duration.Duration
  readonly tourCalls: number
  readonly wantedCalls: number
}

/** Complete passes within the poll's budget: see this file's head. */
export const sweep = (
  settings: SweepSettings,
  env: Env,
  state: State,
  clock: number,
  skip: ReadonlySet<string>
): Pages => {
  let calls = 0
  const skipped = new Set<string>()

  const readable = (id: string) => !skip.has(id) && !skipped.has(id)

  /** The tour goes on at its conversation, or at the next one that can be read; from the start if that one is gone. */
  const touring = (): string | undefined => {
    const ids = Array.from(state.channels.keys())
    if (state.tour.next === undefined && clock - state.tour.at >= Duration.toMillis(settings.sweepEvery)) {
      const first = ids[0]
      if (first !== undefined) state.tour = { at: clock, next: first }
    }
    const next = state.tour.next
    const channel = next === undefined ? undefined : ids.slice(Math.max(0, ids.indexOf(next))).find(readable)
    state.tour = channel === undefined ? { at: state.tour.at } : { at: state.tour.at, next: channel }
    return channel
  }

  /** A conversation that is wanted and can be read. */
  const wanted = () => Array.from(state.channels).find(([id, channel]) => channel.wanted && readable(id))?.[0]

  const choose = (): State["sweep"] => {
    const tour = touring()
    const next = wanted()
    const chosen = next !== undefined && (tour === undefined || !state.wantedLast) ? next : tour
    if (chosen === undefined) return undefined
    state.wantedLast = chosen !== tour
    state.passes += 1
    return {
      channel: chosen,
      name: `${chosen}, pass ${state.passes} since ${clock}`,
      wanted: chosen !== tour,
      place: {}
    }
  }

  const advance = (channel: string) => {
    if (state.tour.next !== channel) return
    const ids = Array.from(state.channels.keys())
    const next = ids[ids.indexOf(channel) + 1]
    state.tour = next === undefined ? { at: state.tour.at } : { at: state.tour.at, next }
  }

  return chain(() => {
    const begun = state.sweep !== undefined && state.channels.has(state.sweep.channel) ? state.sweep : choose()
    if (begun === undefined) return undefined
    const budget = begun.wanted ? settings.wantedCalls : settings.tourCalls
    if (calls >= budget) return undefined
    const { channel } = begun
    const channelState = state.channels.get(channel)
    if (begun !== state.sweep && channelState !== undefined) channelState.wanted = false
    return Walk.make(env, {
      channel,
      place: begun.place,
      goOn: always,
      complete: true,
      active: never,
      fresh: always,
      listing: begun.name,
      onCall: () => {
        calls += 1
      },
      onSeen: () => {},
      onShorter: () => {},
      mayGoOn: () => calls < budget,
      onClosed: () => skipped.add(channel),
      // What was found absent waits for all conversations in which a deletion was noticed, or for the tour's end.
      completes: () => (begun.wanted ? wanted() === undefined : state.tour.next === undefined),
      save: (place: Place | undefined) => {
        if (place === undefined) {
          delete state.sweep
          advance(channel)
        } else {
          state.sweep = { ...begun, place }
        }
        return toCheckpoint(state)
      }
    })
  })
}
