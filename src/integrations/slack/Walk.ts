/**
 * Walks the history of one conversation, from the newest message to the oldest, with the threads that belong to it.
 *
 * The protocol: a parent's revision names its last reply, so a stored revision proves that the thread is stored up to
 * that reply, and no state for each thread is needed. Pages are committed in this order:
 *
 * 1. an answer of `conversations.history` (or the rest of one) is passed to the checker, once;
 * 2. the threads of the chosen parents are listed completely; their replies make pages whose checkpoint still stands
 *    before these parents;
 * 3. then the parents make a page, whose checkpoint stands behind them.
 *
 * After a crash between 2 and 3, the parents are still changed: their threads are listed again, and the replies are
 * known. A step makes a bounded number of calls before its pages, so that a slice of any length makes progress; a
 * longer thread leaves its position in the checkpoint.
 *
 * Besides revisions, a walk looks for two signs of a deletion, so that a complete pass finds what was deleted: a thread
 * that has become shorter, and a parent that has vanished (see `parentsDigest`).
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page, Problem } from "../../contract/Page.ts"
import { type Checkpoint, type Part, place as placeOf, type Place, type Saved } from "./Checkpoint.ts"
import { type Args, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"
import * as MessageRefs from "./MessageRefs.ts"
import { unknownFloor } from "./PlanLimit.ts"
import * as Thread from "./Thread.ts"
import { compareTs, tsOf } from "./Timestamp.ts"

/** More than two clocks differ by. */
const day = Duration.toMillis("1 day")

export interface Walk {
  readonly channel: string
  readonly place: Place
  /** Objects of the first answer, where fewer than usual will mostly do. */
  readonly firstLimit?: number | undefined
  /** The oldest message to request. */
  readonly oldest?: string | undefined
  /** The message that the history ended with before; undefined if it is read for the first time. */
  readonly floor: string | undefined
  /** Whether to go on after an answer whose oldest message is `ts`, while Slack has more. */
  readonly goOn: (ts: string) => boolean
  /** Lists every thread, changed or not. */
  readonly complete?: boolean | undefined
  /** Whether an unchanged thread is listed all the same because it was active this late. */
  readonly active: (latestReply: string) => boolean
  /** The same of a deleted parent's thread: that has no revision of its own to tell whether it changed. */
  readonly fresh: (latestReply: string) => boolean
  /** Pages are part of this listing; a complete pass that is not broken covers the conversation at its end. */
  readonly listing?: string | undefined
  /** The first answer of a walk from the top; `complete` if it has the whole history. */
  readonly onTop?: ((messages: ReadonlyArray<Message.Message>, complete: boolean) => void) | undefined
  readonly onCall: () => void
  readonly onSeen: (ts: string) => void
  /** A message of the history that is not stored yet. */
  readonly onNew?: ((ts: string) => void) | undefined
  /** A thread has become shorter. */
  readonly onShorter: (parent: string, by: number) => void
  /** Asked before each step: a budget that is spent ends the walk early. */
  readonly mayGoOn: () => boolean
  /** The conversation can't be read: the walk ends, and keeps the pages that it has given. */
  readonly onClosed: (word: string) => void
  /** Asked once the walk has ended: whether the passes over the workspace are complete with it. */
  readonly completes?: (() => boolean) | undefined
  /** Records how far the walk is and gives the checkpoint that says so. */
  readonly save: (place: Place, isEnd: boolean) => Saved
  /** Called for each message of the history once its page is made, before `save`. */
  readonly onHistory?: ((ts: string) => void) | undefined
  /** Calls for threads in one step, where fewer than usual will do. */
  readonly callsPerStep?: number | undefined
}

interface Step {
  readonly place: Place
  /** The rest of the last answer, newest first; undefined before the first answer. */
  readonly rest: ReadonlyArray<Message.Message> | undefined
  readonly chosen: ReadonlySet<string>
  readonly patched: ReadonlySet<string>
  /** Parents whose thread differs from the stored one. */
  readonly changed: ReadonlySet<string>
  /** Slack's cursor for the next answer; undefined at the end. */
  readonly more: string | undefined
  readonly problems: ReadonlyArray<Problem>
}

