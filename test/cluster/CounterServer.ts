/** The source of the integration `counter`, with a record of its requests. */
import * as Effect from "effect/Effect"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"

export interface Asked {
  readonly at: number
  readonly account: string
  readonly process: number
  readonly what: "list" | "item"
  readonly id: string
}

export class CounterServer {
  url = ""
  /** The number of items of each account. */
  readonly sizes = new Map<string, number>()
  /** The number of items of each account that were listed so far. */
  private readonly listed = new Map<string, number>()
  readonly asked = new Map<string, Array<Asked>>()
  pageSize = 50
  /** The milliseconds until the response with an item. */
  delay = 0
  /** The most concurrent items of one process, because sources limit each client. */
  atOnce = Number.POSITIVE_INFINITY
  private readonly clients = new Map<number, { busy: number; readonly waiting: Array<() => void> }>()

  of(account: string): Array<Asked> {
    const found = this.asked.get(account) ?? []
    this.asked.set(account, found)
    return found
  }

  /** Returns every download of every account, as `account/id`. */
  downloads(): ReadonlyArray<string> {
    return [...this.asked].flatMap(([account, asked]) =>
      asked.filter(({ what }) => what === "item").map(({ id }) => `${account}/${id}`)
    )
  }

  /** Returns the downloads since this time of `performance.now()`. */
  downloadsSince(since: number): ReadonlyArray<Asked> {
    return [...this.asked.values()].flatMap((asked) => asked.filter(({ at, what }) => what === "item" && at > since))
  }

  /** Ends each account after the items that were listed so far, and returns their number. */
  end(): number {
    for (const account of this.sizes.keys()) this.sizes.set(account, this.listed.get(account) ?? 0)
    return [...this.sizes.values()].reduce((sum, size) => sum + size, 0)
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", this.url)
    const account = searchParams.get("account") ?? ""
    const what = pathname === "/list" ? "list" : "item"
    const id = searchParams.get("id") ?? ""
    this.of(account).push({ at: performance.now(), account, process: Number(searchParams.get("process")), what, id })
    if (what === "item") {
      this.answer(Number(searchParams.get("process")), () => response.end(`item ${id} of ${account}`))
      return
    }
    const after = Number(searchParams.get("after"))
    const size = this.sizes.get(account) ?? 0
    const next = Math.min(size, after + this.pageSize)
    this.listed.set(account, Math.max(next, this.listed.get(account) ?? 0))
    const ids = Array.from({ length: next - after }, (_, index) => String(after + index))
    response.end(JSON.stringify({ ids, next, more: next < size }))
  }

  private answer(process: number, end: () => void): void {
    const client = this.clients.get(process) ?? { busy: 0, waiting: [] }
    this.clients.set(process, client)
    const begin = () => {
      client.busy += 1
      setTimeout(() => {
        end()
        client.busy -= 1
        client.waiting.shift()?.()
      }, this.delay)
    }
    if (client.busy < this.atOnce) begin()
    else client.waiting.push(begin)
  }
}

/** Starts a server that runs until the scope closes. */
export const make = Effect.acquireRelease(
  Effect.callback<{ readonly counter: CounterServer; readonly server: Http.Server }>((resume) => {
    const counter = new CounterServer()
    // On a busy machine an idle socket might be closed just as the next request is sent on it.
    const server = Http.createServer({ keepAliveTimeout: 0 }, (request, response) => counter.handle(request, response))
    server.listen(0, "127.0.0.1", () => {
      counter.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      resume(Effect.succeed({ counter, server }))
    })
  }),
  ({ server }) =>
    Effect.callback<void>((resume) => {
      server.closeAllConnections()
      server.close(() => resume(Effect.void))
    })
).pipe(Effect.map(({ counter }) => counter))
