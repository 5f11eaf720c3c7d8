/**
 * Reads the history of one conversation for a pass, from the newest message to the oldest, with the threads that belong
 * to it. The pass decides what to read, and adds what was read to the listing's state (see Pass.ts).
 *
 * The protocol: a parent's revision names its last reply, so a stored revision proves that the thread is stored up to
 * that reply, and no state for each thread is needed. Pages are committed in this order:
 *
 * 1. a response of `conversations.history` (or the rest of one) is passed to the checker, once;
 * 2. the threads of the chosen parents are listed completely; the checkpoint of their pages is still before these
 *    parents;
 * 3. then the parents make a page, and its checkpoint is after them.
 *
 * After a crash between 2 and 3, the parents are still changed: their threads are listed again, and the replies are
 * known. A step makes a bounded number of calls before its pages, so that a slice of any length makes progress; a
 * longer thread leaves its position in the checkpoint.
 *
 * Besides revisions, a pass looks for two signs of a deletion, so that a complete pass finds the deleted message: a
 * thread that has become shorter, and a parent that is missing (see `parentsDigest`).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page, Problem } from "../../contract/Page.ts"
import { type Checkpoint, type Part, place as placeOf, type Place } from "./Checkpoint.ts"
import type { Pages } from "./State.ts"
import { type Args, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"
import * as MessageRefs from "./MessageRefs.ts"
import type { Pass } from "./Pass.ts"
import { unknownFloor } from "./PlanLimit.ts"
import * as Thread from "./Thread.ts"
import { compareTs, tsOf } from "./Timestamp.ts"

/** More than two clocks differ. */
const day = Duration.toMillis("1 day")

/** A response of `conversations.history`, as far as its messages are not yet in a page. */
interface Response {
  /** The messages that are left, newest first. */
  readonly rest: ReadonlyArray<Message.Message>
  readonly chosen: ReadonlySet<string>
  readonly patched: ReadonlySet<string>
  /** Parents whose thread differs from the stored one. */
  readonly changed: ReadonlySet<string>
  /** True if no response is to follow this one. Otherwise `nextCursor` is Slack's cursor for it, if Slack gave one. */
  readonly isLast: boolean
  readonly nextCursor: string | undefined
  readonly problems: ReadonlyArray<Problem>
}

interface Step {
  readonly place: Place
  /** Undefined if the next response has to be requested. */
  readonly response: Response | undefined
}

/** A pass over one conversation, with what its steps share. */
interface Reader {
  readonly env: MessageRefs.Env
  readonly pass: Pass
  readonly refs: ReturnType<typeof MessageRefs.make>
  /** The newest message to request; undefined for no bound. */
  readonly latest: string | undefined
}

/** Requests the next messages by Slack's cursor, or by time if there is no cursor or Slack refuses it. */
const request = Effect.fnUntraced(function* ({ env, latest, pass }: Reader, { at, cursor }: Place, isTop: boolean) {
  const args: Args = {
    channel: pass.channel,
    limit: Math.min(env.limit, (isTop ? pass.firstLimit : undefined) ?? env.limit),
    oldest: pass.oldest,
    // Makes `oldest` inclusive. Slack then makes `latest` inclusive too, so that message is removed again below.
    inclusive: pass.oldest === undefined ? undefined : true
  }
  const ask = (from: Args) =>
    Effect.tap(env.client.ask("conversations.history", { ...args, ...from }, Thread.Messages), () =>
      Effect.sync(() => pass.spend(1))
    )
  if (cursor !== undefined) {
    const answer = yield* ask({ latest, cursor })
    if (!isRefusal(answer) || answer.refused !== "invalid_cursor") return answer
  }
  return yield* ask({ latest: at ?? latest })
})

/** Returns true for a message before `at` that the pass and its task may list. */
const isInSpan = ({ env, pass }: Reader, { ts }: Message.Message, at: string | undefined) =>
  (at === undefined || compareTs(ts, at) < 0) &&
  (pass.oldest === undefined || compareTs(ts, pass.oldest) >= 0) &&
  (env.until === undefined || compareTs(ts, env.until) < 0)

