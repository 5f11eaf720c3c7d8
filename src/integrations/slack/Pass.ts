/**
 * A pass over the history of one conversation: a visit (ConversationVisits.ts), a pass over the whole history
 * (HistoryPasses.ts), or a complete pass (CompletePasses.ts). HistoryReader.ts carries it out.
 */
import type { Place } from "./Checkpoint.ts"
import type { Saved } from "./State.ts"
import type { Message } from "./Message.ts"

/** The part of a history to read and, in the order of a step, callbacks for what was read. */
export interface Pass {
  readonly channel: string
  readonly place: Place
  /** The number of objects in the first response, if fewer than usual mostly suffice. */
  readonly firstLimit?: number | undefined
  /** The most calls for threads in one step, if fewer than usual suffice. */
  readonly callsPerStep?: number | undefined
  /** The oldest message to request. */
  readonly oldest?: string | undefined
  /** The last message of the history when it was read before; undefined if it is read for the first time. */
  readonly floor: string | undefined
  /** The listing to which its pages belong. */
  readonly listing?: string | undefined
  /**
   * True if every thread is listed, changed or not. At its end the pass covers the conversation, if all of it could be
   * read.
   */
  readonly isComplete: boolean
  /** Records calls. Returns whether the pass continues after this step. */
  readonly spend: (calls: number) => boolean
  /**
   * Handles a response of `conversations.history`. Returns whether to continue to older messages, while Slack has more.
   */
  readonly onAnswer: (answer: Answer) => boolean
  /** Returns true if a thread is to be listed although it seems unchanged. */
  readonly relists: (thread: QuietThread) => boolean
  /** Handles listed replies. */
  readonly onReplies: (replies: ReadonlyArray<Message>) => void
  /** Records the progress of the pass with the next page, and returns the checkpoint and parts of that page. */
  readonly save: (progress: Progress) => Saved & {
    /** True if the listing is complete with this page. */
    readonly complete?: boolean
  }
}

interface Answer {
  /** The messages, newest first. */
  readonly messages: ReadonlyArray<Message>
  /** True for the first response of a pass that begins with the newest message. */
  readonly isTop: boolean
  /** True if no older messages are left, or they are hidden. */
  readonly isLast: boolean
  /** Messages that are not known yet. */
  readonly unknown: ReadonlyArray<string>
  /** True if a thread has fewer replies than are stored. */
  readonly hasLostReplies: boolean
}

interface QuietThread {
  readonly latestReply: string
  /** True if the parent is deleted: then no revision shows whether its thread changed. */
  readonly isParentDeleted: boolean
}

export interface Progress {
  readonly place: Place
  /** The messages of the history in the page; empty for a page of replies. */
  readonly history: ReadonlyArray<string>
  /** Why the pass ended: everything was read, or Slack refuses to show the conversation. Undefined until then. */
  readonly end?: "read" | "refused" | undefined
}
