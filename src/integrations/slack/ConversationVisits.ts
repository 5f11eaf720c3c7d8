/** Visits conversations: selects those that are due, and reads the newest part of their history. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Parts } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import { type Conversation, type Kind, type Part } from "./Checkpoint.ts"
import { type Pages, save, type State, update } from "./State.ts"
import { hasVanished, parentsDigest } from "./DeletionSigns.ts"
import type { Client } from "./Client.ts"
import * as EventDelivery from "./EventDelivery.ts"
import type * as CompletePasses from "./CompletePasses.ts"
import { beginHistory, floorOf, moveHistory, recordSeen } from "./HistoryPasses.ts"
import * as HistoryReader from "./HistoryReader.ts"
import type { Message } from "./Message.ts"
import type { Env } from "./MessageRefs.ts"
import type { Pass } from "./Pass.ts"
import { compareTs, millisOf, newest, tsOf } from "./Timestamp.ts"

/**
 * The number of objects in the first response of a visit, and the calls for threads in a conversation's first visit.
 */
const visitLimit = 200
const firstVisitThreads = 2
/** How long after its last activity a thread is listed again, and the most such threads in one poll. */
const overlap = Duration.toMillis("10 minutes")
const overlapThreads = 5
/** The least number of conversations that a round visits, if there are as many. */
export const visitsPerRound = 100
/**
 * A conversation that was active this recently is visited in each round; any other one after this share of its silence.
 */
const activeFor = Duration.toMillis("1 hour")
const silenceShare = 1 / 12

/** How often a pass reads each history again, by default. */
export const sweepEvery = Duration.days(1)

export interface Settings extends Omit<CompletePasses.Settings, "sweepEvery"> {
  /** How often a pass reads each history again; undefined if the config does not say. */
  readonly sweepEvery: Duration.Duration | undefined
  readonly client: Client
  readonly types: ReadonlyArray<Kind>
  readonly channels: ReadonlyArray<string> | undefined
  /** True if the token is a bot's, which can read only channels that it has joined. */
  readonly bot: Effect.Effect<boolean, IntegrationError>
  readonly lookback: Duration.Duration
  readonly files: boolean
  /** The most calls of one poll for the look-back, beyond one for each conversation. */
  readonly lookbackCalls: (conversations: number) => number
  /** The most calls of one poll for repeated passes over histories. */
  readonly historyCalls: number
  /** The number of objects in one response, and the most calls for threads in one step. */
  readonly limit: number
  readonly callsPerStep: number
}

/** A listing: its settings, its task and its state. */
export interface ListingContext {
  readonly settings: Settings
  readonly task: SyncTask.SyncTask
  readonly state: State
  readonly parts: Parts<Part>
  /** True if polls may rely on events. */
  readonly isListening: boolean
  readonly time: () => number
  /** When the listing began. */
  readonly now: number
}

/** Returns true if a visit is due, in proportion to the conversation's silence. */
const isOverdue = (part: Conversation, now: number, longest: number): boolean => {
  if (part.visit !== undefined || part.visitedAt === undefined) return true
  const silence = part.newest === undefined ? Number.POSITIVE_INFINITY : now - millisOf(part.newest)
  return silence <= activeFor || now - part.visitedAt >= Math.min(silence * silenceShare, longest)
}

/**
 * Returns true if a visit is due while hints are received. Dormant conversations are left to the passes over all
 * histories.
 */
const isOverdueAmidHints = (part: Conversation, now: number): boolean => {
  if (part.visit !== undefined || part.visitedAt === undefined) return true
  const wait = part.newest === undefined ? Number.POSITIVE_INFINITY : (now - millisOf(part.newest)) * silenceShare
  return wait < Duration.toMillis(sweepEvery) && now - part.visitedAt >= Math.max(activeFor, wait)
}

