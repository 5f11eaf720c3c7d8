/**
 * The stored state of a listing: a checkpoint of bounded size, and a part for each conversation (contract/Parts.ts).
 * Parts also store the ids of all conversations, a few hundred in each, so that only a new round asks Slack for them.
 */
import * as Schema from "effect/Schema"

/**
 * A place in a conversation's history, which is read from the newest message to the oldest: all messages newer than
 * `at` are done. `cursor` is Slack's cursor for the response that contains `at`; Slack expires it after a while, and
 * then `at` alone is enough. `thread` is the parent whose replies are listed up to `after`, while the parent itself is
 * not.
 */
export const Place = Schema.Struct({
  at: Schema.optionalKey(Schema.String),
  cursor: Schema.optionalKey(Schema.String),
  thread: Schema.optionalKey(Schema.Struct({ ts: Schema.String, after: Schema.String })),
  /** True if this pass could not read something: then it proves nothing about messages that it did not see. */
  broken: Schema.optionalKey(Schema.Boolean)
})
export type Place = typeof Place.Type

/** Makes a place without undefined keys. */
export const place = (fields: { readonly [K in keyof Place]?: Place[K] | undefined }): Place => ({
  ...(fields.at === undefined ? {} : { at: fields.at }),
  ...(fields.cursor === undefined ? {} : { cursor: fields.cursor }),
  ...(fields.thread === undefined ? {} : { thread: fields.thread }),
  ...(fields.broken === true ? { broken: true } : {})
})

/**
 * The number of messages of a history up to `upTo`, and the sum of their hashes. A different tally means that a message
 * was deleted.
 */
const Tally = Schema.Struct({ upTo: Schema.String, count: Schema.Int, sum: Schema.Int })
export type Tally = typeof Tally.Type

/** The state of a conversation. Times are milliseconds since 1970; each `ts` is Slack's. */
export const Conversation = Schema.Struct({
  /** Messages of its history up to here are listed, or left to the backfill. Absent before the first visit. */
  watermark: Schema.optionalKey(Schema.String),
  /** The visit in progress, and the watermark after it. */
  visit: Schema.optionalKey(Schema.Struct({ place: Place, top: Schema.String, startedAt: Schema.Finite })),
  /** When the last visit began. */
  visitedAt: Schema.optionalKey(Schema.Finite),
  /** The newest message or reply that was seen in the conversation. */
  newest: Schema.optionalKey(Schema.String),
  /** A digest of the newest parents, by which a deletion among them is noticed. */
  digest: Schema.optionalKey(Schema.String),
  /**
   * The pass over the whole history that is in progress. `seen` is the tally of the last pass, `now` that of this one.
   */
  history: Schema.optionalKey(Schema.Struct({ place: Place, startedAt: Schema.Finite, seen: Tally, now: Tally })),
  /** When the last complete pass over the history began, and its tally. */
  historyAt: Schema.optionalKey(Schema.Finite),
  tally: Schema.optionalKey(Tally),
  /** The oldest message that the last pass over the whole history found (see PlanLimit.ts). */
  oldest: Schema.optionalKey(Schema.String),
  /** True if a message was deleted, which a complete pass has still to find. */
  suspect: Schema.optionalKey(Schema.Boolean),
  /** True if a message arrived for which no event came, and no event has come since. */
  isUnheard: Schema.optionalKey(Schema.Boolean)
})
export type Conversation = typeof Conversation.Type

/** The ids of conversations, in the part `directory/N`. */
const Directory = Schema.Struct({ conversations: Schema.String })

/** The kinds of conversations. */
export const Kind = Schema.Literals(["public_channel", "private_channel", "im", "mpim"])
export type Kind = typeof Kind.Type

/**
 * An unfinished listing of the conversations. It has found the first `count` of the stored conversations; the others
 * are from the previous listing.
 */
export const DirectoryListing = Schema.Struct({
  /** The kinds still to be listed. Each group is listed with one request. */
  groups: Schema.Array(Schema.Array(Kind)),
  /** Slack's cursor in the first group. */
  cursor: Schema.optionalKey(Schema.String),
  count: Schema.Int,
  /** Kinds for which the token lacks the scope. */
  refused: Schema.Array(Kind),
  /** The number of channels that a bot can't read. */
  outside: Schema.Int,
  /** Indexes in the config's list of names without a conversation so far. Thousands of names would not fit. */
  missing: Schema.Array(Schema.Int)
})
export type DirectoryListing = typeof DirectoryListing.Type

