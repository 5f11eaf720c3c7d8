/**
 * Passes over the history of conversations: they list parents, and the threads that changed. Listing.ts describes when
 * they are made. Each pass counts the messages of its history, so that the next one notices a deletion.
 */
import { type Conversation } from "./Checkpoint.ts"
import { type Pages, save, type State, update } from "./State.ts"
import { noTally, tallied } from "./DeletionSigns.ts"
import * as HistoryReader from "./HistoryReader.ts"
import type { Message } from "./Message.ts"
import type { Env } from "./MessageRefs.ts"
import type { Pass, Progress } from "./Pass.ts"
import { unknownFloor } from "./PlanLimit.ts"
import { newest, tsOf } from "./Timestamp.ts"

/** Begins a pass over the history of a conversation, unless one is in progress. It counts messages up to `top`. */
export const beginHistory = (state: State, channel: string, now: number, top: string): void => {
  const part = state.conversations.get(channel)?.part
  if (part === undefined || part.history !== undefined) return
  const seen = noTally(part.tally?.upTo ?? "0.0")
  update(state, channel, { history: { place: {}, startedAt: now, seen, now: noTally(top) } })
}

/** Returns the last message of the history when it was last read as a whole; undefined if it never was. */
export const floorOf = ({ historyAt, oldest }: Conversation): string | undefined =>
  oldest ?? (historyAt === undefined ? undefined : unknownFloor)

/**
 * Records the progress of the pass over the history, and counts the messages of its page. If a whole pass has another
 * tally than the last pass up to the same time, a message was deleted.
 */
export const moveHistory = (state: State, channel: string, progress: Progress): void => {
  const part = state.conversations.get(channel)?.part
  if (part?.history === undefined) return
  const { place } = progress
  const history = {
    ...part.history,
    seen: progress.history.reduce(tallied, part.history.seen),
    now: progress.history.reduce(tallied, part.history.now)
  }
  if (progress.end === undefined) return update(state, channel, { history: { ...history, place } })
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

/** Records the newest message or reply ever seen. */
export const recordSeen = (state: State, messages: ReadonlyArray<Message>): void => {
  const seen = messages.reduce<string | undefined>((before, { ts }) => newest(before, ts), state.seen)
  if (seen !== undefined) state.seen = seen
}

interface Options {
  readonly now: number
  /** The oldest message to request. */
  readonly oldest?: string | undefined
  /** The listing to which the pages belong. */
  readonly listing?: string | undefined
  /** Returns true if the conversation's history is due. Called before each conversation. */
  readonly isDue: (id: string) => boolean
  /** Records calls, also 0. Returns whether another conversation may follow. */
  readonly spend: (calls: number) => boolean
  /** Records a message that is not stored yet. */
  readonly onNew?: ((channel: string, ts: string) => void) | undefined
}

/**
 * Makes passes over the history of every conversation that is due, in order. `skip` names conversations that can't be
 * read now, and further ones are added to it.
 */
export const make = (env: Env, state: State, skip: Set<string>, options: Options): Pages =>
  HistoryReader.inSequence(() => {
    if (!options.spend(0)) return undefined
    const isDue = (id: string) => !skip.has(id) && state.conversations.has(id) && options.isDue(id)
    const begun = state.historyOf
    const channel = begun !== undefined && isDue(begun) ? begun : Array.from(state.conversations.keys()).find(isDue)
    if (channel === undefined) return undefined
    state.historyOf = channel
    // Messages that arrive later are counted by the next pass.
    beginHistory(state, channel, options.now, state.seen ?? "0.0")
    return HistoryReader.read(env, passOf(channel, env, state, skip, options))
  })

const passOf = (
  channel: string,
  env: Env,
  state: State,
  skip: Set<string>,
  { listing, oldest, onNew, spend }: Options
): Pass => {
  const part = state.conversations.get(channel)?.part ?? {}
  return {
    channel,
    place: part.history?.place ?? {},
    oldest,
    floor: floorOf(part),
    listing,
    isComplete: false,
    spend: (calls) => {
      spend(calls)
      return true
    },
    onAnswer: ({ hasLostReplies, messages, unknown }) => {
      recordSeen(state, messages)
      for (const ts of unknown) onNew?.(channel, ts)
      if (hasLostReplies) update(state, channel, { suspect: true })
      return true
    },
    relists: ({ isParentDeleted }) => isParentDeleted,
    onReplies: (replies) => recordSeen(state, replies),
    save: (progress) => {
      state.movedAt = env.now()
      if (progress.end === "refused") {
        skip.add(channel)
        return save(state)
      }
      if (listing !== undefined) restartCompletePass(state)
      moveHistory(state, channel, progress)
      if (progress.end !== undefined) delete state.historyOf
      return save(state)
    }
  }
}

/** Restarts the complete pass, because pages of another listing delete its marks in the store. */
const restartCompletePass = (state: State): void => {
  if (state.pass?.suspect === true) update(state, state.pass.channel, { suspect: true })
  delete state.pass
}
