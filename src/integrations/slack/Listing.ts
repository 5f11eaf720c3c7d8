/**
 * The listing of a task, in this order:
 *
 * 1. A round of visits: `conversations.list`, then one `conversations.history` for each conversation that is due: its
 *    newest 200 parents. A visit finds new messages, edits, and late replies to any of these threads; in a conversation
 *    of up to 200 parents, replies of any age. Further answers (999 parents each) are requested until the last visit's
 *    watermark is reached, and then until `lookback` is, within a budget. The first visit of a conversation makes one
 *    such request, and leaves the rest to the backfill. Conversations are due if they were active within the last hour,
 *    or were not visited for a twelfth of the time since their last activity (at most `sweepEvery`). Others fill the
 *    round up to 100, those that were visited longest ago first. So with up to 100 conversations each round visits all,
 *    and with thousands, dormant ones are visited seldom.
 * 2. `users.list`, once an hour.
 * 3. The backfill: passes over the history of new conversations. A slice begins with another round once the backfill
 *    has had as many calls as the last round, and each poll begins with one. So new messages are requested before and
 *    between the slices of a backfill, and neither starves the other.
 * 4. Once every `sweepEvery`, another pass over the history of each conversation, 100 calls a poll. It costs one call
 *    for each 999 parents, and one for each thread that changed. It finds late replies and edits of any age, and by its
 *    count (see `moveHistory`) that a message vanished.
 * 5. Complete passes: each thread is listed, changed or not. They find edited replies, and prove deletions. A
 *    conversation in which a deletion was noticed has its pass at once, at most 100 calls a poll. A tour through all
 *    conversations begins once every `sweepEvery`, at most 20 calls a poll.
 *
 * Hinted parts come before all of these (see Events.ts, Looks.ts): a conversation is visited; a message or a thread is
 * looked up. A poll that hints alone brought forward does only that. While hints are received, conversations are listed
 * once an hour, visits are left to hints (except for conversations that were active within the last 12 days: an hour to
 * a day after each other), and passes 4 and 5 come once in 7 days unless the config says otherwise.
 *
 * A thread that was active in the last 10 minutes is listed again although its revision is the same, up to 5 threads a
 * poll: an edited reply shows nowhere else.
 *
 * A forced or windowed task is only a pass over the history of all conversations, between its bounds.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import type { Parts } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import {
  type Checkpoint,
  type Conversation,
  hasVanished,
  load,
  parentsDigest,
  type Part,
  save,
  type State,
  update
} from "./Checkpoint.ts"
import type { Client } from "./Client.ts"
import * as Directory from "./Directory.ts"
import { compareTs, millisOf, newest, tsOf } from "./Message.ts"
import {
  always,
  beginHistory,
  chain,
  completePasses,
  type CompleteSettings,
  countHistory,
  histories,
  moveHistory,
  type Pages
} from "./Passes.ts"
import type { Env } from "./Refs.ts"
import * as Looks from "./Looks.ts"
import * as Walk from "./Walk.ts"

/** Objects of the first answer of a visit, and calls for threads in the first visit of a conversation. */
const visitLimit = 200
const firstVisitThreads = 2
/** How long after its last activity a thread is listed again, and how many of them a poll. */
const overlap = Duration.toMillis("10 minutes")
const overlapThreads = 5
/** Between two slices of one poll there is less than this. */
const sliceGap = Duration.toMillis("15 seconds")
const usersEvery = Duration.toMillis("1 hour")
/** Conversations that a round visits at least, if there are so many. */
const visitsPerRound = 100
/** A conversation that was active this lately is visited in each round; another one at this share of its silence. */
const activeFor = Duration.toMillis("1 hour")
const silenceShare = 1 / 12

/** How often all histories are passed over by default, and while hints are heard. */
const sweepEvery = Duration.days(1)
const sweepWhileListening = Duration.days(7)
/** While hints are heard, conversations are listed so often; for a conversation that nobody knows, sooner. */
const directoryEvery = Duration.toMillis("1 hour")
const directoryForUnknown = Duration.toMillis("5 minutes")

export interface Settings extends Omit<CompleteSettings, "sweepEvery"> {
  /** How often the history of each conversation is passed over, where the config says so. */
  readonly sweepEvery: Duration.Duration | undefined
  readonly client: Client
  readonly types: ReadonlyArray<Directory.Kind>
  readonly channels: ReadonlyArray<string> | undefined
  /** True where the token is a bot's, which can read a channel only as its member. */
  readonly bot: Effect.Effect<boolean, IntegrationError>
  readonly lookback: Duration.Duration
  readonly files: boolean
  /** Calls that one poll may make for the look-back, beyond one a conversation. */
  readonly lookbackCalls: (conversations: number) => number
  /** Calls that one poll may make to pass over histories that were passed over before. */
  readonly historyCalls: number
  /** Objects of one answer; calls for threads in one step. */
  readonly limit: number
  readonly callsPerStep: number
}

