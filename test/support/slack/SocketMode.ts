/**
 * A stand-in for Slack's Socket Mode on loopback. Its behaviours, each with its source:
 *
 * - `apps.connections.open` with an app-level token gives a WebSocket URL for one use; `hello` greets, each envelope is
 *   acknowledged by its id, and `disconnect` comes before a socket is closed
 *   (https://docs.slack.dev/apis/events-api/using-socket-mode);
 * - an event goes to one of the app's sockets, of which there are at most 10 (the same page);
 * - an envelope may be sent more than once (https://docs.slack.dev/apis/events-api, retries).
 */
import { WebSocketServer, type WebSocket } from "@effect/platform-node/NodeWS"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as NodeHttp from "node:http"
import type { SlackServer } from "../SlackServer.ts"
import type { JsonObject } from "./WorkspaceObjects.ts"

export const appToken = "xapp-1-A00000001-stand-in"

export interface SocketMode {
  /**
   * The value for `slackApiUrl`: answers `apps.connections.open`, and forwards every other call to the Slack server.
   */
  readonly url: string
  readonly sockets: Set<WebSocket>
  /** Returns the number of sockets that were opened so far. */
  readonly opened: () => number
  /** Ids of envelopes, in the order of their acknowledgement. */
  readonly acknowledged: Array<string>
  /** Sends a text frame unchanged to every socket. */
  readonly raw: (text: string) => void
  /** Asks the clients to reconnect, as Slack does every few hours. */
  readonly refresh: () => void
  /** The error code for `apps.connections.open` from now on; undefined to accept it. */
  refuse: string | undefined
  /** How many times each event is sent. */
  copies: number
}

const Acknowledgement = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Struct({ envelope_id: Schema.String })))

/** Returns the payload that the Events API sends for an event of the workspace. */
export const callbackOf = (event: JsonObject): JsonObject => ({
  token: "deprecated",
  team_id: "T00000001",
  api_app_id: "A00000001",
  event,
  type: "event_callback",
  event_id: "Ev00000001",
  event_time: 1_700_000_000,
  authorizations: [{ enterprise_id: null, team_id: "T00000001", user_id: "U00000001", is_bot: false }],
  is_ext_shared_channel: false
})

/** Starts Socket Mode for the events of this server's workspace. */
export const make = (server: SlackServer): Effect.Effect<SocketMode, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly mode: SocketMode; readonly close: () => void }>((resume) => {
      const sockets = new Set<WebSocket>()
      const tickets = new Set<string>()
      const acknowledged: Array<string> = []
      let opened = 0
      let envelopes = 0
      let origin = ""
      const sending = new WebSocketServer({ noServer: true })

      const answer = (response: NodeHttp.ServerResponse, body: JsonObject) =>
        void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body))

      const open = (authorization: string | undefined): JsonObject => {
        if (authorization !== `Bearer ${appToken}`) return { ok: false, error: "invalid_auth" }
        if (mode.refuse !== undefined) return { ok: false, error: mode.refuse }
        const ticket = `ticket-${tickets.size + opened}`
        tickets.add(ticket)
        return { ok: true, url: `${origin.replace("http", "ws")}/link/?ticket=${ticket}&app_id=A00000001` }
      }

      const pass = (request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse) => {
        const target = new URL(request.url ?? "/", server.url)
        const onward = NodeHttp.request(
          target,
          { method: request.method ?? "POST", headers: { ...request.headers, host: target.host } },
          (answered) => {
            response.writeHead(answered.statusCode ?? 500, answered.headers)
            answered.pipe(response)
          }
        )
        onward.on("error", () => response.destroy())
        request.pipe(onward)
      }

      const http = NodeHttp.createServer({ keepAliveTimeout: 0 }, (request, response) =>
        request.url === "/api/apps.connections.open"
          ? answer(response, open(request.headers.authorization))
          : pass(request, response)
      )
      http.on("upgrade", (request, socket, head) => {
        const ticket = new URL(request.url ?? "/", origin).searchParams.get("ticket") ?? ""
        if (!tickets.delete(ticket) || sockets.size >= 10) return void socket.destroy()
        sending.handleUpgrade(request, socket, head, (connected) => {
          opened += 1
          sockets.add(connected)
          connected.on("close", () => sockets.delete(connected))
          connected.on("message", (data) => {
            const text = Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as ArrayBuffer)
            const read = Acknowledgement(text.toString())
            if (read._tag === "Some") acknowledged.push(read.value.envelope_id)
          })
          connected.send(JSON.stringify({ type: "hello", num_connections: sockets.size, debug_info: {} }))
        })
      })

      const mode: SocketMode = {
        get url() {
          return `${origin}/api/`
        },
        sockets,
        opened: () => opened,
        acknowledged,
        raw: (text) => {
          for (const socket of sockets) socket.send(text)
        },
        refresh: () => {
          for (const socket of sockets)
            socket.send('{"type":"disconnect","reason":"refresh_requested","debug_info":{}}')
        },
        refuse: undefined,
        copies: 1
      }

      server.workspace.onEvent = (event) => {
        for (let copy = 0; copy < mode.copies; copy += 1) {
          const all = [...sockets]
          envelopes += 1
          const envelope = {
            envelope_id: `envelope-${envelopes}`,
            type: "events_api",
            accepts_response_payload: false,
            retry_attempt: copy,
            retry_reason: copy === 0 ? "" : "timeout",
            payload: callbackOf(event)
          }
          all[envelopes % Math.max(1, all.length)]?.send(JSON.stringify(envelope))
        }
      }

      const close = () => {
        for (const socket of sockets) socket.terminate()
        sending.close()
        http.closeAllConnections()
        http.close()
      }
      http.listen(0, "127.0.0.1", () => {
        const address = http.address()
        origin = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
        resume(Effect.succeed({ mode, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ mode }) => mode))