/** Reads the next response. Returns Slack's error code if Slack refuses to show the conversation. */
const readResponse = Effect.fnUntraced(function* (reader: Reader, place: Place) {
  const { env, pass } = reader
  const { idOf, select } = reader.refs
  const { at } = place
  const isTop = at === undefined && place.cursor === undefined
  const answer = yield* request(reader, place, isTop)
  if (isRefusal(answer)) return answer.refused
  const { messages, problems } = Thread.read(pass.channel, answer)
  const sorted = messages.toSorted((a, b) => compareTs(b.ts, a.ts))
  const rest = sorted.filter((message) => isInSpan(reader, message, at))
  const last = sorted.at(-1)?.ts
  if (last !== undefined) env.planLimit.onShown(last)
  const { changed, chosen, known, lostReplies, patched } = yield* select(rest, rest)
  const isLimited = answer.is_limited === true
  const isComplete = !Thread.hasMore(answer)
  const goesOn = pass.onAnswer({
    messages: sorted,
    isTop,
    isLast: isComplete && !isLimited,
    unknown: rest.flatMap(({ ts }) => (chosen.has(idOf(ts)) && !known.has(idOf(ts)) ? [ts] : [])),
    hasLostReplies: lostReplies.size > 0
  })
  const cursor = Thread.nextCursor(answer)
  // Without a cursor the next request is by time. After a response without new messages it would repeat forever.
  const isEnd = isComplete || (cursor === undefined && rest.length === 0)
  const isLast = isEnd || (last !== undefined && !goesOn)
  // If the first reading ends with a stored message, an earlier mirror may have stored messages that are now hidden.
  const floor = pass.floor ?? (last !== undefined && known.has(idOf(last)) ? unknownFloor : undefined)
  const isCut = isLimited || (isEnd && !env.planLimit.isWhole(last ?? at, floor))
  const broken = place.broken === true || problems.length > 0 || isCut
  const nextCursor = isLast ? undefined : cursor
  return {
    place: placeOf({ ...place, broken }),
    response: { rest, chosen, patched, changed, isLast, nextCursor, problems }
  }
})

/** Decides whether a thread, whose replies up to `after` are listed, is to be listed. */
const isThreadDue = (
  reader: Reader,
  response: Response,
  parent: Message.Message,
  after: string | undefined
): boolean => {
  const { env, pass } = reader
  const { idOf, inWindow } = reader.refs
  if (!Message.hasThread(parent)) return false
  const latest = parent.latest_reply ?? undefined
  if (after !== undefined && latest !== undefined && compareTs(latest, after) <= 0) return false
  if (env.since !== undefined && latest !== undefined && compareTs(latest, env.since) < 0) return false
  if (pass.isComplete) return true
  const isRelisted = (isParentDeleted: boolean) =>
    latest !== undefined && pass.relists({ latestReply: latest, isParentDeleted })
  if (Message.isTombstone(parent)) return latest === undefined || isRelisted(true)
  if (!inWindow(parent.ts)) return true
  const id = idOf(parent.ts)
  const isSelected = response.chosen.has(id) || response.patched.has(id)
  return (isSelected && (env.task.force || response.changed.has(parent.ts))) || isRelisted(false)
}

/** Lists the due threads of the next parents in the response, as many as one step allows. */
const listThreads = Effect.fnUntraced(function* (reader: Reader, place: Place, response: Response) {
  const { env, pass } = reader
  const { channel } = pass
  const callsPerStep = pass.callsPerStep ?? env.callsPerStep
  const parents: Array<Message.Message> = []
  const replies: Array<Message.Message> = []
  /** Replies that an earlier slice committed, before it ended without their parents' page. */
  const committed = new Set<string>()
  /** Parents whose replies Slack refused to show. */
  const cut = new Set<string>()
  const problems = [...response.problems]
  let { thread } = place
  // The last listed thread, finished or not. The checkpoint of the replies' pages contains it while its parent is not
  // in a page yet.
  let listedTo = thread
  let calls = 0
  let refs = 0
  for (const parent of MessageRefs.grouped(response.rest)[0] ?? []) {
    const isResumed = thread?.ts === parent.ts
    const isCommitted = thread !== undefined && compareTs(parent.ts, thread.ts) > 0
    const after = thread?.ts === parent.ts ? thread.after : undefined
    if (isThreadDue(reader, response, parent, after)) {
      const budget = { calls: callsPerStep - calls, refs: MessageRefs.maxRefs / 2 - refs }
      const listed = yield* Thread.list({
        client: env.client,
        channel,
        parent: parent.ts,
        after,
        limit: env.limit,
        budget
      })
      calls += listed.calls
      refs += listed.refs
      problems.push(...listed.problems)
      replies.push(...listed.replies)
      pass.onReplies(listed.replies)
      if (isCommitted) for (const { ts } of listed.replies) committed.add(ts)
      if (listed.refusal !== undefined) cut.add(parent.ts)
      const reached = listed.after === undefined ? undefined : { ts: parent.ts, after: listed.after }
      if (reached !== undefined && listed.calls > 0 && !isCommitted) listedTo = reached
      if (!listed.isComplete && listed.refusal === undefined) {
        if (reached !== undefined) thread = listedTo = reached
        break
      }
    }
    parents.push(parent)
    if (!isResumed) continue
    // The page of these parents comes before further replies, so that a slice with room for one page makes progress.
    thread = undefined
    break
  }
  const rest = response.rest.slice(parents.length)
  const at = parents.at(-1)?.ts ?? place.at
  const cursor = rest.length === 0 ? response.nextCursor : place.cursor
  const broken = place.broken === true || problems.length > 0
  /** The places of the pass after the replies, and after the parents. */
  const places = {
    replies: placeOf({ ...place, thread: listedTo, broken }),
    parents: placeOf({ at, cursor, thread, broken })
  }
  const found = replies.filter(({ ts }) => reader.refs.inWindow(ts))
  return { rest, parents, replies: found, committed, cut, problems, places, goesOn: pass.spend(calls) }
})

