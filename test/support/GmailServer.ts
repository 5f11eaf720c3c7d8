/**
 * A stand-in for Gmail on loopback: `getProfile`, `messages.list`, `messages.get`, `history.list`, `labels.list` and
 * the token endpoint, with the shapes of Google's discovery document and the errors of its guides. A test changes the
 * mailbox, orders faults, and reads the requests.
 */
import type * as http from "node:http"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { Domain } from "./gmail/Domain.ts"
import { Grants } from "./gmail/Grants.ts"
import { Mailbox, Refusal } from "./gmail/Mailbox.ts"
import { answer, errorBody, type Method, seenOf, type Seen, units } from "./gmail/Requests.ts"
import { serve } from "./LoopbackServer.ts"

/** A fault that replaces or changes a response. */
export type Fault =
  | {
      readonly _tag: "Status"
      readonly status: number
      readonly reason?: string
      readonly message?: string
      /** The value of the header: seconds or a date. */
      readonly retryAfter?: string
      /** The body that replaces Google's error body. */
      readonly body?: string
    }
  /** Changes the text of the correct response. */
  | { readonly _tag: "Change"; readonly change: (text: string) => string }
  /** Resets the connection, before the response or in the middle of it. */
  | { readonly _tag: "Reset"; readonly midway?: boolean }
  /** Never responds. */
  | { readonly _tag: "Hang" }

export const status = (status: number, reason?: string, more?: { retryAfter?: string; message?: string }): Fault => ({
  _tag: "Status",
  status,
  ...(reason === undefined ? {} : { reason }),
  ...more
})

/**
 * A 400 that succeeds when the request is repeated: 1 to 2 % of list calls, and occasionally `messages.get`
 * (googleapis/google-api-go-client#645, googleapis/google-api-python-client#2723,
 * googleapis/google-api-php-client#2558).
 */
export const failedPrecondition = status(400, "failedPrecondition", { message: "Precondition check failed." })

/**
 * The response to each request of a user without Gmail (FlowCrypt/flowcrypt-browser#435, levz0r/gmail-tester#57): the
 * user has no licence, or the service is off for the organizational unit. The directory may still report
 * `isMailboxSetup`.
 */
export const mailServiceNotEnabled = status(400, "failedPrecondition", { message: "Mail service not enabled" })

/**
 * The response to `messages.get` for a suspended user of a Workspace, whose ids are still listed
 * (GAM-team/got-your-back#258).
 */
export const suspendedUser = status(403, "forbidden", { message: "Forbidden" })

/**
 * The limit of a user (bandwidth, or calls at a time): 429 with the time in the message, and no header
 * (levz0r/gmail-tester#23, taers232c/GAMADV-XTD3#337). The time may have passed already
 * (googleapis/google-api-ruby-client#20544).
 */
export const userRateLimit = (until: number): Fault =>
  status(429, "rateLimitExceeded", {
    message: `User-rate limit exceeded.  Retry after ${new Date(until).toISOString()}`
  })

interface Order {
  readonly method: Method
  readonly fault: Fault
  readonly when: (seen: Seen) => boolean
  left: number
}

export interface Options {
  readonly email?: string | undefined
  /** An access token that is valid from the start. */
  readonly accessToken?: string | undefined
  /** True for a server without `getProfile`, like emulators. */
  readonly noProfile?: boolean | undefined
}

export class Server extends Grants {
  readonly mailbox = new Mailbox()
  /** The users that a service account may act for. Each user has a separate mailbox. */
  readonly domain = new Domain()
  private readonly mailboxes = new Map<string, Mailbox>()
  readonly seen: Array<Seen> = []
  /** The number of requests that the client aborted before the response. */
  aborted = 0
  private readonly firstAborted = Deferred.makeUnsafe<void>()
  /** Waits for the first aborted request. */
  readonly awaitAborted = Deferred.await(this.firstAborted)
  url = ""
  private readonly noProfile: boolean
  private readonly orders: Array<Order> = []
  private readonly hooks: Array<{ readonly method: Method | "any"; readonly run: (seen: Seen) => void; left: number }> =
    []
  private readonly repeats: Array<string> = []
  /** Selects the requests whose responses are held until `release`. */
  holds: (seen: Seen) => boolean = () => false
  private readonly held: Array<() => void> = []
  expiresIn = 3599
  /** Returns the endpoint's time, in seconds. */
  now = () => Math.floor(Date.now() / 1000)

