/** Reads responses that list messages, and the replies of one thread. */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Problem } from "../../contract/Page.ts"
import { type Client, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"
import * as MessageRefs from "./MessageRefs.ts"
import { compareTs, newest } from "./Timestamp.ts"

export const Messages = Schema.Struct({
  messages: Schema.Array(Schema.Unknown),
  has_more: Schema.optionalKey(Schema.Boolean),
  // True on a free plan: older messages exist, but are not shown (see PlanLimit.ts).
  is_limited: Schema.optionalKey(Schema.NullOr(Schema.Boolean)),
  response_metadata: Schema.optionalKey(
    Schema.NullOr(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
  )
})
type Messages = typeof Messages.Type

export const nextCursor = (answer: Messages) => answer.response_metadata?.next_cursor || undefined
export const hasMore = (answer: Messages) => nextCursor(answer) !== undefined || answer.has_more === true

/** Returns the messages of a response about `channel`, and a problem if some can't be read. */
export const read = (channel: string, answer: Messages) => {
  const messages = answer.messages.filter((message) => Message.isMessage(message))
  const unread = answer.messages.length - messages.length
  const problems: ReadonlyArray<Problem> =
    unread === 0 ? [] : [{ place: channel, message: `${unread} messages that can't be read` }]
  return { messages, problems }
}

interface Listed {
  /** The thread's parent, or the single message; undefined if Slack did not return it. */
  readonly parent: Message.Message | undefined
  /** The replies that are newer than those listed before, oldest first. */
  readonly replies: ReadonlyArray<Message.Message>
  /** The last reply that has been listed. */
  readonly after: string | undefined
  readonly calls: number
  /** The number of refs of the replies. */
  readonly refs: number
  /** False if the budget was used up first, or Slack refused to show the replies. */
  readonly isComplete: boolean
  /** Slack's error code, if it refused. */
  readonly refusal?: string
  readonly problems: ReadonlyArray<Problem>
}

/**
 * Lists the replies after `after`, within a budget of calls and of refs. The last response may exceed the budget of
 * refs.
 */
export const list = Effect.fnUntraced(function* (options: {
  readonly client: Client
  readonly channel: string
  readonly parent: string
  readonly after: string | undefined
  readonly limit: number
  readonly budget: { readonly calls: number; readonly refs: number }
}) {
  const { budget, channel, client, limit, parent: ts } = options
  const replies: Array<Message.Message> = []
  const problems: Array<Problem> = []
  let { after } = options
  let parent: Message.Message | undefined
  let calls = 0
  let refs = 0
  const listed = (isComplete: boolean): Listed => ({ parent, replies, after, calls, refs, isComplete, problems })
  while (calls < budget.calls && refs < budget.refs) {
    calls += 1
    // Bounded below by the last listed reply, so that no cursor is needed. Slack always returns the parent first.
    const answer = yield* client.ask("conversations.replies", { channel, ts, oldest: after, limit }, Messages)
    if (isRefusal(answer)) {
      // The thread was deleted between the two requests, or can't be read: the next listing tries again.
      const place = Message.messageId(channel, ts)
      problems.push({ place, message: `its replies can't be read: ${answer.refused}` })
      return { ...listed(false), refusal: answer.refused }
    }
    const { messages, problems: unread } = read(channel, answer)
    problems.push(...unread)
    parent ??= messages.find((one) => one.ts === ts)
    const before = after
    const fresh = messages.filter((one) => one.ts !== ts && (before === undefined || compareTs(one.ts, before) > 0))
    replies.push(...fresh)
    for (const one of fresh) {
      refs += MessageRefs.sizeOf(one)
      after = newest(after, one.ts)
    }
    // A response with `has_more` but no new reply would be requested forever.
    if (fresh.length === 0 || !hasMore(answer)) return listed(true)
  }
  return listed(false)
})
