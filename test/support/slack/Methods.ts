/** The methods of Slack's Web API over a workspace. `SlackServer.ts` names the source of each behaviour. */
import type { Workspace } from "./Workspace.ts"
import {
  type Channel,
  type File,
  type JsonObject,
  type Kind,
  type Message,
  position,
  type Posted
} from "./WorkspaceObjects.ts"

export interface Request {
  readonly method: string
  readonly args: Readonly<Record<string, string>>
}

/** The properties of the workspace and of the token that a test sets. */
export interface Settings {
  /** True for a bot's token, which reads only conversations of which the bot is a member. */
  bot: boolean
  /** Kinds of conversations whose scope the token lacks. */
  readonly missing: Set<Kind>
  /** Search: whether the user's token has the scope, and by how many seconds the index lags. */
  readonly search: { hasScope: boolean; lag: number }
  /** The most objects in a response, whatever limit is requested. */
  maxLimit: number
  /** A free plan: parents older than this exist, but are not shown. With `isFlagged`, responses have `is_limited`. */
  hiddenBefore: string | undefined
  isFlagged: boolean
  /** True if a response to `oldest` alone has the messages nearest to it. */
  isNearestFirst: boolean
  /** The fields with which responses announce further messages. `endless`: no cursor, and `has_more` is always true. */
  following: "both" | "cursor" | "has_more" | "endless"
  /** Cursors of earlier epochs are invalid. */
  cursorEpoch: number
  /** Token rotation: the refresh token to use next, and access tokens with their validity. */
  readonly rotation: { refreshToken: string; clientSecret: string | undefined; readonly refreshes: Array<string> }
}

/** A refusal; its message is the value of `error`. */
export class Refusal extends Error {}
export const refuse = (error: string): never => {
  throw new Refusal(error)
}

