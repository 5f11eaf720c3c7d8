/**
 * What a task lists, and in which order.
 *
 * A poll visits, then completes:
 *
 * 1. `conversations.list`, and one `conversations.history` a conversation that is not archived: its newest 200 parents.
 *    That finds new messages, edits, and late replies to any of these threads; in a conversation of up to 200 parents,
 *    whatever their age. Further answers (999 parents each) are asked for until what the last visit saw is reached, and
 *    then until `lookback` is, within a budget of as many calls as there are conversations.
 * 2. `users.list`, once an hour.
 * 3. The backfill of conversations that are new to us. A slice begins with another visit only once the backfill has had
 *    as many calls as the last visit, so that neither starves the other, however many conversations there are.
 * 4. The complete passes: a conversation, and each of its threads, listed from end to end. They find late replies and
 *    edits in threads of any age, and prove what was deleted. A tour through all conversations begins once every
 *    `sweepEvery`, and makes at most 20 calls a poll; a conversation in which a visit noticed a deletion has its pass at
 *    once, at most 100 calls a poll.
 *
 * So an idle poll of N conversations costs N + 1 calls (one more for each 999 conversations, and for each conversation
 * with more than 200 parents within `lookback`), since Slack has no call that tells what changed in several
 * conversations; 1 call an hour for each 500 users; and, spread over the day, one tour: a call for each 999 parents and
 * one a thread. A thread that was active in the last 10 minutes is listed again though its revision is the same, up to
 * 5 of them a poll: an edited reply shows nowhere else.
 *
 * A forced or windowed task is a backfill of all conversations, between its bounds, and nothing else.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import {
  type Checkpoint,
  fromCheckpoint,
  hasVanished,
  initial,
  parentsDigest,
  type State,
  toCheckpoint
} from "./Checkpoint.ts"
import type { Client } from "./Client.ts"
import * as Directory from "./Directory.ts"
import { compareTs, millisOf, newest, tsOf } from "./Message.ts"
import { chain, fill, type Pages, sweep, type SweepSettings } from "./Passes.ts"
import type { Env } from "./Refs.ts"
import * as Walk from "./Walk.ts"

/** Objects of the first answer of a visit. */
const visitLimit = 200
/** How far our clock may be ahead of Slack's: asked for the first watermark only, when nothing was seen before it. */
const clockTolerance = Duration.toMillis("1 hour")
/** How long after its last activity a thread is listed again, and how many of them a poll. */
const overlap = Duration.toMillis("10 minutes")
const overlapThreads = 5
/** Between two slices of one poll there is less than this. */
const sliceGap = Duration.toMillis("15 seconds")
const usersEvery = Duration.toMillis("1 hour")

export interface Settings extends SweepSettings {
  readonly client: Client
  readonly types: ReadonlyArray<Directory.Kind>
  readonly channels: ReadonlyArray<string> | undefined
  /** True where the token is a bot's, which can read a channel only as its member. */
  readonly bot: Effect.Effect<boolean, IntegrationError>
  readonly lookback: Duration.Duration
  readonly files: boolean
  /** Calls that one poll may make for the look-back, beyond one a conversation. */
  readonly lookbackCalls: (conversations: number) => number
  /** Objects of one answer; calls for threads in one step. */
  readonly limit: number
  readonly callsPerStep: number
}

export const make = (settings: Settings, task: SyncTask.SyncTask, checkpoint: Option.Option<Checkpoint>): Pages =>
  Stream.unwrap(
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const now = clock.currentTimeMillisUnsafe()
      const state = Option.match(checkpoint, { onNone: () => initial(now), onSome: fromCheckpoint })
      return SyncTask.isLive(task) ? live(settings, task, state, clock) : bounded(settings, task, state, now)
    })
  )

const directoryOptions = (settings: Settings, task: SyncTask.SyncTask, now: number): Directory.Options => ({
  now,
  client: settings.client,
  task,
  types: settings.types,
  wanted: settings.channels,
  bot: settings.bot,
  asContent: task.window === undefined
})

