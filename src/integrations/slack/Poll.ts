/** Lists for a poll: visits, users and passes, in the order that `Listing.ts` describes. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Page } from "../../contract/Page.ts"
import { type Checkpoint, type Part } from "./Checkpoint.ts"
import { type Pages, save, type State } from "./State.ts"
import * as CompletePasses from "./CompletePasses.ts"
import * as Directory from "./Directory.ts"
import * as EventDelivery from "./EventDelivery.ts"
import * as HistoryPasses from "./HistoryPasses.ts"
import * as HistoryReader from "./HistoryReader.ts"
import type { Env } from "./MessageRefs.ts"
import * as MessageSearch from "./MessageSearch.ts"
import * as HintLookups from "./HintLookups.ts"
import * as PlanLimit from "./PlanLimit.ts"
import { type ListingContext, sweepEvery, visitsPerRound } from "./ConversationVisits.ts"
import * as ConversationVisits from "./ConversationVisits.ts"
import { tsOf } from "./Timestamp.ts"

/** The usual upper bound of the time between two slices of one poll: a later slice may belong to another sync. */
const sliceGap = Duration.toMillis("15 seconds")
/** How often a poll visits the conversations if its slices are further apart. */
const roundEvery = Duration.toMillis("5 minutes")
const usersEvery = Duration.toMillis("1 hour")
/** How often a pass reads each history again while events are received. */
const sweepWhileListening = Duration.days(7)
/**
 * How often conversations are listed while events are received, and how soon after a hint about an unknown
 * conversation.
 */
const directoryEvery = Duration.toMillis("1 hour")
const directoryForUnknown = Duration.toMillis("5 minutes")

/** A poll: its listing, and what its stages share. */
interface Poll extends ListingContext {
  readonly env: Env
  readonly visits: ReturnType<typeof ConversationVisits.make>
  readonly lookups: ReturnType<typeof HintLookups.make>
  /** Conversations that can't be read now. */
  readonly skip: Set<string>
  /** How often a pass reads each history again. */
  readonly sweepInterval: Duration.Duration
}

/** Lists the conversations. */
export const listChannels = ({ parts, settings, state, task, time }: ListingContext): Pages => {
  const { bot, channels: named, client, types } = settings
  return Directory.channels(
    { now: time, parts, client, task, types, named, bot, asContent: task.window === undefined },
    state
  )
}

/** Returns what reading messages needs. */
export const envOf = ({ settings, state, task, time }: ListingContext): Env => ({
  client: settings.client,
  task,
  files: settings.files,
  limit: settings.limit,
  callsPerStep: settings.callsPerStep,
  now: time,
  planLimit: PlanLimit.make(state, time),
  since: task.window?.since === undefined ? undefined : tsOf(task.window.since.epochMilliseconds),
  until: task.window?.until === undefined ? undefined : tsOf(task.window.until.epochMilliseconds)
})

const empty = (state: State): Page<Checkpoint, Part> => ({ listed: [], download: [], ...save(state) })

const isKnown = ({ state }: Poll, part: string): boolean => state.conversations.has(part.split("/")[0] ?? "")

/** Continues the round. */
const continueRound = ({ state, time, visits }: Poll): Pages =>
  Stream.suspend(() => {
    const due = [...visits.due()]
    const all = HistoryReader.inSequence(() => {
      const channel = due.shift()
      return channel === undefined ? undefined : visits.visit(channel, false)
    })
    const end = Stream.suspend(() => {
      state.allowance = state.round?.calls ?? 0
      state.movedAt = time()
      state.rounds = (state.rounds ?? 0) + 1
      MessageSearch.forgetVisited(state)
      delete state.round
      return Stream.make(empty(state))
    })
    return Stream.concat(all, end)
  })

const beginRound = (poll: Poll, again: boolean): Pages =>
  Stream.suspend(() => {
    const { isListening, now, state, time } = poll
    state.round = { startedAt: time(), again, calls: 0, extra: 0 }
    state.roundAt = state.round.startedAt
    const isListed = isListening && now - (state.listedAt ?? 0) < directoryEvery
    return isListed ? continueRound(poll) : Stream.concat(listChannels(poll), continueRound(poll))
  })

/** Lists the conversations, and has new ones visited. */
const directory = (poll: Poll): Pages =>
  Stream.concat(
    listChannels(poll),
    Stream.suspend(() => {
      const fresh = Array.from(poll.state.conversations).flatMap(([id, { archived, part }]) =>
        archived || part.visitedAt !== undefined ? [] : [id]
      )
      HintLookups.wait(poll.state, fresh.slice(0, visitsPerRound))
      return Stream.empty
    })
  )

/** Continues a listing of the conversations that the previous slice did not complete. */
const unfinishedDirectory = (poll: Poll): Pages =>
  Stream.suspend(() => (poll.state.listing === undefined ? Stream.empty : directory(poll)))