export const make = (
  settings: Settings,
  task: SyncTask.SyncTask,
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>
): Pages =>
  Stream.unwrap(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const now = clock.currentTimeMillisUnsafe()
      const state = yield* load(checkpoint, parts, now)
      const scene: Scene = { settings, task, state, parts, time: () => clock.currentTimeMillisUnsafe(), now }
      return SyncTask.isLive(task) ? live(scene) : bounded(scene)
    })
  )

interface Scene {
  readonly settings: Settings
  readonly task: SyncTask.SyncTask
  readonly state: State
  readonly parts: Parts<Part>
  readonly time: () => number
  /** When the listing began. */
  readonly now: number
}

const directoryOptions = ({ now, parts, settings, task }: Scene): Directory.Options => ({
  now,
  parts,
  client: settings.client,
  task,
  types: settings.types,
  named: settings.channels,
  bot: settings.bot,
  asContent: task.window === undefined
})

const envOf = ({ settings, task, time }: Scene): Env => ({
  client: settings.client,
  task,
  files: settings.files,
  limit: settings.limit,
  callsPerStep: settings.callsPerStep,
  now: time,
  since: task.window?.since === undefined ? undefined : tsOf(task.window.since.epochMilliseconds),
  until: task.window?.until === undefined ? undefined : tsOf(task.window.until.epochMilliseconds)
})

const empty = (state: State): Page<Checkpoint, Part> => ({ listed: [], download: [], ...save(state) })

/** Every conversation between the task's bounds. Replies in the window belong to parents of up to `lookback` before. */
const bounded = (scene: Scene): Pages => {
  const { now, settings, state, task } = scene
  const since = task.window?.since
  const isListed = state.conversations.size > 0
  const withUsers = task.window === undefined && state.users.at === undefined
  return Stream.suspend(() => (isListed ? Stream.empty : Directory.channels(directoryOptions(scene), state))).pipe(
    Stream.concat(
      Stream.suspend(() => (withUsers ? Directory.users({ client: settings.client, task }, state, now) : Stream.empty))
    ),
    Stream.concat(
      histories(envOf(scene), state, new Set(), {
        now,
        isDue: (id) => state.conversations.get(id)?.part.historyAt === undefined,
        mayGoOn: always,
        oldest: since === undefined ? undefined : tsOf(since.epochMilliseconds - Duration.toMillis(settings.lookback)),
        onCall: () => {},
        onSeen: () => {}
      })
    )
  )
}

/** True if the conversation's turn has come by its silence. */
const isOverdue = (part: Conversation, now: number, longest: number): boolean => {
  if (part.visit !== undefined || part.visitedAt === undefined) return true
  const silence = part.newest === undefined ? Number.POSITIVE_INFINITY : now - millisOf(part.newest)
  return silence <= activeFor || now - part.visitedAt >= Math.min(silence * silenceShare, longest)
}

/** The same while hints are heard: dormant conversations are left to the passes over all histories. */
const isOverdueAmidHints = (part: Conversation, now: number): boolean => {
  if (part.visit !== undefined || part.visitedAt === undefined) return true
  const wait = part.newest === undefined ? Number.POSITIVE_INFINITY : (now - millisOf(part.newest)) * silenceShare
  return wait < Duration.toMillis(sweepEvery) && now - part.visitedAt >= Math.max(activeFor, wait)
}

