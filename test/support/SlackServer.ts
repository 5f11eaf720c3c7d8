/**
 * A stand-in for Slack's Web API on loopback. Its behaviours, each with its source:
 *
 * - cursors, `oldest`, `latest`, `inclusive` and `limit`; parents only and newest first in history; the parent first,
 *   then replies, oldest first, in replies (https://docs.slack.dev/reference/methods/conversations.history, .replies);
 * - refusals as `ok: false` with status 200; `Retry-After` with 429 (https://docs.slack.dev/apis/web-api/rate-limits);
 * - files behind the token; a page for signing in, HTML with status 200, where it is missing (bolt-js#2585,
 *   deno-slack-sdk#285); redirects of Enterprise Grid to files-origin.slack.com (hermes-agent#114483, goclaw#233);
 * - a free plan, which neither lists nor finds what is older than 90 days (slackdump#190), with or without the flag
 *   `is_limited`: the method's page has no such field;
 * - `oldest` without `latest`, which an old answer took for "the oldest first" (slackhq/slack-api-docs#4);
 * - canvases that are HTML (slackdump#401, agent-slack#19);
 * - files of Slack Connect that messages name by their id only (https://docs.slack.dev/reference/objects/file-object);
 * - updates that set no `edited`: unfurls, `blocks`, attachments
 *   (https://docs.slack.dev/reference/methods/chat.update);
 * - search (https://docs.slack.dev/reference/methods/search.messages): a user's token with `search:read`; `count` of at
 *   most 100 and `page`; without bots' messages (python-slack-sdk#1419); with messages of public channels that the user
 *   did not join, `thread_ts` in the link to a reply, `after:` that leaves its day out, page 101 that is page 1 again,
 *   and answers that are cached by the query's text (msgvault#494, Memex#37); of messages close to each other only one
 *   (the method's page); an index that lags by minutes (java-slack-sdk#798);
 * - token rotation: access tokens expire, and each refresh replaces both tokens
 *   (https://docs.slack.dev/authentication/using-token-rotation).
 */
import * as NodeHttp from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import {
  type Channel,
  type File,
  type JsonObject,
  type Kind,
  type Message,
  position,
  type Posted,
  Workspace
} from "./slack/Workspace.ts"

/** A fault that the next request meets instead of an answer. */
export type Fault =
  | { readonly status: number; readonly retryAfter?: string }
  | { readonly error: string }
  | "reset"
  | "not JSON"
  | "nested JSON"
  | "no answer"

interface Request {
  readonly method: string
  readonly args: Readonly<Record<string, string>>
}

export interface SlackServer {
  /** For `slackApiUrl`. */
  readonly url: string
  readonly token: string
  readonly workspace: Workspace
  /** Requests since the last `forget`, refused ones too. Files are counted as `files.download`. */
  readonly requests: Array<Request>
  readonly count: (method?: string) => number
  readonly forget: () => void
  /** The next request of this method meets these, one after the other. */
  readonly fail: (method: string, ...faults: ReadonlyArray<Fault>) => void
  /** Forgets the faults that are still to come. */
  readonly heal: () => void
  /** Called before a request is answered: what people do meanwhile. */
  onRequest: (request: Request) => void
  /** Called when a request is given up before it was answered. */
  onAbandoned: () => void
  /** True for a bot's token, which reads only where it is a member. */
  bot: boolean
  /** Slack's word for every request from now on, as `token_revoked`; undefined takes it back. */
  refuseAll: string | undefined
  /** Kinds of conversations whose scope the token lacks. */
  readonly missing: Set<Kind>
  /** A user's token for this workspace. The other one is a bot's. */
  readonly userToken: string
  /** Search: whether the user's token has the scope, and seconds that its index is behind. */
  readonly search: { hasScope: boolean; lag: number }
  /** The most objects that an answer has, whatever is asked for. */
  maxLimit: number
  /** A free plan: parents older than this are there, but not shown. `isFlagged`: answers say `is_limited`. */
  hiddenBefore: string | undefined
  isFlagged: boolean
  /** With `oldest` alone, an answer has the messages that are nearest to it. */
  isNearestFirst: boolean
  /** Cursors made before this was raised are forgotten. */
  cursorEpoch: number
  /** Where files are redirected to, one after the other, before they are given: origins, or "" for this server's. */
  fileRedirects: ReadonlyArray<string>
  /** Requests for files, with what they carried as their authorization. */
  readonly fileRequests: Array<{ readonly path: string; readonly authorization: string | undefined }>
  /** Tokens of an app with token rotation: the refresh token to use next, and access tokens by their validity. */
  readonly rotation: { refreshToken: string; clientSecret: string | undefined; readonly refreshes: Array<string> }
  /** True lets `open` in slack/Model.ts make its calls without sockets, by `fetch`. */
  withoutSockets: boolean
  readonly fetch: typeof globalThis.fetch
  /** Seconds that a call of this method has to wait, for calls without a socket; undefined lets it through. */
  limit: (method: string) => number | undefined
  /** Slack no longer takes the access tokens that it gave so far. */
  readonly expireTokens: () => void
}

