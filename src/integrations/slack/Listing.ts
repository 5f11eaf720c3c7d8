/**
 * Lists for a task, in this order:
 *
 * 1. A round of visits: `conversations.list`, then one `conversations.history` for each conversation that is due: its
 *    newest 200 parents. A visit finds new messages, edits, and late replies to any of these threads; in a conversation
 *    of up to 200 parents, replies of any age. Further responses (999 parents each) are requested until the last
 *    visit's watermark is reached, and then until `lookback` is reached, within a budget. The first visit of a
 *    conversation makes one request, and leaves the rest to the backfill. A conversation is due if it was active within
 *    the last hour, or was not visited for a twelfth of the time since its last activity (at most `sweepEvery`). A
 *    round with fewer than 100 due conversations also visits others, those that were visited longest ago first. So with
 *    up to 100 conversations each round visits all, and with thousands, dormant ones are rarely visited.
 * 2. `users.list`, once an hour.
 * 3. The backfill: passes over the history of new conversations. Each poll begins with a round, and so does a slice
 *    once the backfill has had as many calls as the last round. So new messages are requested before and between the
 *    slices of a backfill, and neither starves the other. After a round, something else is listed first, however late
 *    the next slice is.
 * 4. Once every `sweepEvery`, another pass over the history of each conversation, 100 calls a poll. It costs one call
 *    for each 999 parents, and one for each thread that changed. It finds late replies and edits of any age, and
 *    notices by its tally (see `moveHistory`) that a message was deleted.
 * 5. Complete passes: every thread is listed, changed or not. They find edited replies, and prove deletions. A
 *    conversation in which a deletion was noticed has its pass at once, at most 100 calls a poll. A tour through all
 *    conversations begins once every `sweepEvery`, at most 20 calls a poll.
 *
 * If the token is a user's and has the scope `search:read`, each poll begins with a search for new messages in all
 * conversations: threads with late replies are looked up, and conversations with new messages are visited first (see
 * MessageSearch.ts). There is no search while hints are received, because hints report more.
 *
 * Hinted parts come before everything else (see Events.ts, HintLookups.ts): a conversation is visited; a message or a
 * thread is looked up. A poll that was caused only by hints does nothing else. While events come (see
 * EventDelivery.ts), conversations are listed once an hour, visits are left to hints (except for conversations that
 * were active within the last 12 days: an hour to a day apart), and passes 4 and 5 come once in 7 days unless the
 * config says otherwise.
 *
 * A thread that was active in the last 10 minutes is listed again even if its revision is the same, up to 5 threads a
 * poll: an edited reply is visible nowhere else.
 *
 * A forced or windowed task is only a pass over the history of all conversations, between its bounds.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { Page } from "../../contract/Page.ts"
import type { Parts } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import { type Checkpoint, type Part } from "./Checkpoint.ts"
import { changedAt, load, type Pages, save, type State } from "./State.ts"
import * as CompletePasses from "./CompletePasses.ts"
import * as Directory from "./Directory.ts"
import * as EventDelivery from "./EventDelivery.ts"
import * as HistoryPasses from "./HistoryPasses.ts"
import * as HistoryReader from "./HistoryReader.ts"
import type { Env } from "./MessageRefs.ts"
import * as MessageSearch from "./MessageSearch.ts"
import * as HintLookups from "./HintLookups.ts"
import * as PlanLimit from "./PlanLimit.ts"
import { type ListingContext, type Settings, sweepEvery, visitsPerRound } from "./ConversationVisits.ts"
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

export const make = (
  settings: Settings,
  task: SyncTask.SyncTask,
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>
): Pages =>
  Stream.unwrap(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const state = yield* load(checkpoint, parts, clock.currentTimeMillisUnsafe())
      // The stored state may come from a process whose clock is ahead; then the listing continues from that time. With
      // an earlier time, no visit would be part of its round, and two alternating processes would each begin a poll of
      // their own.
      const behind = changedAt(state) - clock.currentTimeMillisUnsafe()
      const time = () => clock.currentTimeMillisUnsafe() + (behind > 0 ? behind + 1 : 0)
      const now = time()
      const isLive = SyncTask.isLive(task)
      const isListening = isLive && EventDelivery.begin(state, parts.hinted, now)
      const context = { settings, task, state, parts, isListening, time, now }
      return isLive ? live(context) : bounded(context)
    })
  )

const channels = ({ parts, settings, state, task, time }: ListingContext): Pages => {
  const { bot, channels: named, client, types } = settings
  return Directory.channels(
    { now: time, parts, client, task, types, named, bot, asContent: task.window === undefined },
    state
  )
}

const envOf = ({ settings, state, task, time }: ListingContext): Env => ({
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

/**
 * Lists every conversation between the task's bounds. Replies in the window may belong to parents up to `lookback`
 * before.
 */