const live = (scene: Scene): Pages => {
  const { now, parts, settings, state, task, time } = scene
  const { isListening, only } = parts.hinted
  const env = envOf(scene)
  const longest = settings.sweepEvery ?? (isListening ? sweepWhileListening : sweepEvery)
  const skip = new Set<string>()
  let relisted = 0

  const isKnown = (part: string) => state.conversations.has(part.split("/")[0] ?? "")

  const seen = (channel: string) => (ts: string) => {
    const ofAll = newest(state.seen, ts)
    if (ofAll !== undefined) state.seen = ofAll
    const part = state.conversations.get(channel)?.part
    if (part !== undefined) update(state, channel, { newest: newest(part.newest, ts) })
  }

  const visitOne = (channel: string): Pages => {
    const partOf = (): Conversation => state.conversations.get(channel)?.part ?? {}
    const { digest, watermark } = partOf()
    const begun = partOf().visit ?? { place: {}, top: watermark ?? "0.0", startedAt: time() }
    let { top } = begun
    const isFirst = watermark === undefined
    // The look-back begins at Slack's time, not at ours.
    const deadline = tsOf(millisOf(state.seen ?? tsOf(now)) - Duration.toMillis(settings.lookback))
    let answers = 0
    return Walk.make(env, {
      channel,
      place: begun.place,
      firstLimit: visitLimit,
      callsPerStep: isFirst ? Math.min(firstVisitThreads, settings.callsPerStep) : undefined,
      goOn: (ts) => {
        if (isFirst || compareTs(ts, watermark) > 0) return true
        const { round } = state
        const isBackfilled = partOf().historyAt !== undefined
        return (
          isBackfilled &&
          round !== undefined &&
          compareTs(ts, deadline) > 0 &&
          round.extra < settings.lookbackCalls(state.conversations.size)
        )
      },
      active: (latest) => {
        if (now - millisOf(latest) > overlap || relisted >= overlapThreads) return false
        relisted += 1
        return true
      },
      fresh: (latest) => isFirst || partOf().historyAt === undefined || compareTs(latest, watermark) > 0,
      onTop: (messages, complete) => {
        top = newest(top, messages[0]?.ts) ?? top
        if (isFirst) beginHistory(state, channel, begun.startedAt, top)
        const fresh = messages.filter(({ ts }) => isFirst || compareTs(ts, watermark) > 0).length
        const isSuspect = digest !== undefined && hasVanished(messages, { before: digest, fresh, complete })
        update(state, channel, {
          digest: parentsDigest(messages, complete),
          ...(isSuspect ? { suspect: true } : {})
        })
      },
      onCall: () => {
        const { round } = state
        if (round === undefined) return
        answers += 1
        state.round = { ...round, calls: round.calls + 1, extra: round.extra + (answers > 1 ? 1 : 0) }
      },
      onSeen: seen(channel),
      onShorter: () => {
        update(state, channel, { suspect: true })
      },
      onHistory: (ts) => {
        if (isFirst) countHistory(state, channel, ts)
      },
      // The first visit ends after one step, and the backfill goes on where it stopped.
      mayGoOn: () => !isFirst,
      onClosed: () => skip.add(channel),
      save: (place) => {
        state.movedAt = time()
        const visitedAt = begun.startedAt
        if (skip.has(channel)) update(state, channel, { visitedAt })
        else if (isFirst) {
          moveHistory(state, channel, place)
          update(state, channel, { watermark: top, visitedAt })
        } else if (place === undefined) {
          update(state, channel, { watermark: top, visitedAt, visit: undefined })
        } else {
          update(state, channel, { visit: { place, top, startedAt: begun.startedAt } })
        }
        return save(state)
      }
    })
  }

  /** The conversations that the round has still to visit, those that were visited longest ago first. */
  const due = (): ReadonlyArray<string> => {
    const { round } = state
    if (round === undefined) return []
    const active = Array.from(state.conversations).filter(([, { archived }]) => !archived)
    const isVisited = ({ visitedAt }: Conversation) => visitedAt !== undefined && visitedAt >= round.startedAt
    const waiting = active
      .filter(([, { part }]) => !isVisited(part))
      .sort(([, a], [, b]) => (a.part.visitedAt ?? 0) - (b.part.visitedAt ?? 0))
    const room = visitsPerRound - (active.length - waiting.length)
    return waiting
      .filter(([, { part }], index) =>
        isListening && state.absentSince === undefined
          ? isOverdueAmidHints(part, round.startedAt)
          : index < room || isOverdue(part, round.startedAt, Duration.toMillis(longest))
      )
      .map(([id]) => id)
  }

  /**
   * The rest of the round. A slice that is cut after the very last page is followed by another one, which makes a round
   * of its own: every other round has one page more, so that this comes to an end whatever a slice's length is.
   */
  const round: Pages = Stream.suspend(() => {
    const channels = [...due()]
    const all = chain(() => {
      const channel = channels.shift()
      return channel === undefined ? undefined : visitOne(channel)
    })
    const padding = Stream.suspend(() => (state.padded ? Stream.make(empty(state)) : Stream.empty))
    const end = Stream.suspend(() => {
      state.allowance = state.round?.calls ?? 0
      state.padded = !state.padded
      state.movedAt = time()
      delete state.round
      return Stream.make(empty(state))
    })
    return all.pipe(Stream.concat(padding), Stream.concat(end))
  })

  const begin = (again: boolean): Pages =>
    Stream.suspend(() => {
      state.round = { startedAt: time(), again, calls: 0, extra: 0 }
      state.roundAt = state.round.startedAt
      const isListed = isListening && now - (state.listedAt ?? 0) < directoryEvery
      return isListed ? round : Stream.concat(Directory.channels(directoryOptions(scene), state), round)
    })

  /** Lists the conversations, and visits those that are new among them. */
  const directory: Pages = Stream.concat(
    Directory.channels(directoryOptions(scene), state),
    Stream.suspend(() => {
      const fresh = Array.from(state.conversations).filter(
        ([, { archived, part }]) => !archived && part.visitedAt === undefined
      )
      Looks.wait(
        state,
        fresh.slice(0, visitsPerRound).map(([id]) => id)
      )
      return Stream.empty
    })
  )

  const looks = Looks.make(env, state)
  const hinted: Pages = Stream.suspend(() => {
    Looks.wait(state, parts.hinted.parts)
    return chain(() => {
      const [part] = state.hinted ?? []
      if (part === undefined) return undefined
      if (/^(users|files)\//.test(part) || (part.includes("/") && isKnown(part))) return looks.at(part)
      state.hinted = (state.hinted ?? []).filter((one) => one !== part)
      const isStale = now - (state.listedAt ?? 0) >= directoryForUnknown
      if (part === "channels" || (!isKnown(part) && isStale)) {
        // The part is looked at once its conversation is known; it is stale no more by then.
        if (part !== "channels") Looks.wait(state, [part])
        return directory
      }
      return isKnown(part) ? visitOne(part) : Stream.empty
    })
  })

  const users: Pages = Stream.suspend(() =>
    state.users.cursor !== undefined || state.users.at === undefined || now - state.users.at >= usersEvery
      ? Directory.users({ client: settings.client, task }, state, now)
      : Stream.empty
  )

  const isNew = (id: string) => {
    const found = state.conversations.get(id)
    return found !== undefined && found.part.historyAt === undefined
  }
  const onSeen = (ts: string) => {
    const ofAll = newest(state.seen, ts)
    if (ofAll !== undefined) state.seen = ofAll
  }
  const backfill: Pages = Stream.suspend(() =>
    histories(env, state, skip, {
      now,
      isDue: isNew,
      mayGoOn: always,
      listing: `backfill since ${state.tour.at}`,
      onSeen,
      onCall: () => {
        state.allowance = Math.max(0, state.allowance - 1)
      }
    })
  )

  const again: Pages = Stream.suspend(() => {
    return histories(env, state, skip, {
      now,
      isDue: (id) => {
        const part = state.conversations.get(id)?.part
        return (
          part?.historyAt !== undefined &&
          (part.history !== undefined || now - part.historyAt >= Duration.toMillis(longest)) &&
          state.conversations.get(id)?.archived === false
        )
      },
      mayGoOn: () => state.spent.history < settings.historyCalls,
      onSeen,
      onCall: () => {
        state.spent = { ...state.spent, history: state.spent.history + 1 }
      }
    })
  })

  const rest = users.pipe(
    Stream.concat(backfill),
    Stream.concat(completePasses({ ...settings, sweepEvery: longest }, env, state, now, skip)),
    Stream.concat(again)
  )

  const end: Pages = Stream.suspend(() => {
    state.ended = true
    state.movedAt = time()
    return Stream.make(empty(state))
  })

  const regular = (isSamePoll: boolean): Pages => {
    state.ended = false
    if (!isSamePoll) state.spent = { history: 0, complete: 0 }
    const backfillIsNext = state.allowance > 0 || !Array.from(state.conversations.keys()).some(isNew)
    if (state.round !== undefined) {
      // The next slice of the same poll ends with its round. After an interruption, conversations that were visited
      // before it may have changed since: another round follows.
      const isLast = state.round.again || isSamePoll
      const next = isLast ? Stream.empty : Stream.concat(begin(true), rest)
      return round.pipe(Stream.concat(rest), Stream.concat(next), Stream.concat(end))
    }
    // A sync that follows at once on one that was cut off looks like the next slice: so a round ends what was left.
    return isSamePoll && backfillIsNext
      ? rest.pipe(Stream.concat(begin(false)), Stream.concat(end))
      : begin(false).pipe(Stream.concat(rest), Stream.concat(end))
  }

  return Stream.suspend(() => {
    // Asked before visits move the time.
    const isSamePoll = !state.ended && now - state.movedAt <= sliceGap
    return only
      ? hinted
      : Stream.concat(
          hinted,
          Stream.suspend(() => regular(isSamePoll))
        )
  })
}
