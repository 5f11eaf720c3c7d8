/**
 * Looks up the parts that hints named: single messages, threads, users and files. Each look-up is one or two calls, and
 * only Slack's response counts, whatever the hint was.
 *
 * `conversations.replies` finds a message by its `ts` alone: a parent with its thread, or one reply (bolt-python#783).
 * A message that it does not find (`thread_not_found`: bolt-js#2307) is deleted only if the history does not show it
 * either, and no free plan can hide it (see PlanLimit.ts).
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker } from "../../contract/ContentExistenceChecker.ts"
import type { Page } from "../../contract/Page.ts"
import { type Checkpoint, type Part } from "./Checkpoint.ts"
import { type Pages, save, type State, update } from "./State.ts"
import { untallied } from "./DeletionSigns.ts"
import { isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"
import * as MessageRefs from "./MessageRefs.ts"
import { mayHide } from "./PlanLimit.ts"
import * as Thread from "./Thread.ts"

const FileAnswer = Schema.Struct({ file: Schema.Unknown })
const UserAnswer = Schema.Struct({ user: Schema.Unknown })

const isFile = Schema.is(Message.File)

/** Slack's error codes for a message that does not exist. */
const absent: ReadonlySet<string> = new Set(["thread_not_found", "message_not_found"])
const absentFile: ReadonlySet<string> = new Set(["file_not_found", "file_deleted"])

/** The most parts that wait to be looked up: each takes about 40 bytes of the checkpoint. */
const maxWaiting = 500

/** Adds hinted parts to the state. Beyond the limit, a message's whole conversation is added instead. */
export const wait = (state: State, parts: ReadonlyArray<string>): void => {
  if (parts.length === 0) return
  const all = [...new Set([...(state.hinted ?? []), ...parts])]
  const kept = all.slice(0, maxWaiting)
  const channels = all.slice(maxWaiting).map((part) => part.split("/")[0] ?? "")
  state.hinted = [...new Set([...kept, ...channels.slice(0, maxWaiting)])]
}

interface HintLookups {
  /** Returns the pages of the part. The part is removed from the state with the last page. */
  readonly at: (part: string) => Pages
}

export const make = (env: MessageRefs.Env, state: State): HintLookups => {
  const { client, task } = env
  /**
   * The number of replies found deleted in this listing, by their thread: a thread that is shorter by this number lost
   * no others.
   */
  const deletedReplies = new Map<string, number>()

  const done = (part: string) => {
    state.hinted = (state.hinted ?? []).filter((one) => one !== part)
  }
  const end = (part: string, page: Omit<Page<Checkpoint, Part>, "checkpoint" | "parts">): Page<Checkpoint, Part> => {
    done(part)
    return { ...page, ...save(state) }
  }
  const nothing = (part: string) => [end(part, { listed: [], download: [] })]

  /** Removes the message from the tally of its history, so that its deletion is not noticed again. */
  const forget = (channel: string, ts: string) => {
    const { tally } = state.conversations.get(channel)?.part ?? {}
    update(state, channel, { digest: undefined, ...(tally === undefined ? {} : { tally: untallied(tally, ts) }) })
  }

  const deleted = Effect.fnUntraced(function* (part: string, channel: string, ts: string, thread: string | undefined) {
    /** Requests the message itself, or the newest one before it. */
    const newestUpTo = (latest: string) =>
      client.ask("conversations.history", { channel, latest, inclusive: true, limit: 1 }, Thread.Messages)
    const answer = yield* newestUpTo(ts)
    const isThere =
      isRefusal(answer) ||
      answer.is_limited === true ||
      answer.messages.some((one) => Message.isMessage(one) && one.ts === ts)
    if (isThere) return nothing(part)
    const begin = thread ?? ts
    if (mayHide(begin, env.now())) {
      const behind = thread === undefined ? answer : yield* newestUpTo(begin)
      if (isRefusal(behind) || behind.messages.length === 0) return nothing(part)
    }
    if (thread === undefined) forget(channel, ts)
    else {
      const key = `${channel}/${thread}`
      deletedReplies.set(key, (deletedReplies.get(key) ?? 0) + 1)
      wait(state, [key])
    }
    return [end(part, { listed: [], download: [], deleted: [Message.messageId(channel, ts)] })]
  })

  /** Looks up a message, and the new replies of its thread if it is a parent. */
  const message = Effect.fnUntraced(function* (part: string, channel: string, ts: string, thread: string | undefined) {
    if (!state.conversations.has(channel) || !/^\d{1,12}\.\d{1,9}$/.test(ts)) return nothing(part)
    const { idOf, page, select } = MessageRefs.make(env, { channel })
    const checker = yield* ContentExistenceChecker
    const known = (yield* checker.revisions([idOf(ts)])).get(idOf(ts))
    const stored = known === undefined ? undefined : Option.getOrUndefined(known)
    const after = (stored === undefined ? undefined : Message.repliesOf(stored)?.latest) || undefined
    const budget = { calls: env.callsPerStep, refs: Infinity }
    const listed = yield* Thread.list({ client, channel, parent: ts, after, limit: env.limit, budget })
    const { isComplete, parent: target, problems, refusal, replies } = listed
    if (target === undefined) {
      const isEmpty = replies.length === 0 && problems.length === 0
      const isAbsent = refusal === undefined ? isEmpty : absent.has(refusal)
      return isAbsent && known !== undefined ? yield* deleted(part, channel, ts, thread) : nothing(part)
    }
    const pages: Array<Page<Checkpoint, Part>> = []
    for (const group of MessageRefs.grouped(replies.filter((one) => one.thread_ts === ts))) {
      pages.push(page(group, yield* select(group, []), save(state), {}))
    }
    const selected = yield* select([target], [target])
    const lost = selected.lostReplies.get(ts) ?? 0
    if (lost > (deletedReplies.get(idOf(ts)) ?? 0)) update(state, channel, { suspect: true })
    done(part)
    pages.push(page([target], selected, save(state), { cut: new Set(isComplete ? [] : [ts]) }))
    return pages
  })

  const user = Effect.fnUntraced(function* (part: string, id: string) {
    const answer = yield* client.ask("users.info", { user: id }, UserAnswer)
    if (isRefusal(answer) || !Message.isUser(answer.user)) return nothing(part)
    const listed = [Message.userRef(answer.user)]
    return [end(part, { listed, download: yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" }) })]
  })

  const file = Effect.fnUntraced(function* (part: string, id: string) {
    if (!env.files) return nothing(part)
    const checker = yield* ContentExistenceChecker
    // A file that no stored message contains is not mirrored.
    if (!(yield* checker.existing([part])).has(part)) return nothing(part)
    const answer = yield* client.ask("files.info", { file: id }, FileAnswer)
    const isGone = isRefusal(answer)
      ? absentFile.has(answer.refused)
      : isFile(answer.file) && Message.isDeletedFile(answer.file)
    if (isGone) return [end(part, { listed: [], download: [], deleted: [part] })]
    if (isRefusal(answer) || !isFile(answer.file) || Message.isWithheldFile(answer.file)) return nothing(part)
    const listed = [Message.fileRef(answer.file)]
    return [end(part, { listed, download: yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" }) })]
  })

  return {
    at: (part) => {
      const [head = "", name = "", thread, ...rest] = part.split("/")
      const pages =
        name === "" || rest.length > 0
          ? Effect.sync(() => nothing(part))
          : head === "users"
            ? user(part, name)
            : head === "files"
              ? file(part, name)
              : message(part, head, name, thread)
      return Stream.fromIterableEffect(pages)
    }
  }
}
