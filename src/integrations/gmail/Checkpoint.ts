/**
 * The position of a Gmail connection. It has only page tokens and counters, so it does not grow with the mailbox.
 *
 * - pass: one listing of the whole mailbox (or of what the filter selects), from the newest message to the oldest;
 * - label walk: a listing that rebuilds labels after the history expired (see LabelRebuild.ts).
 */
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"

/**
 * The position in a label's own listing: this many pages from this token (absent: from the first page). 0 pages: at its
 * end.
 */
export const Position = Schema.Struct({ token: Schema.optionalKey(Schema.String), pages: Schema.Int })
export type Position = typeof Position.Type

/** An unfinished pass. */
export const Pass = Schema.Struct({
  /** The pass's own name, which its pages have as `listing`. */
  name: Schema.String,
  /** The token of the next page; absent for the first one. */
  pageToken: Schema.optionalKey(Schema.String),
  /** How many passes were repeated before this one because messages left the listing during them. */
  repeated: Schema.Int,
  /** True if messages left the listing or returned to it since this pass began, so that its pages may have shifted. */
  shifted: Schema.Boolean,
  /** True if the pass began without a checkpoint: known messages may have stale labels. */
  initial: Schema.Boolean,
  /** True if the backfill met messages that were known before: a label walk follows. */
  metKnown: Schema.Boolean,
  /** How many messages the pass has listed, and about how many there are: only for progress. */
  listed: Schema.Int,
  total: Schema.optionalKey(Schema.Finite),
  /** The position in the list of chats, which are left out. */
  chats: Schema.optionalKey(Position)
})
export type Pass = typeof Pass.Type

/** An unfinished label walk. */
export const LabelWalk = Schema.Struct({
  /** Earlier walks have done the labels up to this one, in the order of their ids. */
  after: Schema.String,
  /** The history id when the first walk began. After the last walk, the history is read again from there. */
  since: Schema.optionalKey(Schema.String),
  pageToken: Schema.optionalKey(Schema.String),
  /** The positions of this walk's labels by their ids; absent until its first page is done. */
  positions: Schema.optionalKey(Schema.Record(Schema.String, Position))
})
export type LabelWalk = typeof LabelWalk.Type

/** An unfinished reading of the history after `historyId`. */
const Reading = Schema.Struct({
  /** The token of the next page. */
  pageToken: Schema.String,
  /** The mailbox's history id when the reading began: at its end, the history up to there has been read. */
  until: Schema.String
})

/** The connection's own checkpoint. */
export const Live = Schema.Struct({
  /** The history up to this id is known (a uint64 as text). It changes only at the end of a reading. */
  historyId: Schema.String,
  reading: Schema.optionalKey(Reading),
  pass: Schema.optionalKey(Pass),
  labels: Schema.optionalKey(LabelWalk)
})
export type Live = typeof Live.Type

/** The checkpoint of a forced or windowed task: the progress of its one listing. */
export const TaskProgress = Schema.Struct({
  done: Schema.Boolean,
  pageToken: Schema.optionalKey(Schema.String),
  listed: Schema.Int,
  /** See `Pass.chats`. */
  chats: Schema.optionalKey(Position)
})
export type TaskProgress = typeof TaskProgress.Type

export const Checkpoint = Schema.Union([Live, TaskProgress])
export type Checkpoint = typeof Checkpoint.Type

/** Orders history ids, which are uint64s as text. */
export const byHistoryId: Order.Order<string> = Order.mapInput(Order.BigInt, BigInt)

/** The greater of two history ids. */
export const later: (a: string, b: string) => string = Order.max(byHistoryId)
