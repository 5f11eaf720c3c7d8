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
import type { Parts } from "../../contract/Parts.ts"
import * as SyncTask from "../../contract/SyncTask.ts"
import { type Checkpoint, type Part } from "./Checkpoint.ts"
import { changedAt, load, type Pages } from "./State.ts"
import * as Directory from "./Directory.ts"
import * as EventDelivery from "./EventDelivery.ts"
import * as HistoryPasses from "./HistoryPasses.ts"
import type { ListingContext, Settings } from "./ConversationVisits.ts"
import * as Poll from "./Poll.ts"
import { envOf, listChannels } from "./Poll.ts"
import { tsOf } from "./Timestamp.ts"

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
      return isLive ? Poll.live(context) : bounded(context)
    })
  )

/**
 * Lists every conversation between the task's bounds. Replies in the window may belong to parents up to `lookback`
 * before.
 */
const bounded = (context: ListingContext): Pages => {
  const { now, settings, state, task } = context
  const since = task.window?.since
  const isListed = state.conversations.size > 0 && state.listing === undefined
  const withUsers = task.window === undefined && state.users.at === undefined
  return (isListed ? Stream.empty : listChannels(context)).pipe(
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
