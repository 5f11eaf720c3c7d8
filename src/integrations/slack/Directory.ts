/**
 * Lists conversations and users, which are content of their own, so that the ids in messages can be shown as names
 * offline.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ContentExistenceChecker, type ContentExistenceCheckerError } from "../../contract/ContentExistenceChecker.ts"
import { Forbidden, IntegrationError } from "../../contract/IntegrationError.ts"
import type { Page, Problem } from "../../contract/Page.ts"
import type { Parts } from "../../contract/Parts.ts"
import type { SyncTask } from "../../contract/SyncTask.ts"
import { type Checkpoint, type DirectoryListing, type Kind, type Part } from "./Checkpoint.ts"
import { type Pages, save, setConversations, type State } from "./State.ts"
import { type Client, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"

const Metadata = Schema.optionalKey(
  Schema.NullOr(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
)
const Channels = Schema.Struct({ channels: Schema.Array(Schema.Unknown), response_metadata: Metadata })
const Users = Schema.Struct({ members: Schema.Array(Schema.Unknown), response_metadata: Metadata })

/** Slack allows fewer than 1,000 conversations in a response, and recommends fewer users, which are large. */
const channelsPerAnswer = 999
const usersPerAnswer = 500

const Probe = Schema.Struct({ messages: Schema.Array(Schema.Unknown) })
const probeEvery = Duration.toMillis("1 day")

interface Options {
  readonly client: Client
  readonly task: SyncTask
  readonly types: ReadonlyArray<Kind>
  /** The ids or names to list; undefined lists all. */
  readonly named: ReadonlyArray<string> | undefined
  /** True if the token is a bot's, which can read only channels that it has joined. */
  readonly bot: Effect.Effect<boolean, IntegrationError>
  readonly parts: Parts<Part>
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** False for a windowed task, because a window does not apply to conversations and users. */
  readonly asContent: boolean
}

/**
 * Lists all conversations, 999 a call, from where an earlier slice was interrupted. Kinds for which the scope is
 * missing are problems; the listing fails only if no kind is left. The conversations of each page are added to `state`;
 * with the last page, those that no longer exist are removed from it, and their content stays stored. New ones begin
 * their backfill.
 */
