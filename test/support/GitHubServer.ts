/**
 * A GitHub on loopback that a test edits, as far as the issues of one repository and their comments go.
 * - Pages, `Link`, `since` and `state`: https://docs.github.com/en/rest/issues/issues#list-repository-issues and
 *   https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api
 * - Refusals: https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
 * - A renamed repository redirects:
 *   https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
 */
import type * as Http from "node:http"
import { serve } from "./LoopbackServer.ts"

interface Comment {
  readonly id: number
  readonly body: string
  readonly created_at: string
}

interface Issue {
  readonly id: number
  readonly number: number
  readonly title: string
  readonly body: string | null
  readonly state: "open" | "closed"
  readonly created_at: string
  readonly updated_at: string
  readonly pull_request?: { readonly url: string }
}

/** Formats a time without a fraction of seconds. */
const time = (at: number) => new Date(at).toISOString().replace(/\.\d+Z$/, "Z")

class GitHubServer {
  readonly issues = new Map<number, Issue>()
  /** The comments of each issue. */
  readonly comments = new Map<number, Map<number, Comment>>()
  /** The paths of the requests, such as `/repos/o/r/issues?page=2`. */
  readonly log: Array<string> = []
  /** True if each page begins with the last item of the page before. */
  repeats = false
  /** Responds in place of GitHub. Returns true if it has responded. */
  answer: ((request: Http.IncomingMessage, response: Http.ServerResponse) => boolean) | undefined
  open = 0
  url = ""

  add(fields: Partial<Issue> = {}): number {
    const number = fields.number ?? Math.max(0, ...this.issues.keys()) + 1
    const now = time(Date.now())
    const about = { title: `Issue ${number}`, body: `Text of ${number}`, state: "open" as const }
    this.issues.set(number, { id: 1_000_000 + number, number, ...about, created_at: now, updated_at: now, ...fields })
    return number
  }

  edit(number: number, fields: Partial<Issue>): void {
    const issue = this.issues.get(number)
    if (issue !== undefined) this.issues.set(number, { ...issue, updated_at: time(Date.now()), ...fields })
  }

  /** Adds, changes or removes a comment. The comment's issue counts as updated. */
  comment(number: number, id: number, body: string | undefined): void {
    const comments = this.comments.get(number) ?? new Map<number, Comment>()
    this.comments.set(number, comments)
    if (body === undefined) comments.delete(id)
    else comments.set(id, { id, body, created_at: comments.get(id)?.created_at ?? time(Date.now()) })
    this.edit(number, {})
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    this.open += 1
    response.on("close", () => {
      this.open -= 1
    })
    this.log.push(request.url ?? "")
    if (this.answer?.(request, response) === true) return
    const send = (status: number, json: unknown, headers: Record<string, string> = {}) =>
      response
        .writeHead(status, { "content-type": "application/json; charset=utf-8", ...headers })
        .end(JSON.stringify(json))
    if (request.headers.authorization !== "Bearer t0ken") return void send(401, { message: "Bad credentials" })
    const url = new URL(request.url ?? "/", this.url)
    const [, , repository, rest = ""] = /^\/repos\/(o\/(r|old))\/issues(?:\/(.+))?$/.exec(url.pathname) ?? []
    if (repository === "old") {
      const location = `${this.url}${url.pathname.replace("o/old", "o/r")}${url.search}`
      return void send(301, { message: "Moved Permanently" }, { location })
    }
    if (repository === undefined) return void send(404, { message: "Not Found" })
    const found = (one: object | undefined) =>
      void (one === undefined ? send(404, { message: "Not Found" }) : send(200, one))
    const shown = (issue: Issue) => ({ ...issue, comments: this.comments.get(issue.number)?.size ?? 0 })
    const [first = "", second] = rest.split("/")
    const all = [...this.comments.values()]
    if (first === "comments") return found(all.map((one) => one.get(Number(second))).find((one) => one !== undefined))
    const asked = this.issues.get(Number(first))
    if (first !== "" && second === undefined) return found(asked && shown(asked))
    const { searchParams } = url
    const state = searchParams.get("state") ?? "open"
    const since = Date.parse(searchParams.get("since") ?? "1970-01-01T00:00:00Z")
    const sorted: Array<object> =
      asked === undefined
        ? [...this.issues.values()]
            .filter((issue) => (state === "all" || issue.state === state) && Date.parse(issue.updated_at) >= since)
            .sort((one, other) => one.number - other.number)
            .map(shown)
        : [...(this.comments.get(asked.number)?.values() ?? [])]
    if (asked === undefined && searchParams.get("direction") !== "asc") sorted.reverse()
    const page = Number(searchParams.get("page") ?? 1)
    const size = Math.min(100, Number(searchParams.get("per_page") ?? 30))
    const link = (relation: string, to: number) => {
      const target = new URL(url)
      target.searchParams.set("page", String(to))
      return `<${target.href}>; rel="${relation}"`
    }
    const last = Math.ceil(sorted.length / size)
    const links = [
      ...(page > 1 ? [link("prev", page - 1), link("first", 1)] : []),
      ...(page < last ? [link("next", page + 1), link("last", last)] : [])
    ]
    const from = Math.max(0, (page - 1) * size - (this.repeats ? 1 : 0))
    send(200, sorted.slice(from, page * size), links.length === 0 ? {} : { link: links.join(", ") })
  }
}

/** Starts a server that runs until the scope closes. */
export const make = serve(() => new GitHubServer())
