/**
 * Finds new messages and late replies with `search.messages`, which covers all conversations at once: one or two calls
 * a poll, where visits and sweeps need one for each conversation. Its hits, like hints, only show where the poll looks;
 * anything that it misses is found by visits and sweeps.
 *
 * - It requires a user's token with the scope `search:read` (https://docs.slack.dev/reference/methods/search.messages).
 *   Without the scope, it is tried again a day later.
 * - It can't sort by the time of a change: edits, reactions, unfurls and deletions of older messages are not found. It
 *   leaves out bots' messages (python-slack-sdk#1419) and messages that the person excludes from searches.
 * - The index lags, sometimes by minutes (java-slack-sdk#798), and the lag is not reported: each search begins an hour
 *   before the end of the last one. Hits that are already stored cost nothing.
 * - Dates in a query are days in the person's time zone, and `after:` excludes its day (msgvault#494, Memex#37). The
 *   query asks for several days, newest first, and stops by the hits' own `ts`.
 * - Responses are cached by the query's text, so each search excludes another word (msgvault#494).
 * - Hits also come from public channels that are not mirrored (msgvault#494).
 */
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import { type Client, isRefusal } from "./Client.ts"
import * as HintLookups from "./HintLookups.ts"
import { messageId } from "./Message.ts"
import { compareTs, tsOf } from "./Timestamp.ts"
import type { State } from "./State.ts"

const Hit = Schema.Struct({
  ts: Schema.String,
  channel: Schema.Struct({ id: Schema.String }),
  permalink: Schema.optionalKey(Schema.NullOr(Schema.String))
})
const isHit = Schema.is(Hit)
const Answer = Schema.Struct({
  messages: Schema.Struct({
    matches: Schema.Array(Schema.Unknown),
    paging: Schema.Struct({ page: Schema.Int, pages: Schema.Int })
  })
})

/** The largest page, and the most pages. A search reads at most 1,000 hits; visits find the others. */
const hitsOfPage = 100
const pages = 10

const searchEvery = Duration.toMillis("1 minute")
const overlap = Duration.toMillis("1 hour")
const retryAfterRefusal = Duration.toMillis("1 day")
/** More than the difference between two time zones, plus the day that `after:` excludes. */
const dateSlack = Duration.toMillis("3 days")

const isTs = (ts: string) => /^\d{1,12}\.\d{1,9}$/.test(ts)

/** Returns the parent's `ts` from the link to a reply; undefined for any other message. */
const parentOf = ({ permalink, ts }: typeof Hit.Type): string | undefined => {
  const parent = URL.parse(permalink ?? "")?.searchParams.get("thread_ts") ?? undefined
  return parent !== undefined && isTs(parent) && parent !== ts ? parent : undefined
}

/**
 * Returns true if a search is due: not while events are received, and only for conversations whose history is stored.
 */
export const isDue = (state: State, now: number): boolean =>
  now - (state.search?.at ?? 0) >= searchEvery &&
  now >= (state.search?.offUntil ?? 0) &&
  Array.from(state.conversations.values()).some(({ part }) => part.historyAt !== undefined)

/**
 * Searches for messages since the last search. Threads with unknown replies are added to `State.hinted`, to be looked
 * up; conversations with other unknown messages are added to `State.search`, to be visited.
 */
export const find = Effect.fnUntraced(function* (client: Client, state: State, now: number) {
  const upTo = state.search?.upTo ?? now
  const since = upTo - overlap
  const day = DateTime.formatIsoDateUtc(DateTime.makeUnsafe(since - dateSlack))
  const query = `after:${day} -"idem${now.toString(36)}"`
  const hits: Array<typeof Hit.Type> = []
  for (let page = 1; page <= pages; page += 1) {
    const args = { query, sort: "timestamp", sort_dir: "desc", count: hitsOfPage, page }
    const answer = yield* client.ask("search.messages", args, Answer).pipe(
      Effect.catch(({ reason }) =>
        // Slack refuses a token of another kind like an invalid one. Another call shows which it is.
        Effect.succeed(reason._tag === "Unauthorized" ? { refused: reason.message } : undefined)
      )
    )
    if (answer === undefined) return
    if (isRefusal(answer)) {
      state.search = { ...state.search, at: now, offUntil: now + retryAfterRefusal }
      return
    }
    const { matches, paging } = answer.messages
    // Beyond the last page, Slack returns the first page again (msgvault#494).
    if (paging.page !== page) break
    const read = matches.filter((hit) => isHit(hit)).filter(({ ts }) => isTs(ts) && compareTs(ts, tsOf(since)) > 0)
    hits.push(...read)
    if (read.length < matches.length || page >= paging.pages) break
  }
  const mirrored = hits.filter(({ channel }) => state.conversations.get(channel.id)?.part.historyAt !== undefined)
  const idOf = ({ channel, ts }: typeof Hit.Type) => messageId(channel.id, ts)
  const known = yield* (yield* ContentExistenceChecker).existing([...new Set(mirrored.map(idOf))])
  const fresh = mirrored.filter((hit) => !known.has(idOf(hit)))
  HintLookups.wait(
    state,
    fresh.flatMap((hit) => {
      const parent = parentOf(hit)
      return parent === undefined ? [] : [messageId(hit.channel.id, parent)]
    })
  )
  const waiting = state.search?.found ?? []
  const found = fresh.filter((hit) => parentOf(hit) === undefined).map(({ channel }) => channel.id)
  state.search = { at: now, upTo: now, found: [...new Set([...waiting, ...found])].slice(0, hitsOfPage * pages) }
})

/** Removes conversations that the search found if they were visited since, or are no longer visited. */
export const forgetVisited = (state: State): void => {
  const { search } = state
  if (search?.found === undefined) return
  const found = search.found.filter((id) => {
    const { archived, part } = state.conversations.get(id) ?? { archived: true, part: {} }
    return !archived && (part.visitedAt ?? -1) < search.at
  })
  state.search = { ...search, found }
}