/** Reads the next response if none is left, and makes the pages of its next parents and their threads. */
const step = Effect.fnUntraced(function* (reader: Reader, { place, response: left }: Step) {
  const { pass } = reader
  const { channel } = pass
  const { page, select } = reader.refs
  const read = left === undefined ? yield* readResponse(reader, place) : { place, response: left }
  if (typeof read === "string") {
    const problems = [{ place: channel, message: `can't be read: ${read}` }]
    const saved = pass.save({ place: placeOf({ ...place, broken: true }), history: [], end: "refused" })
    const none = { chosen: new Set<string>(), patched: new Set<string>() }
    return [[page([], none, saved, { problems })], Option.none<Step>()] as const
  }
  const { response } = read
  const { committed, cut, goesOn, parents, places, problems, replies, rest } = yield* listThreads(
    reader,
    read.place,
    response
  )
  const pages: Array<Page<Checkpoint, Part>> = []
  const taken = new Set<string>()
  const groups = MessageRefs.grouped(replies)
  for (const [index, group] of groups.entries()) {
    const selected = yield* select(group, [])
    const isKnown = selected.chosen.size === 0 && selected.patched.size === 0
    if (isKnown && group.every((message) => committed.has(message.ts))) continue
    const after = index === groups.length - 1 ? places.replies : read.place
    pages.push(page(group, selected, pass.save({ place: after, history: [] }), {}))
    for (const id of selected.chosen) taken.add(id)
  }
  const isDone = rest.length === 0 && response.isLast
  if (parents.length > 0 || rest.length === 0) {
    const covers = pass.isComplete && places.parents.broken !== true && isDone ? [{ prefix: `${channel}/` }] : []
    const chosen = new Set([...response.chosen].filter((id) => !taken.has(id)))
    const history = parents.map(({ ts }) => ts)
    const saved = pass.save({ place: places.parents, history, end: isDone ? "read" : undefined })
    pages.push(page(parents, { chosen, patched: response.patched }, saved, { problems, covers, cut }))
  }
  if (isDone || !goesOn) return [pages, Option.none<Step>()] as const
  const remaining = rest.length === 0 ? undefined : { ...response, rest, problems: [] }
  return [pages, Option.some<Step>({ place: places.parents, response: remaining })] as const
})

/** Reads the history for a pass. */
export const read = (env: MessageRefs.Env, pass: Pass): Pages => {
  // With `oldest` alone, Slack has returned the messages nearest to it, and no newer ones (slackhq/slack-api-docs#4).
  const latest = env.until ?? (pass.oldest === undefined ? undefined : tsOf(env.now() + day))
  const reader: Reader = { env, pass, refs: MessageRefs.make(env, pass), latest }
  return Stream.suspend(() =>
    Stream.paginate<
      Step,
      Page<Checkpoint, Part>,
      IntegrationError | ContentExistenceCheckerError,
      ContentExistenceChecker
    >({ place: pass.place, response: undefined }, (next) => step(reader, next))
  )
}

/** Reads one conversation after the other, until `next` returns undefined. Each pass is made when its turn comes. */
export const inSequence = (next: () => Pages | undefined): Pages =>
  Stream.suspend(() => {
    const pages = next()
    return pages === undefined ? Stream.empty : Stream.concat(pages, inSequence(next))
  })
