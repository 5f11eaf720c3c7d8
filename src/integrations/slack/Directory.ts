/** Conversations and users: content of their own, so that the ids in messages can be read as names offline. */
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
import { type Checkpoint, type Part } from "./Checkpoint.ts"
import { type Pages, save, setConversations, type State } from "./State.ts"
import { type Client, isRefusal } from "./Client.ts"
import * as Message from "./Message.ts"

const Metadata = Schema.optionalKey(
  Schema.NullOr(Schema.Struct({ next_cursor: Schema.optionalKey(Schema.NullOr(Schema.String)) }))
)
const Channels = Schema.Struct({ channels: Schema.Array(Schema.Unknown), response_metadata: Metadata })
const Users = Schema.Struct({ members: Schema.Array(Schema.Unknown), response_metadata: Metadata })

/** Slack allows fewer than 1,000 conversations an answer, and likes smaller answers for users, which are large. */
const channelsPerAnswer = 999
const usersPerAnswer = 500

const Probe = Schema.Struct({ messages: Schema.Array(Schema.Unknown) })
const probeEvery = Duration.toMillis("1 day")

export type Kind = "public_channel" | "private_channel" | "im" | "mpim"

export interface Options {
  readonly client: Client
  readonly task: SyncTask
  readonly types: ReadonlyArray<Kind>
  /** Ids or names; undefined takes all. */
  readonly named: ReadonlyArray<string> | undefined
  /** True where the token is a bot's, which can read a channel only as its member. */
  readonly bot: Effect.Effect<boolean, IntegrationError>
  readonly parts: Parts<Part>
  /** Milliseconds since 1970. */
  readonly now: number
  /** False for a windowed task, whose window says nothing about conversations and users. */
  readonly asContent: boolean
}

interface Listing {
  /** Kinds still to be listed, each group in one go. */
  readonly groups: ReadonlyArray<ReadonlyArray<Kind>>
  readonly cursor: string | undefined
  readonly found: ReadonlyArray<Message.Channel>
  readonly refused: ReadonlyArray<Kind>
}

/**
 * All conversations, one call for each 999. Kinds whose scope is missing are problems, and fail the listing only if
 * that leaves none. With its last page `state` knows the conversations. New ones have their backfill to do; content of
 * those that are gone stays stored.
 */
export const channels = (options: Options, state: State): Pages => {
  const { client, task } = options
  const names = options.named?.map((name) => name.replace(/^#/, ""))
  const isNamed = (channel: Message.Channel) =>
    names === undefined ||
    names.includes(channel.id) ||
    (typeof channel.name === "string" && names.includes(channel.name))

  /** A channel that the token's owner did not join; a bot can't read those. */
  const isOutside = (channel: Message.Channel) =>
    names === undefined && channel.is_member === false && channel.is_im !== true

  /** Slack lets a bot read only where it is a member: one channel is tried, so that not thousands are, once a day. */
  const probe = Effect.fnUntraced(function* (outside: ReadonlyArray<Message.Channel>) {
    const [first] = outside
    const tried = state.outside
    if (first === undefined || (tried !== undefined && options.now - tried.at < probeEvery)) return
    const answer = yield* client.ask("conversations.history", { channel: first.id, limit: 1 }, Probe)
    state.outside = { at: options.now, readable: !isRefusal(answer) }
  })

  const finish = Effect.fnUntraced(function* (listing: Listing, isBot: boolean) {
    const problems: Array<Problem> = listing.refused.map((kind) => ({
      place: kind,
      message: "can't be listed: missing_scope"
    }))
    const left = !isBot || state.outside?.readable === true ? [] : listing.found.filter(isOutside)
    if (left.length > 0) {
      const message = `${left.length} channels that the bot is not a member of (invite it to read them)`
      problems.push({ place: "public_channel", message })
    }
    const leftIds = new Set(left.map((channel) => channel.id))
    const readable = listing.found.filter((channel) => !leftIds.has(channel.id))
    for (const name of names ?? []) {
      if (!readable.some((channel) => channel.id === name || channel.name === name)) {
        problems.push({ place: name, message: "no such conversation among those that the token may list" })
      }
    }
    state.listedAt = options.now
    yield* setConversations(
      state,
      readable.map(({ id, is_archived }) => ({ id, archived: is_archived === true })),
      options.parts
    )
    return problems
  })

  const step = Effect.fnUntraced(function* (listing: Listing) {
    const [group = [], ...others] = listing.groups
    const answer = yield* client.ask(
      "conversations.list",
      { types: group.join(","), limit: channelsPerAnswer, cursor: listing.cursor, exclude_archived: false },
      Channels
    )
    let next: Listing
    let here: ReadonlyArray<Message.Channel> = []
    if (isRefusal(answer)) {
      if (answer.refused !== "missing_scope") {
        const message = `conversations.list: ${answer.refused}`
        return yield* new IntegrationError({ reason: new Forbidden({ message }) })
      }
      // A call for all kinds is refused if one scope is missing. Then each kind is requested by itself.
      next =
        group.length > 1
          ? { ...listing, groups: [...group.map((kind) => [kind]), ...others], cursor: undefined }
          : { ...listing, groups: others, cursor: undefined, refused: [...listing.refused, ...group] }
    } else {
      here = answer.channels.filter((channel) => Message.isChannel(channel)).filter(isNamed)
      const cursor = answer.response_metadata?.next_cursor || undefined
      next = {
        ...listing,
        groups: cursor === undefined ? others : listing.groups,
        cursor,
        found: [...listing.found, ...here]
      }
    }
    const done = next.groups.length === 0
    if (done && next.refused.length === options.types.length) {
      const message = "conversations.list: missing_scope; grant channels:read, groups:read, im:read or mpim:read"
      return yield* new IntegrationError({ reason: new Forbidden({ message }) })
    }
    const isBot = yield* options.bot
    if (done && isBot) yield* probe(next.found.filter(isOutside))
    const problems = done ? yield* finish(next, isBot) : []
    const listed = options.asContent ? here.map((channel) => Message.channelRef(channel)) : []
    const download = yield* ContentExistenceChecker.selectNew(task, listed, { by: "revision" })
    const page: Page<Checkpoint, Part> = { listed, download, problems, ...save(state) }
    return [[page], done ? Option.none<Listing>() : Option.some(next)] as const
  })

  return Stream.suspend(() =>
    Stream.paginate({ groups: [options.types], cursor: undefined, found: [], refused: [] } as Listing, step)
  )
}

/** All users, one call for each 500; `now` (ms since 1970) is kept as the time of the listing once it ends. */
export const users = (options: Pick<Options, "client" | "task">, state: State, now: number): Pages => {
  const { client, task } = options
  const step = Effect.fnUntraced(function* (cursor: string | undefined) {
    const answer = yield* client.ask("users.list", { limit: usersPerAnswer, cursor }, Users)
    if (isRefusal(answer)) {
      // A cursor that Slack forgot: from the start again, the checker makes that cheap.
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
