/**
 * Where a listing goes on: a checkpoint of bounded size, and a part for each conversation (see contract/Parts.ts). The
 * ids of all conversations are kept in parts too, a few hundred in each, so that only a new round asks Slack for them.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ContentExistenceChecker, ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import type { IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page } from "../../contract/Page.ts"
import type { PartMove, Parts } from "../../contract/Parts.ts"
import { maxParts } from "../../contract/Parts.ts"

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
   * Calls that this poll has made so far for passes over histories that were passed over before, and for complete ones.
   */
  spent: Schema.Struct({ history: Schema.Int, complete: Schema.Int }),
  /** The round of visits that is under way. */
  round: Schema.optionalKey(
    Schema.Struct({
      startedAt: Schema.Finite,
      /** True if it follows on one that was interrupted: then none follows on it. */
      again: Schema.Boolean,
      calls: Schema.Int,
      /** Calls spent on the look-back so far, beyond one a conversation. */
      extra: Schema.Int
    })
  ),
  /** Calls that the backfill may still make before the next round: as many as the last round made. */
  allowance: Schema.Int,
  /** True from the end of a round until anything else is listed: the poll needs no further round. */
  isUpToDate: Schema.optionalKey(Schema.Boolean),
  /** True if the next poll ends with an empty page more: see `end` in Listing.ts. */
  padded: Schema.Boolean,
  /** The conversation whose history is being passed over. */
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
   * (see MessageSearch.ts).
   */
  search: Schema.optionalKey(
    Schema.Struct({
      at: Schema.Finite,
      upTo: Schema.optionalKey(Schema.Finite),
      offUntil: Schema.optionalKey(Schema.Finite)
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
  /** When the conversations were last listed. */
  listedAt: Schema.optionalKey(Schema.Finite),
  /** Whether a bot may read channels that it did not join, and when that was tried. */
  outside: Schema.optionalKey(Schema.Struct({ at: Schema.Finite, readable: Schema.Boolean })),
  /** When the users were last listed, and Slack's cursor while that goes on. */
  users: Schema.Struct({ at: Schema.optionalKey(Schema.Finite), cursor: Schema.optionalKey(Schema.String) })
})
export type Checkpoint = typeof Checkpoint.Type

type Writable<A> = { -readonly [K in keyof A]: A[K] }

/** The checkpoint and the parts while they are worked with. */
export type State = Writable<Omit<Checkpoint, "directories">> & {
  /** The conversations in Slack's order, and whether they are archived. */
  conversations: Map<string, { readonly archived: boolean; readonly part: Conversation }>
  directories: ReadonlyArray<string>
  /** The parts that changed since the last page. */
  readonly moved: Map<string, Part>
}

/** Nothing is listed yet. */
const initial = (now: number): State => ({
  version: 2,
  conversations: new Map(),
  directories: [],
  moved: new Map(),
  movedAt: 0,
  ended: true,
  spent: { history: 0, complete: 0 },
  allowance: 0,
  padded: false,
  passes: 0,
  tour: { at: now },
  suspectLast: false,
  users: {}
})

const directoryKey = (index: number) => `directory/${index}`

/** Fields that hold a time that has passed, in ms. */
const pastTimes = new Set([
  "absentSince",
  "at",
  "heardAt",
  "historyAt",
  "listedAt",
  "movedAt",
  "roundAt",
  "since",
  "startedAt",
  "unlimitedAt",
  "upTo",
  "visitedAt"
])

/**
 * The value, with `now` for each past time that is later: a process whose clock is ahead stored it. Left as it is, it
 * would let no visit count as part of a round, and nothing be due until it has come. A conversation with such a visit
 * is visited again, which stores its state with right times.
 */
const notAfter = <A>(now: number, value: A): A => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => {
    if (typeof inner !== "number" || !pastTimes.has(key)) return [key, notAfter(now, inner)]
    return [key, inner <= now ? inner : key === "visitedAt" ? 0 : now]
  })
  return Object.fromEntries(entries) as A
}