type WalkError = IntegrationError | ContentExistenceCheckerError

export const make = (
  env: MessageRefs.Env,
  walk: Walk
): Stream.Stream<Page<Checkpoint, Part>, WalkError, ContentExistenceChecker> => {
  const { channel } = walk
  const { client, task } = env
  const callsPerStep = walk.callsPerStep ?? env.callsPerStep
  const { idOf, inWindow, page, select } = MessageRefs.make(env, walk)
  // With `oldest` alone, Slack once gave the messages nearest to it, and no newer ones (slackhq/slack-api-docs#4).
  const upTo = env.until ?? (walk.oldest === undefined ? undefined : tsOf(env.now() + day))
  const history = Effect.fnUntraced(function* (step: Step) {
    const { place } = step
    const cursor = (step.rest === undefined ? place.cursor : step.more) || undefined
    const top = step.rest === undefined && place.at === undefined
    const args: Args = {
      channel,
      limit: Math.min(env.limit, (top ? walk.firstLimit : undefined) ?? env.limit),
      oldest: walk.oldest,
      // `oldest` counts as inside. This lets Slack count `latest` as inside too, which is taken out again below.
      inclusive: walk.oldest === undefined ? undefined : true
    }
    const ask = (more: Args) =>
      Effect.suspend(() => {
        walk.onCall()
        return client.ask("conversations.history", { ...args, ...more }, Thread.Messages)
      })
    const first = cursor === undefined ? { latest: place.at ?? upTo } : { latest: upTo, cursor }
    let answer = yield* ask(first)
    if (isRefusal(answer) && answer.refused === "invalid_cursor") answer = yield* ask({ latest: place.at ?? upTo })
    if (isRefusal(answer)) return answer.refused

    const { messages, problems } = Thread.read(channel, answer)
    const sorted = messages.toSorted((a, b) => compareTs(b.ts, a.ts))
    const complete = !Thread.hasMore(answer)
    const last = sorted.at(-1)?.ts
    if (last !== undefined) env.planLimit.onShown(last)
    if (top) walk.onTop?.(sorted, complete && answer.is_limited !== true)
    for (const { ts } of sorted.slice(0, 1)) walk.onSeen(ts)
    const at = place.at
    const inSpan = sorted.filter(
      (message) =>
        (at === undefined || compareTs(message.ts, at) < 0) &&
        (walk.oldest === undefined || compareTs(message.ts, walk.oldest) >= 0) &&
        (env.until === undefined || compareTs(message.ts, env.until) < 0)
    )
    const { chosen, changed, known, patched } = yield* select(inSpan, inSpan)
    // Without a cursor the next request is by time: after an answer without new messages it would repeat without end.
    const stuck = Thread.nextCursor(answer) === undefined && inSpan.length === 0
    const ended = stuck || (last !== undefined && !walk.goOn(last))
    for (const { ts } of inSpan) if (chosen.has(idOf(ts)) && !known.has(idOf(ts))) walk.onNew?.(ts)
    // A first reading that ends with a stored message follows a former mirror, which may hold hidden messages too.
    const floor = walk.floor ?? (last !== undefined && known.has(idOf(last)) ? unknownFloor : undefined)
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

  /** Decides whether a thread is to be listed, and from when. */
  const threadDue = (step: Step, parent: Message.Message): boolean => {
    if (!Message.hasThread(parent)) return false
    const latest = parent.latest_reply ?? undefined
    if (env.since !== undefined && latest !== undefined && compareTs(latest, env.since) < 0) return false
    if (walk.complete === true) return true
    if (Message.isTombstone(parent)) return latest === undefined || walk.fresh(latest)
    if (!inWindow(parent.ts)) return true
    const id = idOf(parent.ts)
    const due = (step.chosen.has(id) || step.patched.has(id)) && (task.force || step.changed.has(parent.ts))
    return due || (latest !== undefined && walk.active(latest))
  }

  /** Lists the threads that are due of the answer's next parents, as far as one step goes. */
  const listThreads = Effect.fnUntraced(function* (from: Step) {
    const rest = [...(from.rest ?? [])]
    const parents: Array<Message.Message> = []
    const found: Array<Message.Message> = []
    const problems = [...from.problems]
    const cut = new Set<string>()
    let { at, broken, thread } = from.place
    // The last thread listed, finished or not: what the replies' checkpoint says, while its parent is not in a page
    // yet.
    let listedTo = thread
    // Replies to newer parents than the place's: a slice was cut before these parents' page, and has committed them.
    const again = new Set<string>()
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
        const { limit } = env
        const listed = yield* Thread.list({
          client,
          channel,
          parent: parent.ts,
          after,
          limit,
          budget,
          onCall: walk.onCall
        })
        calls += listed.calls
        problems.push(...listed.problems)
        if (listed.problems.length > 0) broken = true
        for (const reply of listed.replies) {
          walk.onSeen(reply.ts)
          if (before) again.add(reply.ts)
          foundRefs += MessageRefs.sizeOf(reply)
        }
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
      // The page of these parents comes first, before any further replies: a slice that has room for one page gets on.
      if (resumed) break
    }
    const cursor = (rest.length === 0 ? from.more : from.place.cursor) || undefined
    /** Where the walk stands behind the replies, and behind the parents. */
    const places = {
      replies: placeOf({ ...from.place, thread: listedTo, broken }),
      parents: placeOf({ at, cursor, thread, broken })
    }
    return { rest, parents, found, again, cut, problems, places }
  })

  const step = Effect.fnUntraced(function* (current: Step) {
    let from = current
    if (from.rest === undefined || (from.rest.length === 0 && from.more !== undefined)) {
      const answer = yield* history(from)
      if (typeof answer === "string") {
        walk.onClosed(answer)
        const problems = [{ place: channel, message: `can't be read: ${answer}` }]
        const saved = walk.save(placeOf({ ...from.place, broken: true }), true)
        const none = { chosen: new Set<string>(), patched: new Set<string>() }
        const end = page([], none, saved, { problems, complete: walk.completes?.() === true })
        return [[end], Option.none<Step>()] as const
      }
      from = answer
    }
    const { again, cut, found, parents, places, problems, rest } = yield* listThreads(from)

    const pages: Array<Page<Checkpoint, Part>> = []
    const taken = new Set<string>()
    const groups = MessageRefs.grouped(found)
    for (const [index, group] of groups.entries()) {
      const selected = yield* select(group, [])
      const isKnown = selected.chosen.size === 0 && selected.patched.size === 0
      if (isKnown && group.every((message) => again.has(message.ts))) continue
      const reached = index === groups.length - 1 ? places.replies : from.place
      pages.push(page(group, selected, walk.save(reached, false), {}))
      for (const id of selected.chosen) taken.add(id)
    }
    const done = rest.length === 0 && from.more === undefined
    if (parents.length > 0 || rest.length === 0) {
      const isWhole = walk.complete === true && places.parents.broken !== true && done
      const covers = isWhole ? [{ prefix: `${channel}/` }] : []
      const selected = { chosen: new Set([...from.chosen].filter((id) => !taken.has(id))), patched: from.patched }
      for (const { ts } of parents) walk.onHistory?.(ts)
      const saved = walk.save(places.parents, done)
      const complete = done && walk.completes?.() === true
      pages.push(page(parents, selected, saved, { problems, covers, complete, cut }))
    }
    const next: Step = { ...from, place: places.parents, rest, problems: [] }
    return [pages, done || !walk.mayGoOn() ? Option.none<Step>() : Option.some(next)] as const
  })

  return Stream.suspend(() =>
    Stream.paginate<Step, Page<Checkpoint, Part>, WalkError, ContentExistenceChecker>(
      {
        place: walk.place,
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