interface Options {
  /** Seconds since 1970 at which the workspace begins. */
  readonly now?: number
}

class Refusal extends Error {}
const refuse = (error: string): never => {
  throw new Refusal(error)
}

export const make = (options: Options = {}): Effect.Effect<SlackServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: SlackServer; readonly http: NodeHttp.Server }>((resume) => {
      const state = build(options)
      const http = NodeHttp.createServer((request, response) => state.handle(request, response))
      // On a busy machine an idle socket would be closed just as the next request is sent on it.
      http.keepAliveTimeout = 0
      http.listen(0, "127.0.0.1", () => {
        const address = http.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        state.listening(`http://127.0.0.1:${port}`)
        resume(Effect.succeed({ server: state.server(), http }))
      })
    }),
    ({ http }) =>
      Effect.callback<void>((resume) => {
        http.closeAllConnections()
        http.close(() => resume(Effect.void))
      })
  ).pipe(Effect.map(({ server }) => server))

const build = (options: Options) => {
  const workspace = new Workspace(options.now ?? 1_700_000_000)
  const faults = new Map<string, Array<Fault>>()
  const accessTokens = new Set<string>()
  let issued = 0
  const requests: Array<Request> = []
  const token = "xoxb-stand-in-token"
  const userToken = "xoxp-stand-in-token"
  const searches = new Map<string, ReadonlyArray<Posted>>()
  let origin = ""
  let server: SlackServer

  const fileUrl = (file: File) => `${origin}/files-pri/T00000001-${file.id}/download/${encodeURIComponent(file.name)}`

  const limitOf = (args: Request["args"], fallback: number) => {
    const limit = args.limit === undefined ? fallback : Number(args.limit)
    if (!Number.isInteger(limit) || limit < 1 || limit > 999) refuse("invalid_limit")
    return Math.min(limit, server.maxLimit)
  }
  const cursorOf = (next: string) => Buffer.from(`${server.cursorEpoch}:next:${next}`).toString("base64")
  const fromCursor = (cursor: string | undefined): string | undefined => {
    if (cursor === undefined || cursor === "") return undefined
    const [epoch, word, next] = Buffer.from(cursor, "base64").toString().split(":")
    return Number(epoch) !== server.cursorEpoch || word !== "next" || next === undefined
      ? refuse("invalid_cursor")
      : next
  }
  const metadata = (next: string | undefined) => ({
    response_metadata: { next_cursor: next === undefined ? "" : cursorOf(next) }
  })

  const readable = (args: Request["args"]): Channel => {
    const channel = workspace.channels.get(args.channel ?? "") ?? refuse("channel_not_found")
    if (server.missing.has(channel.kind)) refuse("missing_scope")
    if (channel.closed !== undefined) refuse(channel.closed)
    if (!channel.member && (server.bot || channel.kind !== "public_channel")) refuse("not_in_channel")
    return channel
  }

  const inSpan = (args: Request["args"]) => {
    const inclusive = args.inclusive === "true" || args.inclusive === "1"
    return (message: Message) =>
      (args.oldest === undefined || (inclusive ? message.ts >= args.oldest : message.ts > args.oldest)) &&
      (args.latest === undefined || (inclusive ? message.ts <= args.latest : message.ts < args.latest))
  }

  /** The messages that a search finds, newest first. */
  const found = (query: string): ReadonlyArray<Posted> => {
    const after = /after:(\d{4}-\d\d-\d\d)/.exec(query)?.[1] ?? refuse("no_query")
    const from = Date.parse(after) / 1000 + 86_400
    const to = workspace.now - server.search.lag
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

  const methods: Record<string, (args: Request["args"]) => JsonObject> = {
    "auth.test": () => ({
      url: "https://example.slack.com/",
      team: "Example",
      user: "alice",
      team_id: "T00000001",
      user_id: "U00000001"
    }),
    "conversations.list": (args) => {
      const kinds = (args.types ?? "public_channel").split(",")
      if (kinds.some((kind) => server.missing.has(kind as Kind))) refuse("missing_scope")
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
      const { hiddenBefore } = server
      const shown: Array<Message> = []
      const broadcasts = Array.from(channel.threads.values()).flatMap((replies) =>
        replies.filter((reply) => reply.broadcast)
      )
      const list =
        broadcasts.length === 0
          ? channel.parents
          : [...channel.parents, ...broadcasts].sort((a, b) => (a.ts < b.ts ? -1 : 1))
      const isNearest = server.isNearestFirst && args.oldest !== undefined && args.latest === undefined
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
        has_more: next !== undefined,
        ...(hiddenBefore === undefined || !server.isFlagged ? {} : { is_limited: true }),
        ...metadata(next)
      }
    },
    "conversations.replies": (args) => {
      const channel = readable(args)
      const limit = limitOf(args, 999)
      const found = workspace.find(channel.id, args.ts ?? "") ?? refuse("thread_not_found")
      if ((found.message.threadTs ?? found.message.ts) < (server.hiddenBefore ?? "")) refuse("thread_not_found")
      const show = (message: Message) => workspace.messageJson(channel, message, fileUrl, false)
      // The `ts` of a reply gives that reply alone.
      if (found.message.threadTs !== undefined) return { messages: [show(found.message)], has_more: false }
      const from = fromCursor(args.cursor)
      const replies = (channel.threads.get(found.message.ts) ?? []).filter(inSpan(args))
      const start = from === undefined ? 0 : position(replies, from)
      const page = replies.slice(start, start + limit - (from === undefined ? 1 : 0))
      const next = replies[start + page.length]
      return {
        messages: [...(from === undefined ? [found.message] : []), ...page].map(show),
        has_more: next !== undefined,
        ...metadata(next?.ts)
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
      if (!server.search.hasScope) refuse("missing_scope")
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
      const { rotation } = server
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

  const answer = (response: NodeHttp.ServerResponse, body: JsonObject) => {
    response.writeHead(200, { "content-type": "application/json; charset=utf-8" })
    response.end(JSON.stringify(body))
  }

  /** The answer to a call of the API. */
  const called = (method: string, args: Request["args"], authorization: string | undefined): JsonObject => {
    const handler = methods[method]
    try {
      if (method !== "oauth.v2.access" && !authorized(authorization)) {
        refuse(authorization?.startsWith("Bearer xoxe.") === true ? "token_expired" : "invalid_auth")
      }
      if (server.refuseAll !== undefined) refuse(server.refuseAll)
      if (method === "search.messages" && authorization === `Bearer ${token}`) refuse("not_allowed_token_type")
      return { ok: true, ...(handler === undefined ? refuse("unknown_method") : handler(args)) }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return { ok: false, error: error.message }
    }
  }

  /** True if a fault took the answer's place. */
  const faulty = (method: string, response: NodeHttp.ServerResponse): boolean => {
    const fault = faults.get(method)?.shift()
    if (fault === undefined) return false
    if (fault === "reset") response.destroy()
    else if (fault === "not JSON")
      response.writeHead(200, { "content-type": "application/json" }).end('{"ok": true, "mess')
    else if (fault === "nested JSON")
      response.end(`{"ok":true,"messages":${"[".repeat(500_000)}${"]".repeat(500_000)}}`)
    else if (fault === "no answer") response.on("close", () => server.onAbandoned())
    else if ("error" in fault) answer(response, { ok: false, error: fault.error })
    else {
      const headers = fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter }
      response.writeHead(fault.status, headers).end(fault.status === 429 ? '{"ok":false,"error":"ratelimited"}' : "no")
    }
    return true
  }

  const authorized = (authorization: string | undefined) => {
    const given = authorization?.replace("Bearer ", "") ?? ""
    return given === token || given === userToken || accessTokens.has(given)
  }

  const apiCall = (
    request: NodeHttp.IncomingMessage,
    response: NodeHttp.ServerResponse,
    method: string,
    body: string
  ) => {
    const args = Object.fromEntries(new URLSearchParams(body))
    requests.push({ method, args })
    server.onRequest({ method, args })
    if (faulty(method, response)) return
    answer(response, called(method, args, request.headers.authorization))
  }

  /** `fetch` without a socket, for thousands of calls: the API only, without faults. */
  const inProcess: typeof globalThis.fetch = async (url, init) => {
    const method = new URL(String(url)).pathname.replace(/^\/api\//, "")
    const args = Object.fromEntries(new URLSearchParams(String(init?.body ?? "")))
    requests.push({ method, args })
    server.onRequest({ method, args })
    const retryAfter = server.limit(method)
    if (retryAfter !== undefined) {
      const headers = { "retry-after": String(retryAfter), "content-type": "application/json" }
      return new Response('{"ok":false,"error":"ratelimited"}', { status: 429, headers })
    }
    const body = called(method, args, new Headers(init?.headers).get("authorization") ?? undefined)
    return new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } })
  }

  /** Gives a file, after as many redirects as there are `fileRedirects`: `hop` says how many were followed. */
  const download = (request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse, id: string, hop: number) => {
    const path = request.url ?? ""
    server.fileRequests.push({ path, authorization: request.headers.authorization })
    const next = server.fileRedirects[hop]
    if (next !== undefined) {
      const location = `${next === "" ? origin : next}/files-pri/T00000001-${id}/download/file?hop=${hop + 1}`
      return void response.writeHead(302, { location }).end(`<a href="${location}">Found</a>.`)
    }
    requests.push({ method: "files.download", args: { file: id } })
    if (faulty("files.download", response)) return
    if (!authorized(request.headers.authorization))
      return void response.writeHead(302, { location: `${origin}/?redir=${path}` }).end()
    const file = workspace.files.get(id)
    if (file === undefined || file.deleted) return void response.writeHead(404).end()
    const type = file.servedAs ?? file.mimetype
    response.writeHead(200, { "content-type": type, "content-length": file.served.length }).end(file.served)
  }

  return {
    listening: (at: string) => {
      origin = at
    },
    server: (): SlackServer => {
      server = {
        url: `${origin}/api/`,
        token,
        workspace,
        requests,
        count: (method) => requests.filter((request) => method === undefined || request.method === method).length,
        forget: () => void requests.splice(0),
        fail: (method, ...more) => void faults.set(method, [...(faults.get(method) ?? []), ...more]),
        heal: () => faults.clear(),
        onRequest: () => {},
        onAbandoned: () => {},
        bot: false,
        refuseAll: undefined,
        missing: new Set(),
        userToken,
        search: { hasScope: true, lag: 0 },
        maxLimit: 999,
        hiddenBefore: undefined,
        isFlagged: true,
        isNearestFirst: false,
        cursorEpoch: 0,
        fileRedirects: [],
        fileRequests: [],
        rotation: { refreshToken: "xoxe-1-first", clientSecret: "s3cret", refreshes: [] },
        withoutSockets: false,
        fetch: inProcess,
        limit: () => undefined,
        expireTokens: () => accessTokens.clear()
      }
      return server
    },
    handle: (request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse) => {
      const { pathname: path, searchParams } = new URL(request.url ?? "/", origin)
      const file = /^\/files-pri\/T\d+-(F\d+)\//.exec(path)?.[1]
      if (file !== undefined) return download(request, response, file, Number(searchParams.get("hop") ?? 0))
      if (path === "/") {
        response.writeHead(200, { "content-type": "text/html; charset=utf-8" })
        return void response.end("<!DOCTYPE html><html><title>Sign in | Slack</title></html>")
      }
      const parts: Array<Buffer> = []
      request.on("data", (part: Buffer) => parts.push(part))
      request.on("end", () => apiCall(request, response, path.replace(/^\/api\//, ""), Buffer.concat(parts).toString()))
    }
  }
}