/** Makes the visits. Closed conversations are added to `skip`. `longest` is the longest time between two visits. */
export const make = (
  listing: ListingContext,
  {
    env,
    longest,
    skip
  }: {
    readonly env: Env
    readonly skip: Set<string>
    readonly longest: number
  }
) => {
  const { isListening, now, settings, state, time } = listing
  /** The number of unchanged threads that this listing may still list for edited replies. */
  let relistsLeft = overlapThreads

  /** Visits a conversation. `isHinted`: an event reported something new in it. */
  const visit = (channel: string, isHinted: boolean): Pages =>
    HistoryReader.read(env, passOf(channel, state.conversations.get(channel)?.part ?? {}, isHinted))

  const passOf = (channel: string, part: Conversation, isHinted: boolean): Pass => {
    const { watermark } = part
    const isFirst = watermark === undefined
    const isNew = (ts: string) => isFirst || compareTs(ts, watermark) > 0
    const begun = part.visit ?? { place: {}, top: watermark ?? "0.0", startedAt: time() }
    let { top } = begun
    let isFirstCall = true
    const isBackfilled = () => state.conversations.get(channel)?.part.historyAt !== undefined

    const onSeen = (messages: ReadonlyArray<Message>) => {
      recordSeen(state, messages)
      const before = state.conversations.get(channel)?.part.newest
      update(state, channel, { newest: messages.reduce((seen, { ts }) => newest(seen, ts), before) })
    }

    /** The look-back is computed from Slack's time, and not from ours. */
    const lookbackFrom = tsOf(millisOf(state.seen ?? tsOf(now)) - Duration.toMillis(settings.lookback))
    const looksBack = (oldest: string) =>
      isBackfilled() &&
      state.round !== undefined &&
      compareTs(oldest, lookbackFrom) > 0 &&
      state.round.extra < settings.lookbackCalls(state.conversations.size)

    return {
      channel,
      place: begun.place,
      firstLimit: visitLimit,
      callsPerStep: isFirst ? Math.min(firstVisitThreads, settings.callsPerStep) : undefined,
      floor: floorOf(part),
      isComplete: false,
      spend: (calls) => {
        const { round } = state
        if (round !== undefined && calls > 0) {
          const extra = round.extra + calls - (isFirstCall ? 1 : 0)
          state.round = { ...round, calls: round.calls + calls, extra }
          isFirstCall = false
        }
        // The first visit ends after one step, and the backfill continues where it stopped.
        return !isFirst
      },
      onAnswer: ({ hasLostReplies, isLast, isTop, messages, unknown }) => {
        if (isTop) {
          top = newest(top, messages[0]?.ts) ?? top
          if (isFirst) beginHistory(state, channel, begun.startedAt, top)
          const fresh = messages.filter(({ ts }) => isNew(ts)).length
          const before = part.digest
          if (before !== undefined && hasVanished(messages, { before, fresh, complete: isLast })) {
            update(state, channel, { suspect: true })
          }
          update(state, channel, { digest: parentsDigest(messages, isLast) })
        }
        if (hasLostReplies) update(state, channel, { suspect: true })
        onSeen(messages)
        if (!isHinted) for (const ts of unknown) EventDelivery.onUnhinted(state, channel, ts, now)
        const oldest = messages.at(-1)?.ts
        return oldest === undefined || isNew(oldest) || looksBack(oldest)
      },
      relists: ({ isParentDeleted, latestReply }) => {
        if (isParentDeleted) return isNew(latestReply) || !isBackfilled()
        if (now - millisOf(latestReply) > overlap || relistsLeft === 0) return false
        relistsLeft -= 1
        return true
      },
      onReplies: onSeen,
      save: (progress) => {
        state.movedAt = time()
        const { startedAt: visitedAt } = begun
        if (progress.end === "refused") {
          skip.add(channel)
          update(state, channel, { visitedAt })
        } else if (isFirst) {
          moveHistory(state, channel, progress)
          update(state, channel, { watermark: top, visitedAt })
        } else if (progress.end === undefined) {
          update(state, channel, { visit: { place: progress.place, top, startedAt: begun.startedAt } })
        } else {
          update(state, channel, { watermark: top, visitedAt, visit: undefined })
        }
        return save(state)
      }
    }
  }

  /**
   * Returns the conversations that the round has still to visit: first those in which a search found new messages, then
   * those that were visited longest ago.
   */
  const due = (): ReadonlyArray<string> => {
    const { round } = state
    if (round === undefined) return []
    const found = new Set(state.search?.found)
    const active = Array.from(state.conversations).filter(([, { archived }]) => !archived)
    const isVisited = ({ visitedAt }: Conversation) => visitedAt !== undefined && visitedAt >= round.startedAt
    const waiting = active
      .filter(([, { part }]) => !isVisited(part))
      .sort(
        ([a, { part: one }], [b, { part: other }]) =>
          Number(found.has(b)) - Number(found.has(a)) || (one.visitedAt ?? 0) - (other.visitedAt ?? 0)
      )
    const room = visitsPerRound - (active.length - waiting.length)
    return waiting
      .filter(
        ([id, { part }], index) =>
          found.has(id) ||
          (isListening && part.isUnheard !== true && state.absentSince === undefined
            ? isOverdueAmidHints(part, round.startedAt)
            : index < room || isOverdue(part, round.startedAt, longest))
      )
      .map(([id]) => id)
  }

  return { visit, due }
}