  constructor(options: Options = {}) {
    super(options.email ?? "me@example.com")
    this.noProfile = options.noProfile ?? false
    this.allow(options.accessToken ?? "token")
  }

  // ---- orders of a test ------------------------------------------------------------------------------------------

  /** Orders a fault for the next `times` requests of this method (for which `when` holds). */
  fault(method: Method, fault: Fault, options: { readonly times?: number; readonly when?: Order["when"] } = {}): void {
    this.orders.push({ method, fault, when: options.when ?? (() => true), left: options.times ?? 1 })
  }

  /** Returns the ordered faults that have not occurred as often as ordered. */
  get unmet(): ReadonlyArray<string> {
    return this.orders.flatMap(({ fault, left, method }) => (left > 0 ? [`${left} × ${method} ${fault._tag}`] : []))
  }

  /** Removes all remaining faults. */
  heal(): void {
    this.orders.length = 0
  }

  /** Calls `run` just before the responses to the next `times` requests of this method (or of any). */
  before(method: Method | "any", run: (seen: Seen) => void, times = 1): void {
    this.hooks.push({ method, run, left: times })
  }

  /** Makes the next page of a listing show these ids once more. */
  repeatOnce(ids: ReadonlyArray<string>): void {
    this.repeats.push(...ids)
  }

  /** Stops holding requests, and sends the held responses. */
  release(): void {
    this.holds = () => false
    for (const answer of this.held.splice(0)) answer()
  }

  // ---- records for a test ----------------------------------------------------------------------------------------

  count(method?: Method): number {
    return method === undefined ? this.seen.length : this.seen.filter((each) => each.method === method).length
  }

  get units(): number {
    return this.seen.reduce((sum, each) => sum + units[each.method], 0)
  }

  /** Returns the mailbox of a user of the domain. */
  mailboxOf(email: string): Mailbox {
    const found = this.mailboxes.get(email) ?? new Mailbox()
    this.mailboxes.set(email, found)
    return found
  }

  forgetSeen(): void {
    this.seen.length = 0
  }

  // ---- HTTP ------------------------------------------------------------------------------------------------------

