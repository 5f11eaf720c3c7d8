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
 * - responses with `has_more` or a cursor alone: both are optional
 *   (https://docs.slack.dev/tools/node-slack-sdk/reference/web-api/type-aliases/ConversationsHistoryResponse);
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
import * as Methods from "./slack/Methods.ts"
import { Refusal, refuse, type Request, type Settings } from "./slack/Methods.ts"
import { Workspace } from "./slack/Workspace.ts"
import type { File, JsonObject } from "./slack/WorkspaceObjects.ts"

/** A fault that replaces the response to the next request. */
export type Fault =
  | { readonly status: number; readonly retryAfter?: string }
  | { readonly error: string }
  | "reset"
  | "not JSON"
  | "nested JSON"
  | "no answer"

export interface SlackServer extends Settings {
  /** The value for `slackApiUrl`. */
  readonly url: string
  readonly token: string
  readonly workspace: Workspace
  /** Requests since the last `forget`, including refused requests. Files are counted as `files.download`. */
  readonly requests: Array<Request>
  readonly count: (method?: string) => number
  readonly forget: () => void
  /** Orders these faults for the next requests of this method, one after the other. */
  readonly fail: (method: string, ...faults: ReadonlyArray<Fault>) => void
  /** Removes the remaining faults. */
  readonly heal: () => void
  /** Called before the response to a request, for changes that people make meanwhile. */
  onRequest: (request: Request) => void
  /** The number of file requests that the client aborted before the response. */
  abortedFiles: number
  /** Called when a client aborts a request before the response. */
  onAbandoned: () => void
  /** The error code for every request from now on, such as `token_revoked`; undefined to accept requests again. */
  refuseAll: string | undefined
  /** A user's token for this workspace. The other token is a bot's. */
  readonly userToken: string
  /**
   * The origins to which a file request is redirected, in order, before the file is sent; "" stands for this server.
   */
  fileRedirects: ReadonlyArray<string>
  /** Requests for files, with their authorization headers. */
  readonly fileRequests: Array<{ readonly path: string; readonly authorization: string | undefined }>
  /** Makes calls of the API without a socket. Files, and calls for which a fault was ordered, use sockets. */
  readonly fetch: typeof globalThis.fetch
  /**
   * For calls without a socket: returns the seconds that a call of this method has to wait; undefined if it may
   * proceed.
   */
  limit: (method: string) => number | undefined
  /** Expires the access tokens that were issued so far. */
  readonly expireTokens: () => void
}

interface Options {
  /** The time at which the workspace begins, in seconds since 1970. */
  readonly now?: number
}

export const make = (options: Options = {}): Effect.Effect<SlackServer, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly server: SlackServer; readonly http: NodeHttp.Server }>((resume) => {
      const state = build(options)
      // On a busy machine an idle socket might be closed just as the next request is sent on it.
      const http = NodeHttp.createServer({ keepAliveTimeout: 0 }, (request, response) =>
        state.handle(request, response)
      )
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

/** A header of requests that are recorded before they are sent. */
const recorded = "x-recorded"

const build = (options: Options) => {
  const workspace = new Workspace(options.now ?? 1_700_000_000)
  const faults = new Map<string, Array<Fault>>()
  const accessTokens = new Set<string>()
  const requests: Array<Request> = []
  const token = "xoxb-stand-in-token"
  const userToken = "xoxp-stand-in-token"
  let origin = ""
  let server: SlackServer

  const fileUrl = (file: File) => `${origin}/files-pri/T00000001-${file.id}/download/${encodeURIComponent(file.name)}`

  const methods = Methods.make(workspace, () => server, accessTokens, fileUrl)

  const answer = (response: NodeHttp.ServerResponse, body: JsonObject) => {
    response.writeHead(200, { "content-type": "application/json; charset=utf-8" })
    response.end(JSON.stringify(body))
  }

  /** Returns the response to a call of the API. */
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

  /** Returns true if a fault has replaced the response. */
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

  const record = (method: string, args: Request["args"]) => {
    requests.push({ method, args })
    server.onRequest({ method, args })
  }

  const apiCall = (
    request: NodeHttp.IncomingMessage,
    response: NodeHttp.ServerResponse,
    method: string,
    body: string
  ) => {
    const args = Object.fromEntries(new URLSearchParams(body))
    if (request.headers[recorded] === undefined) record(method, args)
    if (faulty(method, response)) return
    answer(response, called(method, args, request.headers.authorization))
  }

  const inProcess: typeof globalThis.fetch = async (url, init) => {
    const path = new URL(String(url)).pathname
    const method = path.replace(/^\/api\//, "")
    if (method === path) return fetch(url, init)
    const args = Object.fromEntries(new URLSearchParams(String(init?.body ?? "")))
    const headers = new Headers(init?.headers)
    record(method, args)
    if ((faults.get(method) ?? []).length > 0) {
      headers.set(recorded, "true")
      return fetch(url, { ...init, headers })
    }
    const retryAfter = server.limit(method)
    if (retryAfter !== undefined) {
      const waiting = { "retry-after": String(retryAfter), "content-type": "application/json" }
      return new Response('{"ok":false,"error":"ratelimited"}', { status: 429, headers: waiting })
    }
    const body = called(method, args, headers.get("authorization") ?? undefined)
    return new Response(JSON.stringify(body), { headers: { "content-type": "application/json" } })
  }

  /** Sends a file after the redirects of `fileRedirects`; `hop` is the number of redirects so far. */
  const download = (request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse, id: string, hop: number) => {
    const path = request.url ?? ""
    server.fileRequests.push({ path, authorization: request.headers.authorization })
    const next = server.fileRedirects[hop]
    if (next !== undefined) {
      const location = `${next === "" ? origin : next}/files-pri/T00000001-${id}/download/file?hop=${hop + 1}`
      return void response.writeHead(302, { location }).end(`<a href="${location}">Found</a>.`)
    }
    requests.push({ method: "files.download", args: { file: id } })
    response.on("close", () => void (server.abortedFiles += response.writableFinished ? 0 : 1))
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
        abortedFiles: 0,
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
        following: "both",
        cursorEpoch: 0,
        fileRedirects: [],
        fileRequests: [],
        rotation: { refreshToken: "xoxe-1-first", clientSecret: "s3cret", refreshes: [] },
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