export const Part = Schema.Union([Directory, Conversation])
export type Part = typeof Part.Type

export const Checkpoint = Schema.Struct({
  version: Schema.Literal(2),
  /** The number of parts that hold the ids of conversations. */
  directories: Schema.Int,
  /** The newest `ts` that was ever seen. */
  seen: Schema.optionalKey(Schema.String),
  /** When the last page was emitted, and whether it was the last page of its listing. */
  movedAt: Schema.Finite,
  ended: Schema.Boolean,
  /** Calls that this poll has made so far for repeated passes over histories, and for complete passes. */
  spent: Schema.Struct({ history: Schema.Int, complete: Schema.Int }),
  /** The round of visits in progress. */
  round: Schema.optionalKey(
    Schema.Struct({
      startedAt: Schema.Finite,
      /** True if the previous round was interrupted: then no other round directly follows this one. */
      again: Schema.Boolean,
      calls: Schema.Int,
      /** Calls spent on the look-back so far, beyond one for each conversation. */
      extra: Schema.Int
    })
  ),
  /** Calls that the backfill may still make before the next round: as many as the last round made. */
  allowance: Schema.Int,
  /** Rounds of visits that ended in this poll since a pass last emitted a page. */
  rounds: Schema.optionalKey(Schema.Int),
  /** The conversation whose history a pass is reading. */
  historyOf: Schema.optionalKey(Schema.String),
  /** The complete pass over one conversation. `name` is its `listing` in pages. */
  pass: Schema.optionalKey(
    Schema.Struct({ channel: Schema.String, name: Schema.String, suspect: Schema.Boolean, place: Place })
  ),
  /** The number of complete passes begun so far, which makes their names unique. */
  passes: Schema.Int,
  /** The tour of complete passes: when it began, and its present conversation while it runs. */
  tour: Schema.Struct({ at: Schema.Finite, next: Schema.optionalKey(Schema.String) }),
  /** True if the last complete pass was over a suspect conversation: the next one belongs to the tour. */
  suspectLast: Schema.Boolean,
  /** When the last round of visits began. */
  roundAt: Schema.optionalKey(Schema.Finite),
  /**
   * Set when a deletion was noticed. Absent messages are deleted once every conversation was visited since this time,
   * and every suspect conversation has had its complete pass.
   */
  absentSince: Schema.optionalKey(Schema.Finite),
  /** When Slack last showed a message that a free plan would hide (see PlanLimit.ts). */
  unlimitedAt: Schema.optionalKey(Schema.Finite),
  /** Hinted parts that still have to be looked up (see HintLookups.ts). */
  hinted: Schema.optionalKey(Schema.Array(Schema.String)),
  /**
   * The last search for messages: when it was, up to when it searched, and until when none is tried after a refusal
   * (see MessageSearch.ts). `found`: the conversations with new messages, until they are visited.
   */
  search: Schema.optionalKey(
    Schema.Struct({
      at: Schema.Finite,
      upTo: Schema.optionalKey(Schema.Finite),
      offUntil: Schema.optionalKey(Schema.Finite),
      found: Schema.optionalKey(Schema.Array(Schema.String))
    })
  ),
  /**
   * The stream of events, while it is open: since when, when an event last came, and whether one was missed since (see
   * EventDelivery.ts).
   */
  events: Schema.optionalKey(
    Schema.Struct({
      since: Schema.Finite,
      heardAt: Schema.optionalKey(Schema.Finite),
      isMissing: Schema.optionalKey(Schema.Boolean)
    })
  ),
  /** The listing of the conversations in progress. */
  listing: Schema.optionalKey(DirectoryListing),
  /** When the conversations were last listed. */
  listedAt: Schema.optionalKey(Schema.Finite),
  /** Whether a bot may read channels that it did not join, and when that was tried. */
  outside: Schema.optionalKey(Schema.Struct({ at: Schema.Finite, readable: Schema.Boolean })),
  /** When the users were last listed, and Slack's cursor while a listing is in progress. */
  users: Schema.Struct({ at: Schema.optionalKey(Schema.Finite), cursor: Schema.optionalKey(Schema.String) })
})
export type Checkpoint = typeof Checkpoint.Type