/** Makes the methods by name. Each refuses by throwing `Refusal`, and adds the access tokens that it issues. */
export const make = (
  workspace: Workspace,
  settings: () => Settings,
  accessTokens: Set<string>,
  fileUrl: (file: File) => string
): Record<string, (args: Request["args"]) => JsonObject> => {
  const searches = new Map<string, ReadonlyArray<Posted>>()
  let issued = 0

  const limitOf = (args: Request["args"], fallback: number) => {
    const limit = args.limit === undefined ? fallback : Number(args.limit)
    if (!Number.isInteger(limit) || limit < 1 || limit > 999) refuse("invalid_limit")
    return Math.min(limit, settings().maxLimit)
  }
  const cursorOf = (next: string) => Buffer.from(`${settings().cursorEpoch}:next:${next}`).toString("base64")
  const fromCursor = (cursor: string | undefined): string | undefined => {
    if (cursor === undefined || cursor === "") return undefined
    const [epoch, word, next] = Buffer.from(cursor, "base64").toString().split(":")
    return Number(epoch) !== settings().cursorEpoch || word !== "next" || next === undefined
      ? refuse("invalid_cursor")
      : next
  }
  const metadata = (next: string | undefined) => ({
    response_metadata: { next_cursor: next === undefined ? "" : cursorOf(next) }
  })

  const moreFields = (next: string | undefined) => {
    const { following } = settings()
    return {
      ...(following === "cursor" ? {} : { has_more: next !== undefined || following === "endless" }),
      ...metadata(following === "both" || following === "cursor" ? next : undefined)
    }
  }

  const readable = (args: Request["args"]): Channel => {
    const channel = workspace.channels.get(args.channel ?? "") ?? refuse("channel_not_found")
    if (settings().missing.has(channel.kind)) refuse("missing_scope")
    if (channel.closed !== undefined) refuse(channel.closed)
    if (!channel.member && (settings().bot || channel.kind !== "public_channel")) refuse("not_in_channel")
    return channel
  }

  const inSpan = (args: Request["args"]) => {
    const inclusive = args.inclusive === "true" || args.inclusive === "1"
    return (message: Message) =>
      (args.oldest === undefined || (inclusive ? message.ts >= args.oldest : message.ts > args.oldest)) &&
      (args.latest === undefined || (inclusive ? message.ts <= args.latest : message.ts < args.latest))
  }

  /** Returns the messages that a search finds, newest first. */
  const found = (query: string): ReadonlyArray<Posted> => {
    const after = /after:(\d{4}-\d\d-\d\d)/.exec(query)?.[1] ?? refuse("no_query")
    const from = Date.parse(after) / 1000 + 86_400
    const to = workspace.now - settings().search.lag
    const seen = new Map<string, number>()
    return workspace.recent
      .filter(({ message }) => Number(message.ts) >= from && Number(message.ts) <= to && message.user !== "B00000001")
      .filter(({ channel, message }) => !message.tombstone && workspace.find(channel.id, message.ts) !== undefined)
      .toSorted((one, other) => (one.message.ts < other.message.ts ? 1 : -1))
      .filter(({ channel, message }) => {
        const place = `${channel.id}/${message.threadTs ?? ""}`
        const isClose = (seen.get(place) ?? Infinity) - Number(message.ts) < 5
        if (!isClose) seen.set(place, Number(message.ts))
        return !isClose
      })
  }

  return {
    "auth.test": () => ({
      url: "https://example.slack.com/",
      team: "Example",
      user: "alice",
      team_id: "T00000001",
      user_id: "U00000001"
    }),
    "conversations.list": (args) => {
      const kinds = (args.types ?? "public_channel").split(",")
      if (kinds.some((kind) => settings().missing.has(kind as Kind))) refuse("missing_scope")
      const all = Array.from(workspace.channels.values()).filter(
        (channel) => kinds.includes(channel.kind) && (args.exclude_archived !== "true" || !channel.archived)
      )
      const limit = limitOf(args, 100)
      const start = Number(fromCursor(args.cursor) ?? 0)
      return {
        channels: all.slice(start, start + limit).map((channel) => workspace.channelJson(channel)),
        ...metadata(start + limit < all.length ? String(start + limit) : undefined)
      }
    },
    "conversations.info": (args) => ({ channel: workspace.channelJson(readable(args)) }),
    "conversations.history": (args) => {
      const channel = readable(args)
      const limit = limitOf(args, 100)
      const span = inSpan(args)
      const from = fromCursor(args.cursor)
      const { hiddenBefore } = settings()
      const shown: Array<Message> = []
      const broadcasts = Array.from(channel.threads.values()).flatMap((replies) =>
        replies.filter((reply) => reply.broadcast)
      )
      const list =
        broadcasts.length === 0
          ? channel.parents
          : [...channel.parents, ...broadcasts].sort((a, b) => (a.ts < b.ts ? -1 : 1))
      const isNearest = settings().isNearestFirst && args.oldest !== undefined && args.latest === undefined
      const nearest = isNearest ? position(list, args.oldest ?? "") + limit : list.length
      const end = args.latest === undefined ? Math.min(nearest, list.length) : position(list, args.latest) + 1
      let index = Math.min(end, from === undefined ? list.length : position(list, from) + 1, list.length) - 1
      let next: string | undefined
      for (; index >= 0; index--) {
        const message = list[index]
        if (message === undefined || !span(message)) {
          if (message !== undefined && args.oldest !== undefined && message.ts < args.oldest) break
          continue
        }
        if (hiddenBefore !== undefined && message.ts < hiddenBefore) break
        if (shown.length === limit) {
          next = message.ts
          break
        }
        shown.push(message)
      }
      return {
        messages: shown.map((message) => workspace.messageJson(channel, message, fileUrl, true)),
        ...(hiddenBefore === undefined || !settings().isFlagged ? {} : { is_limited: true }),
        ...moreFields(next)
      }
    },
    "conversations.replies": (args) => {
      const channel = readable(args)
      const limit = limitOf(args, 999)
      const found = workspace.find(channel.id, args.ts ?? "") ?? refuse("thread_not_found")
      if ((found.message.threadTs ?? found.message.ts) < (settings().hiddenBefore ?? "")) refuse("thread_not_found")
      const show = (message: Message) => workspace.messageJson(channel, message, fileUrl, false)
      // With the `ts` of a reply, the response has only that reply.
      if (found.message.threadTs !== undefined) return { messages: [show(found.message)], has_more: false }
      const from = fromCursor(args.cursor)
      const replies = (channel.threads.get(found.message.ts) ?? []).filter(inSpan(args))
      const start = from === undefined ? 0 : position(replies, from)
      const page = replies.slice(start, start + limit - (from === undefined ? 1 : 0))
      const next = replies[start + page.length]
      return {
        messages: [...(from === undefined ? [found.message] : []), ...page].map(show),
        ...moreFields(next?.ts)
      }
    },
    "users.list": (args) => {
      const limit = limitOf(args, 100)
      const all = Array.from(workspace.users.values())
      const start = Number(fromCursor(args.cursor) ?? 0)
      return {
        members: all.slice(start, start + limit).map((user) => workspace.userJson(user)),
        ...metadata(start + limit < all.length ? String(start + limit) : undefined)
      }
    },
    "users.info": (args) => ({
      user: workspace.userJson(workspace.users.get(args.user ?? "") ?? refuse("user_not_found"))
    }),
    "search.messages": (args) => {
      if (!settings().search.hasScope) refuse("missing_scope")
      const [count, page] = [Number(args.count ?? 20), Number(args.page ?? 1)]
      const matches = searches.get(args.query ?? "") ?? found(args.query ?? "")
      searches.set(args.query ?? "", matches)
      const pages = Math.ceil(matches.length / count)
      const given = page > 100 ? 1 : page
      return {
        query: args.query ?? "",
        messages: {
          total: matches.length,
          paging: { count, total: matches.length, page: given, pages },
          matches: matches.slice((given - 1) * count, given * count).map(({ channel, message }) => ({
            iid: `${channel.id}-${message.ts}`,
            channel: { id: channel.id, name: channel.name },
            type: "message",
            user: message.user,
            ts: message.ts,
            text: message.text,
            permalink: `https://example.slack.com/archives/${channel.id}/p${message.ts.replace(".", "")}${
              message.threadTs === undefined ? "" : `?thread_ts=${message.threadTs}`
            }`
          }))
        }
      }
    },
    "oauth.v2.access": (args) => {
      const { rotation } = settings()
      if (args.grant_type !== "refresh_token") refuse("invalid_grant_type")
      if (args.client_secret !== rotation.clientSecret) refuse("bad_client_secret")
      if (args.refresh_token !== rotation.refreshToken) refuse("invalid_refresh_token")
      issued += 1
      rotation.refreshes.push(rotation.refreshToken)
      rotation.refreshToken = `xoxe-1-refresh-${issued}`
      const accessToken = `xoxe.xoxp-1-access-${issued}`
      accessTokens.add(accessToken)
      return {
        access_token: accessToken,
        refresh_token: rotation.refreshToken,
        expires_in: 43_200,
        token_type: "user",
        team: { id: "T00000001" }
      }
    },
    "files.info": (args) => {
      const file = workspace.files.get(args.file ?? "") ?? refuse("file_not_found")
      if (file.withheld === "access_denied") refuse("access_denied")
      return file.deleted ? refuse("file_deleted") : { file: workspace.fileJson(file, fileUrl) }
    }
  }
}