export const channels = (options: Options, state: State): Pages => {
  const { client, task } = options
  const names = options.named?.map((name) => name.replace(/^#/, ""))
  const nameSet = new Set(names)
  const isNamed = ({ id, name }: Message.Channel) =>
    names === undefined || nameSet.has(id) || (typeof name === "string" && nameSet.has(name))
  const start: DirectoryListing = {
    groups: [options.types],
    count: 0,
    refused: [],
    outside: 0,
    missing: (names ?? []).map((_, index) => index)
  }

  /** Returns true for a channel that the token's owner did not join, which a bot can't read. */
  const isOutside = (channel: Message.Channel) =>
    names === undefined && channel.is_member === false && channel.is_im !== true

  /**
   * Slack lets a bot read only channels that it has joined: once a day, one other channel is tried instead of
   * thousands.
   */
  const probe = Effect.fnUntraced(function* (outside: ReadonlyArray<Message.Channel>) {
    const [first] = outside
    const now = options.now()
    if (first === undefined || (state.outside !== undefined && now - state.outside.at < probeEvery)) return
    const answer = yield* client.ask("conversations.history", { channel: first.id, limit: 1 }, Probe)
    state.outside = { at: now, readable: !isRefusal(answer) }
  })

  /** Returns the conversations of a response that can be read. */
  const readable = Effect.fnUntraced(function* (here: ReadonlyArray<Message.Channel>) {
    const outside = here.filter(isOutside)
    if (outside.length === 0 || !(yield* options.bot)) return here
    yield* probe(outside)
    return state.outside?.readable === true ? here : here.filter((channel) => !isOutside(channel))
  })

  /** Adds the conversations of a response, after those that this listing has already found. */
  const bringIn = Effect.fnUntraced(function* (
    here: ReadonlyArray<Message.Channel>,
    listing: DirectoryListing,
    isLast: boolean
  ) {
    const before = Array.from(state.conversations, ([id, { archived }]) => ({ id, archived }))
    const found = new Map(before.slice(0, listing.count).map((one) => [one.id, one]))
    for (const { id, is_archived } of here) found.set(id, { id, archived: is_archived === true })
    const others = isLast ? [] : before.slice(listing.count).filter(({ id }) => !found.has(id))
    yield* setConversations(state, [...found.values(), ...others], options.parts)
    return found.size
  })

  const problemsOf = ({ missing, outside, refused }: DirectoryListing): ReadonlyArray<Problem> => [
    ...refused.map((kind) => ({ place: kind, message: "can't be listed: missing_scope" })),
    ...(outside === 0
      ? []
      : [
          {
            place: "public_channel",
            message: `${outside} channels that the bot is not a member of (invite it to read them)`
          }
        ]),
    ...missing
      .flatMap((index) => names?.[index] ?? [])
      .map((place) => ({ place, message: "no such conversation among those that the token may list" }))
  ]

  const step = Effect.fnUntraced(function* (listing: DirectoryListing) {
    const { cursor, ...rest } = listing
    const [group = [], ...others] = listing.groups
    const answer = yield* client.ask(
      "conversations.list",
      { types: group.join(","), limit: channelsPerAnswer, cursor, exclude_archived: false },
      Channels
    )
    let next: DirectoryListing
    let here: ReadonlyArray<Message.Channel> = []
    if (!isRefusal(answer)) {
      here = answer.channels.filter((channel) => Message.isChannel(channel)).filter(isNamed)
      const more = answer.response_metadata?.next_cursor || undefined
      next = more === undefined ? { ...rest, groups: others } : { ...rest, cursor: more }
    } else if (answer.refused === "invalid_cursor" && cursor !== undefined) {
      // Slack no longer accepts the cursor of an earlier slice.
      next = start
    } else if (answer.refused === "missing_scope") {
      // A request for all kinds is refused if one scope is missing. Then each kind is requested separately.
      next =
        group.length > 1
          ? { ...rest, groups: [...group.map((kind) => [kind]), ...others] }
          : { ...rest, groups: others, refused: [...listing.refused, ...group] }
    } else {
      const message = `conversations.list: ${answer.refused}`
      return yield* new IntegrationError({ reason: new Forbidden({ message }) })
    }
    const isLast = next.groups.length === 0
    if (isLast && next.refused.length === options.types.length) {
      const message = "conversations.list: missing_scope; grant channels:read, groups:read, im:read or mpim:read"
      return yield* new IntegrationError({ reason: new Forbidden({ message }) })
    }
    const known = yield* readable(here)
    const knownNames = new Set(known.flatMap(({ id, name }) => [id, name]))
    next = {
      ...next,
      count: yield* bringIn(known, next, isLast),
      outside: next.outside + here.length - known.length,
      missing: next.missing.filter((index) => !knownNames.has(names?.[index]))
    }
    state.movedAt = options.now()
    if (isLast) {
      state.listedAt = state.movedAt
      delete state.listing
    } else state.listing = next
    const listed = options.asContent ? here.map((channel) => Message.channelRef(channel)) : []
    const download = yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" })
    const problems = isLast ? problemsOf(next) : []
    const page: Page<Checkpoint, Part> = { listed, download, problems, ...save(state) }
    return [[page], isLast ? Option.none<DirectoryListing>() : Option.some(next)] as const
  })

  return Stream.suspend(() => Stream.paginate(state.listing ?? start, step))
}

/**
 * Lists all users, 500 a call. After the last page, `now` (in milliseconds since 1970) is stored as the time of the
 * listing.
 */
export const users = (options: Pick<Options, "client" | "task">, state: State, now: number): Pages => {
  const { client, task } = options
  const step = Effect.fnUntraced(function* (cursor: string | undefined) {
    const answer = yield* client.ask("users.list", { limit: usersPerAnswer, cursor }, Users)
    if (isRefusal(answer)) {
      // Slack no longer accepts the cursor: begins again, which the checker makes cheap.
      const again = answer.refused === "invalid_cursor" && cursor !== undefined
      state.users = again ? {} : { at: now }
      const problems: ReadonlyArray<Problem> = again
        ? []
        : [{ place: "users", message: `can't be listed: ${answer.refused}` }]
      const page: Page<Checkpoint, Part> = { listed: [], download: [], problems, ...save(state) }
      return [[page], again ? Option.some(undefined) : Option.none<string | undefined>()] as const
    }
    const next = answer.response_metadata?.next_cursor || undefined
    const listed = answer.members.filter((user) => Message.isUser(user)).map((user) => Message.userRef(user))
    const download = yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" })
    state.users = next === undefined ? { at: now } : { cursor: next }
    const page: Page<Checkpoint, Part> = { listed, download, ...save(state) }
    return [[page], next === undefined ? Option.none<string | undefined>() : Option.some(next)] as const
  })
  return Stream.suspend(() =>
    Stream.paginate<
      string | undefined,
      Page<Checkpoint, Part>,
      IntegrationError | ContentExistenceCheckerError,
      ContentExistenceChecker
    >(state.users.cursor, step)
  )
}