const envOf = (settings: Settings, task: SyncTask.SyncTask): Env => ({
  client: settings.client,
  task,
  files: settings.files,
  limit: settings.limit,
  callsPerStep: settings.callsPerStep,
  since: task.window?.since === undefined ? undefined : tsOf(task.window.since.epochMilliseconds),
  until: task.window?.until === undefined ? undefined : tsOf(task.window.until.epochMilliseconds)
})

const nothing = (state: State): Page<Checkpoint> => ({ listed: [], download: [], checkpoint: toCheckpoint(state) })

const always = () => true

/** Every conversation between the task's bounds. Replies in the window belong to parents of up to `lookback` before. */
const bounded = (settings: Settings, task: SyncTask.SyncTask, state: State, clock: number): Pages => {
  const since = task.window?.since
  const listed = state.channels.size > 0
  const people = task.window === undefined && state.users.at === undefined
  return Stream.suspend(() =>
    listed ? Stream.empty : Directory.channels(directoryOptions(settings, task, clock), state, () => {})
  ).pipe(
    Stream.concat(
      Stream.suspend(() => (people ? Directory.users({ client: settings.client, task }, state, clock) : Stream.empty))
    ),
    Stream.concat(
      fill(envOf(settings, task), state, new Set(), {
        oldest: since === undefined ? undefined : tsOf(since.epochMilliseconds - Duration.toMillis(settings.lookback)),
        onCall: () => {},
        onSeen: () => {}
      })
    )
  )
}