const bounded = (context: ListingContext): Pages => {
  const { now, settings, state, task } = context
  const since = task.window?.since
  const isListed = state.conversations.size > 0 && state.listing === undefined
  const withUsers = task.window === undefined && state.users.at === undefined
  return (isListed ? Stream.empty : channels(context)).pipe(
    Stream.concat(
      Stream.suspend(() => (withUsers ? Directory.users({ client: settings.client, task }, state, now) : Stream.empty))
    ),
    Stream.concat(
      HistoryPasses.make(envOf(context), state, new Set(), {
        now,
        oldest: since === undefined ? undefined : tsOf(since.epochMilliseconds - Duration.toMillis(settings.lookback)),
        isDue: (id) => state.conversations.get(id)?.part.historyAt === undefined,
        spend: () => true
      })
    )
  )
}

const live = (context: ListingContext): Pages => {
  const { isListening, now, parts, settings, state, task, time } = context
  const env = envOf(context)
  const longest = settings.sweepEvery ?? (isListening ? sweepWhileListening : sweepEvery)
  const skip = new Set<string>()

  const visits = ConversationVisits.make(context, { env, skip, longest: Duration.toMillis(longest) })

  const isKnown = (part: string) => state.conversations.has(part.split("/")[0] ?? "")

  /** Continues the round. */
  const round: Pages = Stream.suspend(() => {
    const channels = [...visits.due()]
    const all = HistoryReader.inSequence(() => {
      const channel = channels.shift()
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

  const begin = (again: boolean): Pages =>
    Stream.suspend(() => {
      state.round = { startedAt: time(), again, calls: 0, extra: 0 }
      state.roundAt = state.round.startedAt
      const isListed = isListening && now - (state.listedAt ?? 0) < directoryEvery
      return isListed ? round : Stream.concat(channels(context), round)
    })

  /** Lists the conversations, and visits new ones. */
  const directory: Pages = Stream.concat(
    channels(context),
    Stream.suspend(() => {
      const fresh = Array.from(state.conversations).flatMap(([id, { archived, part }]) =>
        archived || part.visitedAt !== undefined ? [] : [id]
      )
      HintLookups.wait(state, fresh.slice(0, visitsPerRound))
      return Stream.empty
    })
  )

  /** Continues a listing of the conversations that the previous slice did not complete. */
  const unfinished: Pages = Stream.suspend(() => (state.listing === undefined ? Stream.empty : directory))

  const looks = HintLookups.make(env, state)
  const hinted: Pages = Stream.suspend(() =>
    HistoryReader.inSequence(() => {
      const [part] = state.hinted ?? []
      if (part === undefined) return undefined
      if (/^(users|files)\//.test(part) || (part.includes("/") && isKnown(part))) return looks.at(part)
      state.hinted = (state.hinted ?? []).filter((one) => one !== part)
      const isStale = now - (state.listedAt ?? 0) >= directoryForUnknown
      if (part === "channels" || (!isKnown(part) && isStale)) {
        // The part is looked up once its conversation is known.
        if (part !== "channels") HintLookups.wait(state, [part])
        return directory
      }
      return isKnown(part) ? visits.visit(part, true) : Stream.empty
    })
  )

  const search: Pages = Stream.unwrap(
    Effect.gen(function* () {
      if (isListening || !MessageSearch.isDue(state, now) || (yield* settings.bot)) return Stream.empty
      yield* MessageSearch.find(settings.client, state, now)
      return Stream.empty
    })
  )

  const users: Pages = Stream.suspend(() =>
    state.users.cursor !== undefined || state.users.at === undefined || now - state.users.at >= usersEvery
      ? Directory.users({ client: settings.client, task }, state, now)
      : Stream.empty
  )

  const isNew = (id: string) => state.conversations.has(id) && state.conversations.get(id)?.part.historyAt === undefined
  const backfill: Pages = Stream.suspend(() =>
    HistoryPasses.make(env, state, skip, {
      now,
      listing: `backfill since ${state.tour.at}`,
      isDue: isNew,
      spend: (calls) => {
        state.allowance = Math.max(0, state.allowance - calls)
        return true
      }
    })
  )

  const sweep: Pages = HistoryPasses.make(env, state, skip, {
    now,
    isDue: (id) => {
      const { archived, part } = state.conversations.get(id) ?? { archived: true, part: {} }
      const isOld = part.historyAt !== undefined && now - part.historyAt >= Duration.toMillis(longest)
      return !archived && part.historyAt !== undefined && (part.history !== undefined || isOld)
    },
    spend: (calls) => {
      state.spent = { ...state.spent, history: state.spent.history + calls }
      return state.spent.history < settings.historyCalls
    },
    onNew: (channel, ts) => EventDelivery.onUnhinted(state, channel, ts, now)
  })

  const passes = backfill.pipe(
    Stream.concat(CompletePasses.make({ ...settings, sweepEvery: longest }, env, state, now, skip)),
    Stream.concat(sweep),
    Stream.map((page) => {
      state.rounds = 0
      return { ...page, checkpoint: { ...page.checkpoint, rounds: 0 } }
    })
  )
  const rest = Stream.concat(users, passes)

  const end: Pages = Stream.suspend(() => {
    state.ended = true
    state.movedAt = time()
    return Stream.make({ ...empty(state), problems: EventDelivery.problems(state) })
  })

  const regular = (isSamePoll: boolean): Pages => {
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
      const next = isLast ? Stream.empty : Stream.concat(begin(true), rest)
      return round.pipe(Stream.concat(rest), Stream.concat(next), Stream.concat(end))
    }
    const { allowance, roundAt = 0, rounds = 0 } = state
    const isRecent = isSamePoll || now - roundAt <= roundEvery
    const mayGoOn = allowance > 0 || !Array.from(state.conversations.keys()).some(isNew)
    if (isNewPoll || (rounds === 0 && !(isRecent && mayGoOn))) {
      return begin(false).pipe(Stream.concat(rest), Stream.concat(end))
    }
    // A sync that follows an interrupted one looks like its next slice, so a round ends it, unless the previous slice
    // ended with one. A late slice may follow an old round: then a second round ends it.
    const enough = isSamePoll ? 1 : 2
    const last = Stream.suspend(() => ((state.rounds ?? 0) >= enough ? Stream.empty : begin(false)))
    return rest.pipe(Stream.concat(last), Stream.concat(end))
  }

  return Stream.suspend(() => {
    // The first page of the slice stores the hints, whichever page it is, because only one slice gets them.
    HintLookups.wait(state, parts.hinted.parts)
    // Read before visits change the time.
    const isSamePoll = !state.ended && now - state.movedAt <= sliceGap
    const first = Stream.concat(unfinished, parts.hinted.only || isSamePoll ? hinted : Stream.concat(search, hinted))
    return parts.hinted.only
      ? first
      : Stream.concat(
          first,
          Stream.suspend(() => regular(isSamePoll))
        )
  })
}