/** Looks hinted parts up, and visits hinted conversations. */
const hinted = (poll: Poll): Pages =>
  Stream.suspend(() =>
    HistoryReader.inSequence(() => {
      const { lookups, now, state, visits } = poll
      const [part] = state.hinted ?? []
      if (part === undefined) return undefined
      if (/^(users|files)\//.test(part) || (part.includes("/") && isKnown(poll, part))) return lookups.at(part)
      state.hinted = (state.hinted ?? []).filter((one) => one !== part)
      const isStale = now - (state.listedAt ?? 0) >= directoryForUnknown
      if (part === "channels" || (!isKnown(poll, part) && isStale)) {
        // The part is looked up once its conversation is known.
        if (part !== "channels") HintLookups.wait(state, [part])
        return directory(poll)
      }
      return isKnown(poll, part) ? visits.visit(part, true) : Stream.empty
    })
  )

/** Searches for new messages, by which a round visits their conversations first. */
const search = ({ isListening, now, settings, state }: Poll): Pages =>
  Stream.unwrap(
    Effect.gen(function* () {
      if (isListening || !MessageSearch.isDue(state, now) || (yield* settings.bot)) return Stream.empty
      yield* MessageSearch.find(settings.client, state, now)
      return Stream.empty
    })
  )

const users = ({ now, settings, state, task }: Poll): Pages =>
  Stream.suspend(() =>
    state.users.cursor !== undefined || state.users.at === undefined || now - state.users.at >= usersEvery
      ? Directory.users({ client: settings.client, task }, state, now)
      : Stream.empty
  )

const isNew = (state: State, id: string): boolean =>
  state.conversations.has(id) && state.conversations.get(id)?.part.historyAt === undefined

const backfill = ({ env, now, skip, state }: Poll): Pages =>
  Stream.suspend(() =>
    HistoryPasses.make(env, state, skip, {
      now,
      listing: `backfill since ${state.tour.at}`,
      isDue: (id) => isNew(state, id),
      spend: (calls) => {
        state.allowance = Math.max(0, state.allowance - calls)
        return true
      }
    })
  )

/** Reads the histories again that were last read long ago. */
const sweep = ({ env, now, settings, skip, state, sweepInterval }: Poll): Pages =>
  HistoryPasses.make(env, state, skip, {
    now,
    isDue: (id) => {
      const { archived, part } = state.conversations.get(id) ?? { archived: true, part: {} }
      const isOld = part.historyAt !== undefined && now - part.historyAt >= Duration.toMillis(sweepInterval)
      return !archived && part.historyAt !== undefined && (part.history !== undefined || isOld)
    },
    spend: (calls) => {
      state.spent = { ...state.spent, history: state.spent.history + calls }
      return state.spent.history < settings.historyCalls
    },
    onNew: (channel, ts) => EventDelivery.onUnhinted(state, channel, ts, now)
  })

/** The users and the passes, which follow a round. */
const afterRound = (poll: Poll): Pages => {
  const { env, now, settings, skip, state, sweepInterval } = poll
  const passes = backfill(poll).pipe(
    Stream.concat(CompletePasses.make({ ...settings, sweepEvery: sweepInterval }, env, state, now, skip)),
    Stream.concat(sweep(poll)),
    Stream.map((page) => {
      state.rounds = 0
      return { ...page, checkpoint: { ...page.checkpoint, rounds: 0 } }
    })
  )
  return Stream.concat(users(poll), passes)
}

const end = ({ state, time }: Poll): Pages =>
  Stream.suspend(() => {
    state.ended = true
    state.movedAt = time()
    return Stream.make({ ...empty(state), problems: EventDelivery.problems(state) })
  })

/** Lists everything that is due: rounds, users and passes. */
const regular = (poll: Poll, isSamePoll: boolean): Pages => {
  const { now, state } = poll
  const rest = afterRound(poll)
  const isNewPoll = state.ended
  state.ended = false
  if (isNewPoll) {
    state.spent = { history: 0, complete: 0 }
    state.rounds = 0
  }
  if (state.round !== undefined) {
    // The next slice of the same poll ends with its round. After an interruption, conversations that were visited
    // before it may have changed, so another round follows.
    const isLast = state.round.again || isSamePoll
    const next = isLast ? Stream.empty : Stream.concat(beginRound(poll, true), rest)
    return continueRound(poll).pipe(Stream.concat(rest), Stream.concat(next), Stream.concat(end(poll)))
  }
  const { allowance, roundAt = 0, rounds = 0 } = state
  const isRecent = isSamePoll || now - roundAt <= roundEvery
  const mayGoOn = allowance > 0 || !Array.from(state.conversations.keys()).some((id) => isNew(state, id))
  if (isNewPoll || (rounds === 0 && !(isRecent && mayGoOn))) {
    return beginRound(poll, false).pipe(Stream.concat(rest), Stream.concat(end(poll)))
  }
  // A sync that follows an interrupted one looks like its next slice, so a round ends it, unless the previous slice
  // ended with one. A late slice may follow an old round: then a second round ends it.
  const enough = isSamePoll ? 1 : 2
  const last = Stream.suspend(() => ((state.rounds ?? 0) >= enough ? Stream.empty : beginRound(poll, false)))
  return rest.pipe(Stream.concat(last), Stream.concat(end(poll)))
}

export const live = (context: ListingContext): Pages => {
  const { isListening, now, parts, settings, state } = context
  const env = envOf(context)
  const skip = new Set<string>()
  const sweepInterval = settings.sweepEvery ?? (isListening ? sweepWhileListening : sweepEvery)
  const visits = ConversationVisits.make(context, { env, skip, longest: Duration.toMillis(sweepInterval) })
  const poll: Poll = { ...context, env, skip, visits, sweepInterval, lookups: HintLookups.make(env, state) }
  return Stream.suspend(() => {
    // The first page of the slice stores the hints, whichever page it is, because only one slice gets them.
    HintLookups.wait(state, parts.hinted.parts)
    // Read before visits change the time.
    const isSamePoll = !state.ended && now - state.movedAt <= sliceGap
    const mayHaveSearched = parts.hinted.only || isSamePoll
    const first = unfinishedDirectory(poll).pipe(
      Stream.concat(mayHaveSearched ? Stream.empty : search(poll)),
      Stream.concat(hinted(poll))
    )
    return parts.hinted.only
      ? first
      : Stream.concat(
          first,
          Stream.suspend(() => regular(poll, isSamePoll))
        )
  })
}
