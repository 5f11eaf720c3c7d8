/**
 * A REST API on loopback that a test edits: threads, which contain their files, and whose replies have their own paths.
 * Lists are paged by cursor; `updated` lists threads that changed since a number.
 */
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import { serve } from "./LoopbackServer.ts"

interface Reply {
  readonly id: string
  readonly text: string
}

interface Thread {
  readonly id: string
  readonly title: string
  readonly replies: Map<string, Reply>
  readonly files: Map<string, string>
  updated: number
  trashed: boolean
}

class ForumServer {
  readonly threads = new Map<string, Thread>()
  readonly failing = new Set<string>()
  readonly log: Array<string> = []
  /** Responds in place of the forum. Returns true if it has responded. */
  answer: ((request: Http.IncomingMessage, response: Http.ServerResponse) => boolean) | undefined
  /** The base URL of the files' bytes, if another server stores them. */
  storage: string | undefined
  /** True if removed threads stay listed as `trashed`. */
  keepsTrash = false
  open = 0
  url = ""
  size = 3
  #added = 0
  #changes = 0

  /** Returns the external ids of all present threads, replies and files. */
  ids(): ReadonlyArray<string> {
    return [...this.threads.values()]
      .filter(({ trashed }) => !trashed)
      .flatMap(({ files, id, replies }) => [
        `threads/${id}`,
        ...[...replies.keys()].map((reply) => `replies/${encodeURIComponent(id)}/${reply}`),
        ...[...files.keys()].map((file) => `files/${encodeURIComponent(id)}/${file}`)
      ])
  }

  /** Adds a thread, and then by turns two replies and a file to it. Returns the external id. */
  add(): string {
    const number = this.#added++
    const id = `t ${String(number - (number % 4)).padStart(5, "0")}/a`
    const thread = this.threads.get(id) ?? {
      id,
      title: `Title ${number}`,
      replies: new Map<string, Reply>(),
      files: new Map<string, string>(),
      updated: 0,
      trashed: false
    }
    this.threads.set(id, thread)
    thread.updated = ++this.#changes
    const kind = ["threads", "replies", "replies", "files"][number % 4]
    if (kind === "replies") thread.replies.set(`r${number}`, { id: `r${number}`, text: `Reply ${number}` })
    if (kind === "files") thread.files.set(`f${number}`, `bytes of ${number}`)
    return kind === "threads" ? `threads/${id}` : `${kind}/${encodeURIComponent(id)}/${kind?.[0]}${number}`
  }

  #find(externalId: string) {
    const [kind = "", parent = "", ...rest] = externalId.split("/")
    const isThread = kind === "threads"
    const thread = this.threads.get(isThread ? externalId.slice("threads/".length) : decodeURIComponent(parent))
    return { kind, thread, id: rest.join("/") }
  }

  edit(externalId: string): void {
    const { id, kind, thread } = this.#find(externalId)
    if (thread === undefined) return
    thread.updated = ++this.#changes
    if (kind === "threads") this.threads.set(thread.id, { ...thread, title: `${thread.title}, edited` })
    if (kind === "replies") thread.replies.set(id, { id, text: "edited" })
    if (kind === "files") thread.files.set(id, "edited")
  }

  remove(externalId: string): void {
    const { id, kind, thread } = this.#find(externalId)
    if (thread === undefined) return
    thread.updated = ++this.#changes
    if (kind === "threads") {
      if (this.keepsTrash) thread.trashed = true
      else this.threads.delete(thread.id)
    }
    if (kind === "replies") thread.replies.delete(id)
    if (kind === "files") thread.files.delete(id)
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    this.open += 1
    response.on("close", () => {
      this.open -= 1
    })
    this.log.push(request.url ?? "")
    if (this.answer?.(request, response) === true) return
    const send = (status: number, json: unknown) => void response.writeHead(status).end(JSON.stringify(json))
    if (request.headers.authorization !== "Bearer t0ken") return send(401, {})
    const { pathname, searchParams } = new URL(request.url ?? "/", this.url)
    const [kind, id = "", what, part = ""] = pathname.split("/").slice(1).map(decodeURIComponent)
    const shown = ({ files, id, replies, title, trashed }: Thread) => ({
      id,
      title,
      trashed,
      replyCount: replies.size,
      files: [...files].map(([name, bytes]) => ({ name, size: bytes.length, hash: bytes, thread: id }))
    })
    const list = (all: ReadonlyArray<{ readonly id: string }>, show: (one: never) => unknown) => {
      const after = searchParams.get("cursor") ?? ""
      const rest = all.filter((one) => one.id > after).sort((one, other) => (one.id < other.id ? -1 : 1))
      const results = rest.slice(0, this.size)
      send(200, {
        results: results.map((one) => show(one as never)),
        next: rest.length > this.size ? results.at(-1)?.id : null
      })
    }
    const thread = this.threads.get(id)
    if (kind === "threads" && id === "") {
      const updated = Number(searchParams.get("updated") ?? 0)
      return list(
        [...this.threads.values()].filter((one) => one.updated > updated),
        shown
      )
    }
    if (thread === undefined) return send(404, {})
    if (kind === "files") {
      const bytes = thread.files.get(what ?? "")
      if (bytes === undefined) return send(404, {})
      if (this.failing.has(`files/${encodeURIComponent(id)}/${what}`)) return send(422, {})
      if (this.storage === undefined) return void response.writeHead(200).end(bytes)
      return void response.writeHead(302, { location: `${this.storage}?${new URLSearchParams({ bytes })}` }).end()
    }
    if (what === undefined) return send(200, shown(thread))
    if (part === "") return list([...thread.replies.values()], (reply) => reply)
    const reply = thread.replies.get(part)
    return reply === undefined ? send(404, {}) : send(200, reply)
  }
}

/** Starts a server that runs until the scope closes. */
export const make = serve(() => new ForumServer())

/** Starts a server with `count` threads, replies and files. */
export const makeWith = (count: number) =>
  Effect.tap(make, (server) => {
    for (let index = 0; index < count; index++) server.add()
    return Effect.void
  })
