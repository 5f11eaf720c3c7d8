/**
 * Where a listing goes on. Bounded whatever the workspace holds: one watermark for all conversations, one place in each
 * of the passes, and some 20 bytes a conversation (its id, marks, a digest): no per-message state.
 */
import * as Schema from "effect/Schema"
import { digest, type Message } from "./Message.ts"

/**
 * A place in a conversation's history, read from the newest message to the oldest: all that is newer than `at` is done.
 * `cursor` is Slack's for the answer that holds `at`; Slack forgets it after a while, then `at` alone is enough.
 * `thread` is the parent whose replies are listed up to `after`, while the parent itself is not.
 */
export const Place = Schema.Struct({
  at: Schema.optionalKey(Schema.String),
  cursor: Schema.optionalKey(Schema.String),
  thread: Schema.optionalKey(Schema.Struct({ ts: Schema.String, after: Schema.String })),
  /** True once something of this pass could not be read: it proves nothing about what it did not see. */
  broken: Schema.optionalKey(Schema.Boolean)
})
export type Place = typeof Place.Type

/** A place from what there is of it: an optional key is absent, never undefined. */
export const place = (parts: { readonly [K in keyof Place]?: Place[K] | undefined }): Place => ({
  ...(parts.at === undefined ? {} : { at: parts.at }),
  ...(parts.cursor === undefined ? {} : { cursor: parts.cursor }),
  ...(parts.thread === undefined ? {} : { thread: parts.thread }),
  ...(parts.broken === true ? { broken: true } : {})
})

export const Checkpoint = Schema.Struct({
  version: Schema.Literal(1),
  /** Conversations in the order of their visits, as `encodeChannels` writes them. */
  channels: Schema.String,
  /** The newest `ts` ever seen. */
  seen: Schema.optionalKey(Schema.String),
  /** Every conversation with no backfill to do has been listed up to here, in Slack's time. */
  watermark: Schema.optionalKey(Schema.String),
  /** The visit of all conversations that is under way, and the watermark that stands once it ends: `seen` at its start. */
  round: Schema.optionalKey(
    Schema.Struct({
      watermark: Schema.optionalKey(Schema.String),
      /** The conversation to visit next (empty: none is left), and the place in it. */
      next: Schema.optionalKey(Schema.String),
      place: Schema.optionalKey(Place),
      /** When it last got on (ms since 1970). */
      movedAt: Schema.Finite,
      /** True if it follows on one that was interrupted: then none follows on it. */
      again: Schema.Boolean,
      calls: Schema.Int,
      /** Calls spent on the look-back so far, beyond one a conversation. */
      extra: Schema.Int
    })
  ),
  /** Calls that the backfill may still make before the next visit: as many as the last visit made. */
  owed: Schema.Int,
  /** True after every other visit: see `visit`. */
  odd: Schema.Boolean,
  /** The backfill of one conversation. */
  fill: Schema.optionalKey(Schema.Struct({ channel: Schema.String, place: Place })),
  /** The complete pass over one conversation. `name` is the engine's name of the listing. */
  sweep: Schema.optionalKey(
    Schema.Struct({ channel: Schema.String, name: Schema.String, wanted: Schema.Boolean, place: Place })
  ),
  /** Complete passes begun so far: no two have the same name. */
  passes: Schema.Int,
  /** The tour of complete passes: when it began (ms since 1970), and the conversation it is at while it goes on. */
  tour: Schema.Struct({ at: Schema.Finite, next: Schema.optionalKey(Schema.String) }),
  /** True if the last complete pass was one that was asked for: the next one is the tour's. */
  wantedLast: Schema.Boolean,
  /** Whether a bot may read channels that it is not a member of, and when that was tried (ms since 1970). */
  strangers: Schema.optionalKey(Schema.Struct({ at: Schema.Finite, readable: Schema.Boolean })),
  /** When the users were last listed (ms since 1970), and Slack's cursor while that goes on. */
  users: Schema.Struct({ at: Schema.optionalKey(Schema.Finite), cursor: Schema.optionalKey(Schema.String) })
})
export type Checkpoint = typeof Checkpoint.Type

export interface ChannelState {
  /** Its older history has not been listed to the end. */
  todo: boolean
  /** Something in it was deleted: a complete pass shall find out what. */
  wanted: boolean
  /** Nothing can change in it until somebody opens it again. */
  archived: boolean
  /** Of its newest parents, to notice that one has vanished. */
  digest: string | undefined
}

/** The same, while it is worked with. */
export type State = Writable<Omit<Checkpoint, "channels">> & { channels: Map<string, ChannelState> }
type Writable<A> = { -readonly [K in keyof A]: A[K] }

export const fromCheckpoint = (checkpoint: Checkpoint): State => ({
  ...checkpoint,
  channels: decodeChannels(checkpoint.channels)
})

export const toCheckpoint = (state: State): Checkpoint => ({ ...state, channels: encodeChannels(state.channels) })

/** Nothing is listed yet. `now` is in ms since 1970: the first tour of complete passes is due one period later. */
export const initial = (now: number): State => ({
  version: 1,
  channels: new Map(),
  owed: 0,
  odd: false,
  passes: 0,
  tour: { at: now },
  wantedLast: false,
  users: {}
})

/** Beyond so many, digests are left out; and so many conversations fit at all (64 kB at 14 bytes). */
const maxDigests = 2500
export const maxChannels = 4000

const separator = ","

const encodeChannels = (channels: ReadonlyMap<string, ChannelState>): string =>
  Array.from(channels, ([id, channel]) => {
    const marks = `${channel.todo ? "*" : ""}${channel.wanted ? "!" : ""}${channel.archived ? "~" : ""}`
    return `${id}${marks}${channel.digest === undefined || channels.size > maxDigests ? "" : `:${channel.digest}`}`
  }).join(separator)

const decodeChannels = (text: string): Map<string, ChannelState> =>
  new Map(
    text.split(separator).flatMap((one) => {
      const [head = "", seen] = one.split(":")
      const id = head.replace(/[*!~]+$/, "")
      if (id === "") return []
      const marks = head.slice(id.length)
      return [
        [
          id,
          { todo: marks.includes("*"), wanted: marks.includes("!"), archived: marks.includes("~"), digest: seen }
        ] as const
      ]
    })
  )

/** How many of the newest parents a digest stands for: half of what the first answer of a visit has. */
const digested = 100

const digestOf = (messages: ReadonlyArray<Message>) => digest(messages.map((message) => message.ts).join()).slice(0, 6)

/** The digest of the newest parents; undefined where there are more of them than the answer gave. */
export const parentsDigest = (parents: ReadonlyArray<Message>, complete: boolean): string | undefined =>
  parents.length < digested && !complete ? undefined : digestOf(parents.slice(0, digested))

/**
 * True if one of the parents that `before` stands for has vanished: if nothing has, these still follow each other
 * somewhere behind the `fresh` ones, which may have come since. False where the answer does not reach far enough to tell.
 */
export const hasVanished = (
  parents: ReadonlyArray<Message>,
  options: { readonly before: string; readonly fresh: number; readonly complete: boolean }
): boolean => {
  const last = options.complete ? parents.length : parents.length - digested
  if (options.fresh > last) return false
  for (let start = 0; start <= options.fresh; start++) {
    if (digestOf(parents.slice(start, start + digested)) === options.before) return false
  }
  return true
}