/** Reads the state: one query for the ids, and one for each 1,000 conversations. */
export const load = Effect.fnUntraced(function* (
  checkpoint: Option.Option<Checkpoint>,
  parts: Parts<Part>,
  now: number
) {
  if (Option.isNone(checkpoint)) return initial(now)
  const { directories: count, ...rest } = notAfter(now, checkpoint.value)
  const keys = Array.from({ length: count }, (_, index) => directoryKey(index))
  const found = yield* parts.get(keys)
  const directories = keys.map((key) => {
    const part = found.get(key)
    return part !== undefined && "conversations" in part ? part.conversations : ""
  })
  const ids = directories.flatMap(decodeDirectory)
  const state: State = { ...rest, directories, conversations: new Map(), moved: new Map() }
  for (let from = 0; from < ids.length; from += maxParts) {
    const some = ids.slice(from, from + maxParts)
    const known = yield* parts.get(some.map(({ id }) => id))
    for (const { archived, id } of some) {
      const part = known.get(id)
      const conversation = part === undefined || "conversations" in part ? {} : notAfter(now, part)
      state.conversations.set(id, { archived, part: conversation })
    }
  }
  return state
})

/** Brings in the conversations that Slack lists now. Those that are gone keep their parts, in case they come back. */
export const setConversations = Effect.fnUntraced(function* (
  state: State,
  found: ReadonlyArray<{ readonly id: string; readonly archived: boolean }>,
  parts: Parts<Part>
) {
  const fresh = found.filter(({ id }) => !state.conversations.has(id)).map(({ id }) => id)
  const known = new Map<string, Part>()
  for (let from = 0; from < fresh.length; from += maxParts) {
    for (const [id, part] of yield* parts.get(fresh.slice(from, from + maxParts))) known.set(id, part)
  }
  state.conversations = new Map(
    found.map(({ archived, id }) => {
      const before = known.get(id)
      const part =
        state.conversations.get(id)?.part ?? (before === undefined || "conversations" in before ? {} : before)
      return [id, { archived, part }]
    })
  )
  const directories = encodeDirectories(found)
  for (const [index, conversations] of directories.entries()) {
    if (state.directories[index] !== conversations) state.moved.set(directoryKey(index), { conversations })
  }
  state.directories = directories
})

/** Changes what is kept of a conversation. An undefined value removes its key. */
export const update = (
  state: State,
  id: string,
  changes: { readonly [K in keyof Conversation]?: Conversation[K] | undefined }
): void => {
  const before = state.conversations.get(id)
  if (before === undefined) return
  const entries = Object.entries({ ...before.part, ...changes }).filter(([, value]) => value !== undefined)
  const part: Conversation = Object.fromEntries(entries)
  if (JSON.stringify(part) === JSON.stringify(before.part)) return
  state.conversations.set(id, { archived: before.archived, part })
  state.moved.set(id, part)
}

/** The pages of a listing, or of a part of one. */
export type Pages = Stream.Stream<
  Page<Checkpoint, Part>,
  IntegrationError | ContentExistenceCheckerError,
  ContentExistenceChecker
>

export interface Saved {
  readonly checkpoint: Checkpoint
  readonly parts: ReadonlyArray<PartMove<Part>>
}

/** The state as a page says it: its checkpoint, and the parts that changed since the page before. */
export const save = (state: State): Saved => {
  const { conversations: _, directories, moved, ...rest } = state
  const parts = Array.from(moved, ([key, checkpoint]) => ({ key, checkpoint }))
  moved.clear()
  return { checkpoint: { ...rest, directories: directories.length }, parts }
}

/** Ids in one part: of 13 characters and a separator, in less than 4 KiB. */
const idsInPart = 240
const separator = ","

const encodeDirectories = (found: ReadonlyArray<{ readonly id: string; readonly archived: boolean }>) => {
  const ids = found.map(({ archived, id }) => `${id}${archived ? "~" : ""}`)
  return Array.from({ length: Math.ceil(ids.length / idsInPart) }, (_, index) =>
    ids.slice(index * idsInPart, (index + 1) * idsInPart).join(separator)
  )
}

const decodeDirectory = (text: string) =>
  text
    .split(separator)
    .filter((one) => one !== "")
    .map((one) => ({ id: one.replace("~", ""), archived: one.endsWith("~") }))
