/**
 * The stored state of a listing: a checkpoint of bounded size, and a part for each conversation (contract/Parts.ts).
 * The ids of all conversations are kept in parts too, a few hundred in each, so that only a new round asks Slack for
 * them.
 */
import * as Schema from "effect/Schema"

/**
 * A place in a conversation's history, which is read from the newest message to the oldest: all that is newer than `at`
 * is done. `cursor` is Slack's for the answer that holds `at`; Slack forgets it after a while, then `at` alone is
 * enough. `thread` is the parent whose replies are listed up to `after`, while the parent itself is not.
 */
export const Place = Schema.Struct({
  at: Schema.optionalKey(Schema.String),
  cursor: Schema.optionalKey(Schema.String),
  thread: Schema.optionalKey(Schema.Struct({ ts: Schema.String, after: Schema.String })),
  /** True once something of this pass could not be read: it proves nothing about what it did not see. */
  broken: Schema.optionalKey(Schema.Boolean)
})
export type Place = typeof Place.Type

/** A place without the keys that are undefined. */
export const place = (fields: { readonly [K in keyof Place]?: Place[K] | undefined }): Place => ({
  ...(fields.at === undefined ? {} : { at: fields.at }),
  ...(fields.cursor === undefined ? {} : { cursor: fields.cursor }),
  ...(fields.thread === undefined ? {} : { thread: fields.thread }),
  ...(fields.broken === true ? { broken: true } : {})
})

/**
 * How many messages of a history there are up to `upTo`, and the sum of their hashes: another one means that one
 * vanished.
 */
const Tally = Schema.Struct({ upTo: Schema.String, count: Schema.Int, sum: Schema.Int })
export type Tally = typeof Tally.Type

/** The state of a conversation. All times are ms since 1970, all `ts` are Slack's. */
export const Conversation = Schema.Struct({
  /** Messages of its history up to here are listed, or left to the backfill. Absent before its first visit. */
  watermark: Schema.optionalKey(Schema.String),
  /** A visit that is under way, and the watermark once it ends. */
  visit: Schema.optionalKey(Schema.Struct({ place: Place, top: Schema.String, startedAt: Schema.Finite })),
  /** When its last visit began. */
  visitedAt: Schema.optionalKey(Schema.Finite),
  /** The newest message or reply that was seen in it. */
  newest: Schema.optionalKey(Schema.String),
  /** Digest of its newest parents, to notice that one vanished. */
  digest: Schema.optionalKey(Schema.String),
  /**
   * A pass over its whole history that is under way. `seen` counts what the last pass counted, `now` what this one
   * does.
   */
  history: Schema.optionalKey(Schema.Struct({ place: Place, startedAt: Schema.Finite, seen: Tally, now: Tally })),
  /** When the last complete pass over its history began, and what it counted. */
  historyAt: Schema.optionalKey(Schema.Finite),
  tally: Schema.optionalKey(Tally),
  /** The oldest message of its history, as the last pass that read all of it found it (see PlanLimit.ts). */
  oldest: Schema.optionalKey(Schema.String),
  /** Something in it was deleted: a complete pass shall find out what. */
  suspect: Schema.optionalKey(Schema.Boolean),
  /** True if a message came in it that no event told, and no event since. */
  isUnheard: Schema.optionalKey(Schema.Boolean)
})
export type Conversation = typeof Conversation.Type

/** Ids of conversations: part `directory/N`. */
const Directory = Schema.Struct({ conversations: Schema.String })

/** The kinds of conversations. */
export const Kind = Schema.Literals(["public_channel", "private_channel", "im", "mpim"])
export type Kind = typeof Kind.Type

/**
 * A listing of the conversations that has not come to its end. The first `count` of the stored conversations are those
 * that it has found; the others are from the listing before.
 */
