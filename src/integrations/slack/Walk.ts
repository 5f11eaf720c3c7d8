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
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page, Problem } from "../../contract/Page.ts"
import { type Checkpoint, type Part, place as placeOf, type Place, type Saved } from "./Checkpoint.ts"
import { type Args, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"
import * as MessageRefs from "./MessageRefs.ts"
import { unknownFloor } from "./PlanLimit.ts"

const Messages = Schema.Struct({
  messages: Schema.Array(Schema.Unknown),
  has_more: Schema.optionalKey(Schema.Boolean),
  // A free plan: older messages are there, and not shown (see PlanLimit.ts).
  is_limited: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  response_metadata: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
  )
})
type Messages = typeof Messages.Type

const nextCursor = (answer: Messages) => answer.response_metadata?.next_cursor || undefined

/** More than two clocks differ by. */
const day = Duration.toMillis("1 day")

export interface Walk {
  readonly channel: string
  readonly place: Place
  /** Objects of the first answer, where fewer than usual will mostly do. */
  readonly firstLimit?: number | undefined
  /** No older message is asked for than this. */
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
  /** The conversation can't be read: the walk ends, whatever was done is kept. */
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
  /** Parents whose stored thread is not the one that Slack tells of. */
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
  const upTo = env.until ?? (walk.oldest === undefined ? undefined : Message.tsOf(env.now() + day))
  const read = (answer: Messages) => {
    const messages = answer.messages.filter((message) => Message.isMessage(message))
    const unread = answer.messages.length - messages.length
    const problems: ReadonlyArray<Problem> =
      unread === 0 ? [] : [{ place: channel, message: `${unread} messages that can't be read` }]
    return { messages, problems }
  }

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
        return client.ask("conversations.history", { ...args, ...more }, Messages)
      })
    const first = cursor === undefined ? { latest: place.at ?? upTo } : { latest: upTo, cursor }
    let answer = yield* ask(first)
    if (isRefusal(answer) && answer.refused === "invalid_cursor") answer = yield* ask({ latest: place.at ?? upTo })
    if (isRefusal(answer)) return answer.refused

    const { messages, problems } = read(answer)
    const sorted = messages.toSorted((a, b) => Message.compareTs(b.ts, a.ts))
    const complete = nextCursor(answer) === undefined && answer.has_more !== true
    const last = sorted.at(-1)?.ts
    if (last !== undefined) env.planLimit.onShown(last)
    if (top) walk.onTop?.(sorted, complete && answer.is_limited !== true)
    for (const { ts } of sorted.slice(0, 1)) walk.onSeen(ts)
    const at = place.at
    const inSpan = sorted.filter(
      (message) =>
        (at === undefined || Message.compareTs(message.ts, at) < 0) &&
        (walk.oldest === undefined || Message.compareTs(message.ts, walk.oldest) >= 0) &&
        (env.until === undefined || Message.compareTs(message.ts, env.until) < 0)
    )
    const { chosen, changed, known, patched } = yield* select(inSpan, inSpan)
    // Without a cursor the next answer is asked for by time: one that brought nothing new would come again for ever.
    const stuck = nextCursor(answer) === undefined && inSpan.length === 0
    const ended = stuck || (last !== undefined && !walk.goOn(last))
    for (const { ts } of inSpan) if (chosen.has(idOf(ts)) && !known.has(idOf(ts))) walk.onNew?.(ts)
    // What is read for the first time and stored already was mirrored before: so may be what is hidden behind it.
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
      more: complete || ended ? undefined : (nextCursor(answer) ?? ""),
      problems
    }
  })

  /** Decides whether a thread is to be listed, and from when. */
  const threadDue = (step: Step, parent: Message.Message): boolean => {
    if (!Message.hasThread(parent)) return false
    const latest = parent.latest_reply ?? undefined
    if (env.since !== undefined && latest !== undefined && Message.compareTs(latest, env.since) < 0) return false
    if (walk.complete === true) return true
    if (Message.isTombstone(parent)) return latest === undefined || walk.fresh(latest)
    if (!inWindow(parent.ts)) return true
    const id = idOf(parent.ts)
    const due = (step.chosen.has(id) || step.patched.has(id)) && (task.force || step.changed.has(parent.ts))
    return due || (latest !== undefined && walk.active(latest))
  }

  const replies = (parent: string, after: string | undefined) =>
    Effect.suspend(() => {
      walk.onCall()
      // Bounded from below by the last reply seen, so that no cursor need be kept; the parent comes first all the same.
      return client.ask("conversations.replies", { channel, ts: parent, oldest: after, limit: env.limit }, Messages)
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
      const before = thread !== undefined && Message.compareTs(parent.ts, thread.ts) > 0
      let after = thread?.ts === parent.ts ? thread.after : undefined
      const latest = parent.latest_reply ?? undefined
      const stored = after !== undefined && latest !== undefined && Message.compareTs(latest, after) <= 0
      let ended = stored || !threadDue(from, parent)
      while (!ended && calls < callsPerStep && foundRefs < MessageRefs.maxRefs / 2) {
        calls += 1
        const answer = yield* replies(parent.ts, after)
        if (isRefusal(answer)) {
          // The thread went away between the two answers, or is closed to us: the next listing asks again.
          problems.push({ place: idOf(parent.ts), message: `its replies can't be read: ${answer.refused}` })
          cut.add(parent.ts)
          broken = true
          break
        }
        const { messages, problems: unread } = read(answer)
        problems.push(...unread)
        if (unread.length > 0) broken = true
        const fresh = messages.filter(
          (one) => one.ts !== parent.ts && (after === undefined || Message.compareTs(one.ts, after) > 0)
        )
        found.push(...fresh.filter((one) => inWindow(one.ts)))
        for (const one of fresh) {
          walk.onSeen(one.ts)
          if (before) again.add(one.ts)
          foundRefs += MessageRefs.sizeOf(one)
          after = Message.newest(after, one.ts)
        }
        if (after !== undefined && !before) listedTo = { ts: parent.ts, after }
        // An answer that says "more" and has nothing new would go on for ever.
        ended = fresh.length === 0 || (nextCursor(answer) === undefined && answer.has_more !== true)
      }
      if (!ended && !cut.has(parent.ts)) {
        if (after !== undefined) thread = listedTo = { ts: parent.ts, after }
        break
      }
      if (resumed) thread = undefined
      rest.shift()
      parents.push(parent)
      refs += MessageRefs.sizeOf(parent)
      at = parent.ts
      // The page of these parents comes first, before any further replies: a slice that has room for one page gets on.
      if (resumed) break
    }

    const pages: Array<Page<Checkpoint, Part>> = []
    const taken = new Set<string>()
    const groups = MessageRefs.grouped(found)
    for (const [index, group] of groups.entries()) {
      const selected = yield* select(group, [])
      const isKnown = selected.chosen.size === 0 && selected.patched.size === 0
      if (isKnown && group.every((message) => again.has(message.ts))) continue
      const reached = index === groups.length - 1 ? placeOf({ ...from.place, thread: listedTo, broken }) : from.place
      pages.push(page(group, selected, walk.save(reached, false), {}))
      for (const id of selected.chosen) taken.add(id)
    }
    const done = rest.length === 0 && from.more === undefined
    const reached = placeOf({
      at,
      cursor: (rest.length === 0 ? from.more : from.place.cursor) || undefined,
      thread,
      broken
    })
    if (parents.length > 0 || rest.length === 0) {
      const covers = walk.complete === true && broken !== true && done ? [{ prefix: `${channel}/` }] : []
      const selected = { chosen: new Set([...from.chosen].filter((id) => !taken.has(id))), patched: from.patched }
      for (const { ts } of parents) walk.onHistory?.(ts)
      const saved = walk.save(reached, done)
      const complete = done && walk.completes?.() === true
      pages.push(page(parents, selected, saved, { problems, covers, complete, cut }))
    }
    const next: Step = { ...from, place: reached, rest, problems: [] }
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