const live = (settings: Settings, task: SyncTask.SyncTask, state: State, time: Clock.Clock): Pages => {
  const env = envOf(settings, task)
  const clock = time.currentTimeMillisUnsafe()
  const skip = new Set<string>()
  let relisted = 0
  const onSeen = (ts: string) => {
    const seen = newest(state.seen, ts)
    if (seen !== undefined) state.seen = seen
  }

  const visitOne = (channel: string): Pages => {
    const channelState = state.channels.get(channel)
    const { round } = state
    if (channelState === undefined || round === undefined) return Stream.empty
    // The look-back begins at Slack's time, not at ours.
    const deadline = tsOf(millisOf(state.seen ?? tsOf(clock)) - Duration.toMillis(settings.lookback))
    const watermark = state.watermark
    // The backfill takes over after the first answer, unless it has begun, above which a gap must not be left.
    const shallow = channelState.todo && state.fill?.channel !== channel
    let answers = 0
    return Walk.make(env, {
      channel,
      place: round.place ?? {},
      firstLimit: visitLimit,
      goOn: (ts) => {
        if (shallow) return false
        if (watermark !== undefined && compareTs(ts, watermark) > 0) return true
        const visit = state.round
        return (
          visit !== undefined &&
          compareTs(ts, deadline) > 0 &&
          visit.extra < settings.lookbackCalls(state.channels.size)
        )
      },
      active: (latest) => {
        if (clock - millisOf(latest) > overlap || relisted >= overlapThreads) return false
        relisted += 1
        return true
      },
      fresh: (latest) => channelState.todo || watermark === undefined || compareTs(latest, watermark) > 0,
      onTop: (messages, complete) => {
        const before = channelState.digest
        const fresh = messages.filter(
          (message) => watermark === undefined || compareTs(message.ts, watermark) > 0
        ).length
        if (before !== undefined && hasVanished(messages, { before, fresh, complete })) channelState.wanted = true
        channelState.digest = parentsDigest(messages, complete)
        if (complete && channelState.todo) {
          // All there is came with one answer, and is stored with this visit's pages.
          completed = true
        }
      },
      onCall: () => {
        const visit = state.round
        if (visit === undefined) return
        answers += 1
        state.round = { ...visit, calls: visit.calls + 1, extra: visit.extra + (answers > 1 ? 1 : 0) }
      },
      onSeen,
      onShorter: () => {
        channelState.wanted = true
      },
      mayGoOn: always,
      onClosed: () => skip.add(channel),
      save: (place) => {
        const visit = state.round
        if (visit === undefined) return toCheckpoint(state)
        if (place === undefined && completed) channelState.todo = false
        const { place: _, ...others } = visit
        const movedAt = time.currentTimeMillisUnsafe()
        state.round =
          place === undefined
            ? { ...others, movedAt, next: after(channel) ?? "" }
            : { ...others, movedAt, next: channel, place }
        return toCheckpoint(state)
      }
    })
  }
  let completed = false

  const after = (channel: string): string | undefined => {
    const ids = Array.from(state.channels.keys())
    return ids.slice(ids.indexOf(channel) + 1).find(isVisited)
  }
  const isVisited = (id: string) => state.channels.get(id)?.archived === false
  const first = () => Array.from(state.channels.keys()).find(isVisited)

  /**
   * The rest of the round. A slice that is cut after the very last page is followed by another one, which makes a round
   * of its own: every other round has one page more, so that this comes to an end whatever a slice's length is.
   */
  const visit: Pages = Stream.suspend(() => {
    const from = state.round?.next
    let at = from === "" || (from !== undefined && state.channels.has(from)) ? from : first()
    const all = chain(() => {
      const channel = at
      if (channel === undefined || channel === "") return undefined
      completed = false
      at = after(channel)
      return visitOne(channel)
    })
    const more = Stream.suspend(() => (state.odd ? Stream.make(nothing(state)) : Stream.empty))
    const end = Stream.suspend(() => {
      const { round, seen } = state
      const safe = state.tour.at - clockTolerance
      const firstMark = seen === undefined || safe <= 0 || compareTs(seen, tsOf(safe)) < 0 ? seen : tsOf(safe)
      const watermark = round?.watermark ?? state.watermark ?? firstMark
      if (watermark !== undefined) state.watermark = watermark
      state.owed = round?.calls ?? 0
      state.odd = !state.odd
      delete state.round
      return Stream.make(nothing(state))
    })
    return all.pipe(Stream.concat(more), Stream.concat(end))
  })

  const begin = (again: boolean): Pages =>
    Stream.suspend(() => {
      const watermark = state.seen === undefined ? {} : { watermark: state.seen }
      state.round = { ...watermark, movedAt: clock, again, calls: 0, extra: 0 }
      return Stream.concat(
        Directory.channels(directoryOptions(settings, task, clock), state, () => {}),
        visit
      )
    })

  const people: Pages = Stream.suspend(() =>
    state.users.cursor !== undefined || state.users.at === undefined || clock - state.users.at >= usersEvery
      ? Directory.users({ client: settings.client, task }, state, clock)
      : Stream.empty
  )

  const backfill: Pages = Stream.suspend(() =>
    fill(env, state, skip, {
      listing: `backfill since ${state.tour.at}`,
      onSeen,
      onCall: () => {
        state.owed = Math.max(0, state.owed - 1)
      }
    })
  )

  const rest = people.pipe(Stream.concat(backfill), Stream.concat(sweep(settings, env, state, clock, skip)))

  return Stream.suspend(() => {
    const { round } = state
    if (round !== undefined) {
      // The next slice of the same poll ends with its round. After an interruption, what was visited before it may have
      // changed since: all are visited once more.
      const interrupted = !round.again && clock - round.movedAt > sliceGap
      const next = interrupted ? Stream.concat(begin(true), rest) : Stream.empty
      return visit.pipe(Stream.concat(rest), Stream.concat(next))
    }
    const owed = state.owed > 0 && Array.from(state.channels.values()).some((channel) => channel.todo)
    return (owed ? rest : Stream.empty).pipe(Stream.concat(begin(false)), Stream.concat(rest))
  })
}
