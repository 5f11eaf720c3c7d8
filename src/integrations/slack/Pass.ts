/**
 * A pass over the history of one conversation: a visit (ConversationVisits.ts), a pass over the whole history
 * (HistoryPasses.ts), or a complete pass (CompletePasses.ts). HistoryReader.ts reads what it asks for.
 */
import type { Place } from "./Checkpoint.ts"
import type { Saved } from "./State.ts"
import type { Message } from "./Message.ts"

/** The parts of a history to read, then, in the order of a step, functions that take what was read. */
export interface Pass {
  readonly channel: string
  readonly place: Place
  /** Objects of the first answer, where fewer than usual will mostly do. */
  readonly firstLimit?: number | undefined
  /** Calls for threads in one step, where fewer than usual will do. */
  readonly callsPerStep?: number | undefined
  /** The oldest message to request. */
  readonly oldest?: string | undefined
  /** The message that the history ended with before; undefined if it is read for the first time. */
  readonly floor: string | undefined
  /** The listing that its pages are part of. */
  readonly listing?: string | undefined
  /** True if it lists each thread, changed or not. At its end it covers the conversation, if all could be read. */
  readonly isComplete: boolean
  /** Records calls. Returns whether the pass goes on after this step. */
  readonly spend: (calls: number) => boolean
  /** Folds an answer of `conversations.history`. Returns whether to go on to older messages, while Slack has more. */
  readonly onAnswer: (answer: Answer) => boolean
  /** Whether a thread is listed although nothing tells that it changed. */
  readonly relists: (thread: QuietThread) => boolean
  /** Folds replies that were listed. */
  readonly onReplies: (replies: ReadonlyArray<Message>) => void
  /** Folds how far the pass is with the page that is given next, and gives the checkpoint that says so. */
  readonly save: (progress: Progress) => Saved & {
    /** True if the listing is complete with this page. */
    readonly complete?: boolean
  }
}

interface Answer {
  /** Newest first. */
  readonly messages: ReadonlyArray<Message>
  /** True for the first answer of a pass that begins with the newest message. */
  readonly isTop: boolean
  /** True if no older messages are left, or hidden. */
  readonly isLast: boolean
  /** Messages that are not known yet. */
  readonly unknown: ReadonlyArray<string>
  /** True if a thread has fewer replies than are stored. */
  readonly hasLostReplies: boolean
}

interface QuietThread {
  readonly latestReply: string
  /** A deleted parent has no revision that would tell whether its thread changed. */
  readonly isParentDeleted: boolean
}

export interface Progress {
  readonly place: Place
  /** The messages of the history that the page brings; none for a page of replies. */
  readonly history: ReadonlyArray<string>
  /** The end of the pass: all is read, or Slack refuses to show the conversation. */
  readonly end?: "read" | "refused" | undefined
}