  handle(request: http.IncomingMessage, response: http.ServerResponse): void {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (chunk: string) => {
      body += chunk
    })
    request.on("end", () => this.answer(request, response, body))
  }

  /**
   * Makes requests without a socket, for simulations with many of them. `seen` records none of them. `refuse` is called
   * with each request, and refuses it with the fault that it returns.
   */
  fetchWith =
    (refuse: (seen: Seen, answer: string) => Extract<Fault, { _tag: "Status" }> | undefined): typeof globalThis.fetch =>
    async (input, init) => {
      const request = new Request(input, init)
      const seen = seenOf(request.method, new URL(request.url), request.headers.get("authorization"))
      const json = { "content-type": "application/json; charset=UTF-8" }
      if (seen === undefined)
        return new Response(errorBody(404, "notFound", "Not Found"), { status: 404, headers: json })
      const [status, text] = this.resultOf(seen, request.method === "POST" ? await request.text() : "")
      const fault = refuse(seen, text)
      return fault === undefined
        ? new Response(text, { status, headers: json })
        : new Response(errorBody(fault.status, fault.reason ?? "backendError", fault.message ?? "Failed"), {
            status: fault.status,
            headers: json
          })
    }

  private answer(request: http.IncomingMessage, response: http.ServerResponse, body: string): void {
    const url = new URL(request.url ?? "/", "http://localhost")
    const seen = seenOf(request.method ?? "GET", url, request.headers.authorization)
    if (seen === undefined) return void send(response, 404, errorBody(404, "notFound", "Not Found"))
    this.seen.push(seen)
    response.on("close", () => {
      if (response.writableFinished) return
      this.aborted += 1
      Deferred.doneUnsafe(this.firstAborted, Exit.void)
    })

    for (const hook of this.hooks) {
      if ((hook.method !== "any" && hook.method !== seen.method) || hook.left === 0) continue
      hook.left -= 1
      hook.run(seen)
    }
    const order = this.orders.find((each) => each.method === seen.method && each.left > 0 && each.when(seen))
    if (order !== undefined) order.left -= 1
    const fault = order?.fault
    if (fault?._tag === "Hang") return
    if (fault?._tag === "Reset" && fault.midway !== true) return void request.socket.resetAndDestroy()
    if (fault?._tag === "Status") {
      const text = fault.body ?? errorBody(fault.status, fault.reason ?? "backendError", fault.message ?? "Failed")
      return void send(
        response,
        fault.status,
        text,
        fault.retryAfter === undefined ? {} : { "retry-after": fault.retryAfter }
      )
    }
    const [status, text] = this.resultOf(seen, body)
    const write = () => {
      if (fault?._tag === "Reset") {
        response.writeHead(status, { "content-type": "application/json", "content-length": String(text.length * 2) })
        response.write(text.slice(0, text.length / 2), () => request.socket.resetAndDestroy())
        return
      }
      send(response, status, fault?._tag === "Change" ? fault.change(text) : text)
    }
    if (this.holds(seen)) this.held.push(write)
    else write()
  }

  private tokenResult(form: URLSearchParams): readonly [number, string] {
    if (form.get("grant_type") === "urn:ietf:params:oauth:grant-type:jwt-bearer") {
      return this.domain.exchange(form.get("assertion") ?? "", {
        audience: `${this.url}/oauth2/token`,
        now: this.now(),
        expiresIn: this.expiresIn
      })
    }
    return this.exchange(form, this.expiresIn)
  }

  private resultOf(seen: Seen, body: string): readonly [number, string] {
    if (seen.method === "oauth2.token") return this.tokenResult(new URLSearchParams(body))
    const { token = "" } = seen
    const user = this.domain.holderOf(token)
    const email = user ?? this.accountOf(token)
    if (email === undefined) {
      return [401, errorBody(401, "authError", "Request had invalid authentication credentials.", "UNAUTHENTICATED")]
    }
    try {
      if (seen.method === "users.list" || seen.method === "users.get") {
        return [200, JSON.stringify(this.domain.directory(token, seen.id, seen.params))]
      }
      if (user !== undefined && this.domain.user(user)?.isMailboxSetup !== true) {
        throw new Refusal(400, "failedPrecondition", "Mail service not enabled")
      }
      if (user !== undefined && seen.method === "messages.get" && this.domain.user(user)?.suspended === true) {
        throw new Refusal(403, "forbidden", "Forbidden")
      }
      const mailbox = user === undefined ? this.mailbox : this.mailboxOf(user)
      return [200, JSON.stringify(answer(seen, { email, mailbox, noProfile: this.noProfile, repeats: this.repeats }))]
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      return [error.status, errorBody(error.status, error.reason, error.message)]
    }
  }
}

const send = (response: http.ServerResponse, status: number, text: string, headers: http.OutgoingHttpHeaders = {}) => {
  response.writeHead(status, { "content-type": "application/json; charset=UTF-8", ...headers })
  response.end(text)
}

/** Starts a server on a free port of loopback, which closes with its scope. */
export const make = (options?: Options): Effect.Effect<Server, never, Scope.Scope> => serve(() => new Server(options))
