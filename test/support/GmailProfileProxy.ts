/**
 * A loopback proxy that adds `getProfile` to an emulated Gmail that lacks it (npm's `emulate`). It passes every other
 * request on. The history id of a profile is that of the newest message or, if later, that of the history after it.
 */
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

interface Messages {
  readonly messages?: ReadonlyArray<{ readonly id: string }>
  readonly resultSizeEstimate: number
}

export interface Proxy {
  readonly url: string
  readonly close: () => Promise<void>
}

/** Starts a proxy in front of the emulator at this URL. */
export const start = async (emulator: string): Promise<Proxy> => {
  const profile = async (authorization: string) => {
    const get = async <A>(path: string): Promise<A | undefined> => {
      const response = await fetch(new URL(path, emulator), { headers: { authorization } })
      return response.ok ? ((await response.json()) as A) : undefined
    }
    const mailbox = "/gmail/v1/users/me"
    const user = await get<{ readonly email: string }>("/oauth2/v2/userinfo")
    const list = await get<Messages>(`${mailbox}/messages?maxResults=1&includeSpamTrash=true`)
    if (user === undefined || list === undefined) return undefined
    const newest = list.messages?.[0]?.id
    const message =
      newest === undefined
        ? undefined
        : await get<{ readonly historyId: string }>(`${mailbox}/messages/${newest}?format=minimal`)
    const from = message?.historyId ?? "1"
    const history = await get<{ readonly historyId: string }>(`${mailbox}/history?startHistoryId=${from}&maxResults=1`)
    const later = history !== undefined && BigInt(history.historyId) > BigInt(from) ? history.historyId : from
    return { emailAddress: user.email, messagesTotal: list.resultSizeEstimate, threadsTotal: 0, historyId: later }
  }

  const server = Http.createServer((request, response) => {
    if (request.method === "GET" && /^\/gmail\/v1\/users\/me\/profile(\?|$)/.test(request.url ?? "")) {
      void profile(request.headers.authorization ?? "").then((found) => {
        response.writeHead(found === undefined ? 401 : 200, { "content-type": "application/json" })
        response.end(JSON.stringify(found ?? { error: { code: 401, message: "Invalid Credentials" } }))
      })
      return
    }
    const { host: _host, ...headers } = request.headers
    const onward = Http.request(
      new URL(request.url ?? "/", emulator),
      { method: request.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      }
    )
    onward.on("error", () => response.destroy())
    request.pipe(onward)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