export const DirectoryListing = Schema.Struct({
  /** Kinds still to be listed, each group in one go. */
  groups: Schema.Array(Schema.Array(Kind)),
  /** Slack's cursor in the first group. */
  cursor: Schema.optionalKey(Schema.String),
  count: Schema.Int,
  /** Kinds whose scope is missing. */
  refused: Schema.Array(Kind),
  /** Channels that a bot can't read. */
  outside: Schema.Int,
  /** Places in the config's list of the names that no conversation has so far: thousands of names would not fit. */
  missing: Schema.Array(Schema.Int)
})
export type DirectoryListing = typeof DirectoryListing.Type

export const Part = Schema.Union([Directory, Conversation])
export type Part = typeof Part.Type

export const Checkpoint = Schema.Struct({
  version: Schema.Literal(2),
  /** How many parts hold the ids of conversations. */
  directories: Schema.Int,
  /** The newest `ts` ever seen. */
  seen: Schema.optionalKey(Schema.String),
  /** When a page was last given, and whether that was the last page of its listing. */
  movedAt: Schema.Finite,
  ended: Schema.Boolean,
  /**
   * Calls that this poll has made so far for passes over histories that earlier passes read, and for complete passes.
   */
  spent: Schema.Struct({ history: Schema.Int, complete: Schema.Int }),
  /** The round of visits that is under way. */
  round: Schema.optionalKey(
    Schema.Struct({
      startedAt: Schema.Finite,
      /** True if the round before it was interrupted: then no other round follows this one at once. */
      again: Schema.Boolean,
      calls: Schema.Int,
      /** Calls spent on the look-back so far, beyond one a conversation. */
      extra: Schema.Int
    })
  ),
  /** Calls that the backfill may still make before the next round: as many as the last round made. */
  allowance: Schema.Int,
  /** Rounds of visits that ended in this poll since a pass last listed anything. */
  rounds: Schema.optionalKey(Schema.Int),
  /** The conversation whose history a pass is reading. */
  historyOf: Schema.optionalKey(Schema.String),
  /** The complete pass over one conversation. `name` is the engine's name of the listing. */
  pass: Schema.optionalKey(
    Schema.Struct({ channel: Schema.String, name: Schema.String, suspect: Schema.Boolean, place: Place })
  ),
  /** Complete passes begun so far: no two have the same name. */
  passes: Schema.Int,
  /** The tour of complete passes: when it began, and the conversation it is at while it goes on. */
  tour: Schema.Struct({ at: Schema.Finite, next: Schema.optionalKey(Schema.String) }),
  /** True if the last complete pass was over a suspect: the next one is the tour's. */
  suspectLast: Schema.Boolean,
  /** When the last round of visits began. */
  roundAt: Schema.optionalKey(Schema.Finite),
  /**
   * A deletion was noticed: what is absent counts once every conversation was visited since this time, and each in
   * which a deletion was noticed has had its complete pass.
   */
  absentSince: Schema.optionalKey(Schema.Finite),
  /** When Slack last showed a message that is too old for a free plan (see PlanLimit.ts). */
  unlimitedAt: Schema.optionalKey(Schema.Finite),
  /** Parts that hints named and that are still to be looked at (see HintLookups.ts). */
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
   * The stream of events, while it listens: since when, when an event last came, and whether one was missed since (see
   * EventDelivery.ts).
   */
  events: Schema.optionalKey(
    Schema.Struct({
      since: Schema.Finite,
      heardAt: Schema.optionalKey(Schema.Finite),
      isMissing: Schema.optionalKey(Schema.Boolean)
    })
  ),
  /** The listing of the conversations that is under way. */
  listing: Schema.optionalKey(DirectoryListing),
  /** When the conversations were last listed. */
  listedAt: Schema.optionalKey(Schema.Finite),
  /** Whether a bot may read channels that it did not join, and when that was tried. */
  outside: Schema.optionalKey(Schema.Struct({ at: Schema.Finite, readable: Schema.Boolean })),
  /** When the users were last listed, and Slack's cursor while that goes on. */
  users: Schema.Struct({ at: Schema.optionalKey(Schema.Finite), cursor: Schema.optionalKey(Schema.String) })
})
export type Checkpoint = typeof Checkpoint.Type
