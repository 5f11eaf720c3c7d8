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

interface Step {
  readonly place: Place
  /** The rest of the last response, newest first; undefined before the first response. */
  readonly rest: ReadonlyArray<Message.Message> | undefined
  readonly chosen: ReadonlySet<string>
  readonly patched: ReadonlySet<string>
  /** Parents whose thread differs from the stored one. */
  readonly changed: ReadonlySet<string>
  /** Slack's cursor for the next response; undefined at the end. */
  readonly more: string | undefined
  readonly problems: ReadonlyArray<Problem>
}

/** Reads one conversation after the other, until `next` returns undefined. Each pass is made when its turn comes. */
export const inTurn = (next: () => Pages | undefined): Pages =>
  Stream.suspend(() => {
    const pages = next()
    return pages === undefined ? Stream.empty : Stream.concat(pages, inTurn(next))
  })

export const read = (env: MessageRefs.Env, pass: Pass): Pages => {
  const { channel } = pass
  const { client, task } = env
  const callsPerStep = pass.callsPerStep ?? env.callsPerStep
  const { idOf, inWindow, page, select } = MessageRefs.make(env, pass)
  // With `oldest` alone, Slack has returned the messages nearest to it, and no newer ones (slackhq/slack-api-docs#4).
  const upTo = env.until ?? (pass.oldest === undefined ? undefined : tsOf(env.now() + day))
  const history = Effect.fnUntraced(function* (step: Step) {
    const { place } = step
    const cursor = (step.rest === undefined ? place.cursor : step.more) || undefined
    const top = step.rest === undefined && place.at === undefined
    const args: Args = {
      channel,
      limit: Math.min(env.limit, (top ? pass.firstLimit : undefined) ?? env.limit),
      oldest: pass.oldest,
      // Makes `oldest` inclusive. Slack then makes `latest` inclusive too, so that message is removed again below.
      inclusive: pass.oldest === undefined ? undefined : true
    }
    const ask = (more: Args) => client.ask("conversations.history", { ...args, ...more }, Thread.Messages)
    const first = cursor === undefined ? { latest: place.at ?? upTo } : { latest: upTo, cursor }
    let answer = yield* ask(first)
    pass.spend(1)
    if (isRefusal(answer) && answer.refused === "invalid_cursor") {
      answer = yield* ask({ latest: place.at ?? upTo })
      pass.spend(1)
    }
    if (isRefusal(answer)) return answer.refused

    const { messages, problems } = Thread.read(channel, answer)
    const sorted = messages.toSorted((a, b) => compareTs(b.ts, a.ts))
    const complete = !Thread.hasMore(answer)
    const last = sorted.at(-1)?.ts
    if (last !== undefined) env.planLimit.onShown(last)
    const at = place.at
    const inSpan = sorted.filter(
      (message) =>
        (at === undefined || compareTs(message.ts, at) < 0) &&
        (pass.oldest === undefined || compareTs(message.ts, pass.oldest) >= 0) &&
        (env.until === undefined || compareTs(message.ts, env.until) < 0)
    )
    const { changed, chosen, known, lostReplies, patched } = yield* select(inSpan, inSpan)
    const goesOn = pass.onAnswer({
      messages: sorted,
      isTop: top,
      isLast: complete && answer.is_limited !== true,
      unknown: inSpan.flatMap(({ ts }) => (chosen.has(idOf(ts)) && !known.has(idOf(ts)) ? [ts] : [])),
      hasLostReplies: lostReplies.size > 0
    })
    // Without a cursor the next request is by time. After a response without new messages it would repeat forever.
    const stuck = Thread.nextCursor(answer) === undefined && inSpan.length === 0
    const ended = stuck || (last !== undefined && !goesOn)
    // If the first reading ends with a stored message, an earlier mirror may have stored messages that are now hidden.
    const floor = pass.floor ?? (last !== undefined && known.has(idOf(last)) ? unknownFloor : undefined)
    const isCut = answer.is_limited === true || ((complete || stuck) && !env.planLimit.isWhole(last ?? place.at, floor))
    return {
      place: placeOf({
        ...place,
        cursor,
        broken: place.broken === true || problems.length > 0 || isCut
      }),
      rest: inSpan,
      chosen,
      patched,
      changed,
      more: complete || ended ? undefined : (Thread.nextCursor(answer) ?? ""),
      problems
    }
  })

  /** Decides whether a thread is to be listed, and from which reply. */
  const threadDue = (step: Step, parent: Message.Message): boolean => {
    if (!Message.hasThread(parent)) return false
    const latest = parent.latest_reply ?? undefined
    if (env.since !== undefined && latest !== undefined && compareTs(latest, env.since) < 0) return false
    if (pass.isComplete) return true
    const isRelisted = (isParentDeleted: boolean) =>
      latest !== undefined && pass.relists({ latestReply: latest, isParentDeleted })
    if (Message.isTombstone(parent)) return latest === undefined || isRelisted(true)
    if (!inWindow(parent.ts)) return true
    const id = idOf(parent.ts)
    const due = (step.chosen.has(id) || step.patched.has(id)) && (task.force || step.changed.has(parent.ts))
    return due || isRelisted(false)
  }

  /** Lists the due threads of the next parents in the response, as many as one step allows. */
  const listThreads = Effect.fnUntraced(function* (from: Step) {
    const rest = [...(from.rest ?? [])]
    const parents: Array<Message.Message> = []
    const found: Array<Message.Message> = []
    const problems = [...from.problems]
    const cut = new Set<string>()
    let { at, broken, thread } = from.place
    // The last listed thread, finished or not. The checkpoint of the replies' pages contains it while its parent is not
    // in a page yet.
    let listedTo = thread
    // Replies to parents newer than the place's: an earlier slice committed them, but ended before these parents' page.
    const committed = new Set<string>()
    let calls = 0
    let refs = 0
    let foundRefs = 0
    while (rest[0] !== undefined && refs + MessageRefs.sizeOf(rest[0]) <= MessageRefs.maxRefs) {
      const parent = rest[0]
      const resumed = thread?.ts === parent.ts
      const before = thread !== undefined && compareTs(parent.ts, thread.ts) > 0
      const after = thread?.ts === parent.ts ? thread.after : undefined
      const latest = parent.latest_reply ?? undefined
      const stored = after !== undefined && latest !== undefined && compareTs(latest, after) <= 0
      if (!stored && threadDue(from, parent)) {
        const budget = { calls: callsPerStep - calls, refs: MessageRefs.maxRefs / 2 - foundRefs }
        const listed = yield* Thread.list({ client, channel, parent: parent.ts, after, limit: env.limit, budget })
        calls += listed.calls
        problems.push(...listed.problems)
        if (listed.problems.length > 0) broken = true
        for (const reply of listed.replies) {
          if (before) committed.add(reply.ts)
          foundRefs += MessageRefs.sizeOf(reply)
        }
        pass.onReplies(listed.replies)
        found.push(...listed.replies.filter(({ ts }) => inWindow(ts)))
        const place = listed.after === undefined ? undefined : { ts: parent.ts, after: listed.after }
        if (place !== undefined && listed.calls > 0 && !before) listedTo = place
        if (listed.end === "refused") cut.add(parent.ts)
        if (listed.end === "budget") {
          if (place !== undefined) thread = listedTo = place
          break
        }
      }
      if (resumed) thread = undefined
      rest.shift()
      parents.push(parent)
      refs += MessageRefs.sizeOf(parent)
      at = parent.ts
      // The page of these parents comes before further replies, so that a slice with room for one page makes progress.
      if (resumed) break
    }
    const cursor = (rest.length === 0 ? from.more : from.place.cursor) || undefined
    /** The places of the pass after the replies, and after the parents. */
    const places = {
      replies: placeOf({ ...from.place, thread: listedTo, broken }),
      parents: placeOf({ at, cursor, thread, broken })
    }
    return { rest, parents, found, committed, cut, problems, places, goesOn: pass.spend(calls) }
  })

  const step = Effect.fnUntraced(function* (current: Step) {
    let from = current
    if (from.rest === undefined || (from.rest.length === 0 && from.more !== undefined)) {
      const answer = yield* history(from)
      if (typeof answer === "string") {
        const problems = [{ place: channel, message: `can't be read: ${answer}` }]
        const saved = pass.save({ place: placeOf({ ...from.place, broken: true }), history: [], end: "refused" })
        const none = { chosen: new Set<string>(), patched: new Set<string>() }
        return [[page([], none, saved, { problems })], Option.none<Step>()] as const
      }
      from = answer
    }
    const { committed, cut, found, goesOn, parents, places, problems, rest } = yield* listThreads(from)

    const pages: Array<Page<Checkpoint, Part>> = []
    const taken = new Set<string>()
    const groups = MessageRefs.grouped(found)
    for (const [index, group] of groups.entries()) {
      const selected = yield* select(group, [])
      const isKnown = selected.chosen.size === 0 && selected.patched.size === 0
      if (isKnown && group.every((message) => committed.has(message.ts))) continue
      const place = index === groups.length - 1 ? places.replies : from.place
      pages.push(page(group, selected, pass.save({ place, history: [] }), {}))
      for (const id of selected.chosen) taken.add(id)
    }
    const done = rest.length === 0 && from.more === undefined
    if (parents.length > 0 || rest.length === 0) {
      const covers = pass.isComplete && places.parents.broken !== true && done ? [{ prefix: `${channel}/` }] : []
      const selected = { chosen: new Set([...from.chosen].filter((id) => !taken.has(id))), patched: from.patched }
      const history = parents.map(({ ts }) => ts)
      const saved = pass.save({ place: places.parents, history, end: done ? "read" : undefined })
      pages.push(page(parents, selected, saved, { problems, covers, cut }))
    }
    const next: Step = { ...from, place: places.parents, rest, problems: [] }
    return [pages, done || !goesOn ? Option.none<Step>() : Option.some(next)] as const
  })

  return Stream.suspend(() =>
    Stream.paginate<
      Step,
      Page<Checkpoint, Part>,
      IntegrationError | ContentExistenceCheckerError,
      ContentExistenceChecker
    >(
      {
        place: pass.place,
        rest: undefined,
        chosen: new Set(),
        patched: new Set(),
        changed: new Set(),
        more: undefined,
        problems: []
      },
      step
    )
  )
}
