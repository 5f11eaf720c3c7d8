/**
 * A REST API on loopback that a test edits: notes, listed by cursor, page number or offset, some with their text at a
 * separate URL.
 */
import * as Effect from "effect/Effect"
import { createHash } from "node:crypto"
import type * as Http from "node:http"
import { serve } from "./LoopbackServer.ts"

interface Note {
  readonly id: string
  readonly version: number
  readonly text: string
  /** True if the text is at a separate URL, and not in the note. */
  readonly apart: boolean
  readonly trashed?: boolean
}

class NotesServer {
  readonly notes = new Map<string, Note>()
  readonly failing = new Set<string>()
  readonly log: Array<string> = []
  readonly statuses: Array<number> = []
  /** Responds in place of the notes. Returns true if it has responded. */
  answer: ((request: Http.IncomingMessage, response: Http.ServerResponse) => boolean) | undefined
  /** True if responses to lists have an entity tag. */
  tags = false
  open = 0
  url = ""
  size = 10
  #added = 0

  add(folder = this.#added % 2 === 0 ? "a" : "b"): string {
    const apart = this.#added % 20 === 5
    const id = `${folder}-${String(this.#added++).padStart(5, "0")}`
    this.notes.set(id, { id, version: 1, text: `text of ${id}`, apart })
    return id
  }

  edit(id: string, change: Partial<Note>): void {
    const note = this.notes.get(id)
    if (note !== undefined) this.notes.set(id, { ...note, ...change, version: note.version + 1 })
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    this.open += 1
    response.on("close", () => {
      this.open -= 1
    })
    response.on("finish", () => this.statuses.push(response.statusCode))
    this.log.push(request.url ?? "")
    if (this.answer?.(request, response) === true) return
    const send = (status: number, json: unknown) => void response.writeHead(status).end(JSON.stringify(json))
    const shown = (note: Note) => (note.apart ? { ...note, text: undefined } : note)
    if (request.headers["x-api-key"] !== "k3y") return send(401, {})
    const { pathname, searchParams } = new URL(request.url ?? "/", this.url)
    const [, , id, text] = pathname.split("/").slice(1)
    if (id !== undefined) {
      const note = this.notes.get(id)
      if (note === undefined) return send(404, {})
      if (this.failing.has(id)) return send(422, {})
      return text === undefined ? send(200, shown(note)) : void response.writeHead(200).end(note.text)
    }
    const sorted = [...this.notes.values()]
      .filter((note) => note.id.startsWith(searchParams.get("in") ?? ""))
      .sort((one, other) => (one.id < other.id ? -1 : 1))
    const after = searchParams.get("cursor") ?? ""
    const number = Number(searchParams.get("page") ?? 1)
    const from = searchParams.has("offset") ? Number(searchParams.get("offset")) : (number - 1) * this.size
    const rest = searchParams.has("cursor") ? sorted.filter((note) => note.id > after) : sorted.slice(from)
    const results = rest.slice(0, this.size)
    const page = { results: results.map(shown), next: rest.length > this.size ? results.at(-1)?.id : null }
    const tag = `"${createHash("sha256").update(JSON.stringify(page)).digest("hex")}"`
    if (this.tags) response.setHeader("etag", tag)
    if (this.tags && request.headers["if-none-match"] === tag) return void response.writeHead(304).end()
    send(200, page)
  }
}

/** Starts a server that runs until the scope closes. */
export const make = serve(() => new NotesServer())

/** Starts a server with `count` notes. */
export const makeWith = (count: number) =>
  Effect.tap(make, (server) => {
    for (let index = 0; index < count; index++) server.add()
    return Effect.void
  })
