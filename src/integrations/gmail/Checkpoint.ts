/**
 * Where a Gmail connection is. Nothing in it grows with the mailbox: page tokens and counters only.
 *
 * - pass: one listing of the whole mailbox (or of what the filter leaves of it), from the newest message to the oldest;
 * - label walk: a listing that rebuilds labels after the history expired (see LabelRebuild.ts).
 */
import * as Order from "effect/Order"
import * as Schema from "effect/Schema"

/** Where a label's own listing is: this many pages from this token on (absent: from the first). 0 pages: at its end. */
export const Position = Schema.Struct({ token: Schema.optionalKey(Schema.String), pages: Schema.Int })
export type Position = typeof Position.Type

/** A pass that has not come to its end. */
export const Pass = Schema.Struct({
  /** The pass's own name, as pages give it in `listing`. */
  name: Schema.String,
  /** The page to go on with; absent for the first one. */
  pageToken: Schema.optionalKey(Schema.String),
  /** How many passes were made before this one because messages left the listing while it went on. */
  repeated: Schema.Int,
  /** Messages left the listing or came back to it since this pass began: pages may have shifted under it. */
  shifted: Schema.Boolean,
  /** The pass began with no checkpoint: what is known already may have stale labels. */
  initial: Schema.Boolean,
  /** True if the backfill met messages that were known before: a label walk follows. */
  metKnown: Schema.Boolean,
  /** How many it has listed, and how many there are about: for progress only. */
  listed: Schema.Int,
  total: Schema.optionalKey(Schema.Finite),
  /** Where the list of chats is, which are left out. */
  chats: Schema.optionalKey(Position)
})
export type Pass = typeof Pass.Type

/** A label walk that has not come to its end. */
export const LabelWalk = Schema.Struct({
  /** Labels up to this one, in the order of their ids, were done by earlier walks. */
  after: Schema.String,
  /** The history id when the first walk began: the history is read again from there once the last one has ended. */
  since: Schema.optionalKey(Schema.String),
  pageToken: Schema.optionalKey(Schema.String),
  /** By label id, for this walk's labels; absent until its first page is done. */
  positions: Schema.optionalKey(Schema.Record(Schema.String, Position))
})
export type LabelWalk = typeof LabelWalk.Type

/** A reading of the history after `historyId` that has not come to its end. */
const Reading = Schema.Struct({
  /** The page to go on with. */
  pageToken: Schema.String,
  /** The mailbox's history id when the reading began: all up to there will have been read at its end. */
  until: Schema.String
})

/** The connection's own checkpoint. */
export const Live = Schema.Struct({
  /** All that happened up to here is known: a uint64 as text. It moves once a reading has come to its end. */
  historyId: Schema.String,
  reading: Schema.optionalKey(Reading),
  pass: Schema.optionalKey(Pass),
  labels: Schema.optionalKey(LabelWalk)
})
export type Live = typeof Live.Type

/** The checkpoint of a forced or windowed task: only how far its one listing is. */
export const TaskProgress = Schema.Struct({
  done: Schema.Boolean,
  pageToken: Schema.optionalKey(Schema.String),
  listed: Schema.Int,
  /** As in a pass. */
  chats: Schema.optionalKey(Position)
})
export type TaskProgress = typeof TaskProgress.Type

export const Checkpoint = Schema.Union([Live, TaskProgress])
export type Checkpoint = typeof Checkpoint.Type

/** The order of history ids: uint64s as text. */
export const byHistoryId: Order.Order<string> = Order.mapInput(Order.BigInt, BigInt)

/** The greater of two history ids. */
export const later: (a: string, b: string) => string = Order.max(byHistoryId)
