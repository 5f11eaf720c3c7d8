/**
 * A feed on loopback that a test edits. Each format has its own path, and validators follow RFC 9110 (13.1). The feed
 * shows all its entries, or the newest entries with links to the others, according to RFC 5005 and JSON Feed.
 */
import type * as Http from "node:http"
import { serve } from "./LoopbackServer.ts"

interface Entry {
  readonly id: string
  readonly title: string
  readonly text: string
  readonly published: Date
}

const escaped = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

/** The links to further pages of a feed: targets by their relation. `complete` marks a feed without further pages. */
interface Marks {
  readonly next?: string | undefined
  readonly "prev-archive"?: string | undefined
  readonly complete?: boolean
}

/** Returns the marks as elements; `atom` is the prefix of Atom's namespace. */
const marked = ({ complete, ...links }: Marks, atom: string): string =>
  Object.entries(links)
    .map(([rel, href = ""]) => `<${atom}link rel="${rel}" href="${escaped(href)}"/>`)
    .join("") + (complete === true ? '<fh:complete xmlns:fh="http://purl.org/syndication/history/1.0"/>' : "")

const atomNamespace = "http://www.w3.org/2005/Atom"

const rssOf = (entries: ReadonlyArray<Entry>, marks: Marks): string => {
  const items = entries.map(
    ({ id, published, text, title }) =>
      `<item><title>${escaped(title)}</title><link>http://feed.example/${escaped(id)}</link><guid isPermaLink="false">${escaped(id)}</guid>` +
      `<pubDate>${published.toUTCString()}</pubDate><description>${escaped(text)}</description></item>`
  )
  return `<?xml version="1.0" encoding="UTF-8"?><rss version="2.0" xmlns:atom="${atomNamespace}"><channel><title>Test</title><link>http://feed.example/</link><description>A feed</description>${marked(marks, "atom:")}${items.join("")}</channel></rss>`
}

const atomOf = (entries: ReadonlyArray<Entry>, marks: Marks): string => {
  const items = entries.map(
    ({ id, published, text, title }) =>
      `<entry><id>${escaped(id)}</id><title>${escaped(title)}</title><link rel="enclosure" href="http://feed.example/a.mp3"/>` +
      `<link href="http://feed.example/${escaped(id)}"/><published>${published.toISOString()}</published>` +
      `<updated>${published.toISOString()}</updated><content type="html">${escaped(text)}</content></entry>`
  )
  return `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="${atomNamespace}"><id>urn:test</id><title>Test</title><updated>2026-01-01T00:00:00Z</updated>${marked(marks, "")}${items.join("")}</feed>`
}

/** https://web.resource.org/rss/1.0/spec, with the Dublin Core module. */
const rdfOf = (entries: ReadonlyArray<Entry>): string => {
  const items = entries.map(
    ({ id, published, text, title }) =>
      `<item rdf:about="${escaped(id)}"><title>${escaped(title)}</title><link>http://feed.example/${escaped(id)}</link>` +
      `<description>${escaped(text)}</description><dc:date>${published.toISOString()}</dc:date></item>`
  )
  return (
    `<?xml version="1.0" encoding="UTF-8"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" ` +
    `xmlns="http://purl.org/rss/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="http://feed.example/">` +
    `<title>Test</title><link>http://feed.example/</link><description>A feed</description></channel>${items.join("")}</rdf:RDF>`
  )
}

/** https://www.jsonfeed.org/version/1.1/ */
const jsonOf = (entries: ReadonlyArray<Entry>, { next }: Marks): string =>
  JSON.stringify({
    version: "https://jsonfeed.org/version/1.1",
    title: "Test",
    next_url: next,
    items: entries.map(({ id, published, text, title }) => ({
      id,
      title,
      url: `http://feed.example/${id}`,
      content_html: text,
      date_published: published.toISOString()
    }))
  })

const formats = new Map<string, (entries: ReadonlyArray<Entry>, marks: Marks) => string>([
  ["/rss", rssOf],
  ["/atom", atomOf],
  ["/rdf", rdfOf],
  ["/json", jsonOf]
])

class FeedServer {
  readonly entries = new Map<string, Entry>()
  /** The requests with their statuses, such as `GET /rss 304`. */
  readonly log: Array<string> = []
  /** True if each entry is shown twice. */
  repeats = false
  /** The validators of a response. */
  validator: "etag" | "last-modified" | "none" = "etag"
  /** How the feed shows entries that are not the newest. */
  kind: "all" | "complete" | "paged" | "archived" = "all"
  /** The number of entries of a page or an archive. */
  size = 10
  /**
   * The archives, oldest first. An entry that is edited after it was archived is in the feed again, and stays unchanged
   * in its archive.
   */
  readonly archives: Array<ReadonlyArray<Entry>> = []
  /** If set, responds instead of the feed. */
  answer: ((response: Http.ServerResponse, request: Http.IncomingMessage) => void) | undefined
  /** The number of requests so far, and of requests that have no response yet. */
  requests = 0
  open = 0
  url = ""
  #changes = 0
  /** The entries that are not yet in an archive. */
  readonly #latest = new Map<string, Entry>()

  /**
   * Returns the URL of the feed at this path: `/rss`, `/atom`, `/rdf` or `/json`. With `?in=a` the feed has only the
   * entries whose id begins with `a`.
   */
  address(path: string): string {
    return `${this.url}${path}`
  }

  add(id: string, text = `<p>text of ${id}</p>`): void {
    const published = this.entries.get(id)?.published ?? new Date(Date.UTC(2026, 0, 1, 0, this.entries.size))
    const entry = { id, title: `Title of ${id} & more`, text, published }
    this.entries.set(id, entry)
    this.#latest.delete(id)
    this.#latest.set(id, entry)
    this.#changes += 1
    if (this.kind !== "archived" || this.#latest.size < 2 * this.size) return
    const oldest = [...this.#latest.values()].slice(0, this.size)
    this.archives.push(oldest)
    for (const { id } of oldest) this.#latest.delete(id)
  }

  remove(id: string): void {
    this.entries.delete(id)
    this.#changes += 1
  }

  /** Returns the entries of a document, newest first, and its links to further documents. */
  document(pathname: string, page: number, archive: number | undefined): readonly [ReadonlyArray<Entry>, Marks] {
    const all = [...this.entries.values()].toReversed()
    const archiveAt = (index: number) =>
      index < 0 ? {} : { "prev-archive": this.address(`${pathname}?archive=${index}`) }
    switch (this.kind) {
      case "all":
        return [all, {}]
      case "complete":
        return [all, { complete: true }]
      case "paged": {
        const next = page * this.size < all.length ? { next: this.address(`${pathname}?page=${page + 1}`) } : {}
        return [all.slice((page - 1) * this.size, page * this.size), next]
      }
      case "archived":
        return archive === undefined
          ? [[...this.#latest.values()].toReversed(), archiveAt(this.archives.length - 1)]
          : [this.archives[archive]?.toReversed() ?? [], archiveAt(archive - 1)]
    }
  }

  /** Invalidates all validators: the next request of each client gets the whole feed. */
  expire(): void {
    this.#changes += 1
  }

  handle(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    this.requests += 1
    this.open += 1
    response.on("close", () => {
      this.open -= 1
      this.log.push(`${request.method} ${request.url} ${response.statusCode}`)
    })
    if (this.answer !== undefined) return this.answer(response, request)
    this.show(request, response)
  }

  /** Responds with the requested document. */
  show(request: Http.IncomingMessage, response: Http.ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", this.url)
    const etag = `"${this.#changes}"`
    const modified = new Date(Date.UTC(2026, 0, 1) + this.#changes * 1000).toUTCString()
    if (this.validator === "etag") response.setHeader("etag", etag)
    if (this.validator === "last-modified") response.setHeader("last-modified", modified)
    const known =
      this.validator === "etag"
        ? request.headers["if-none-match"] === etag
        : this.validator === "last-modified" && request.headers["if-modified-since"] === modified
    if (known) {
      response.writeHead(304).end()
      return
    }
    const archive = searchParams.has("archive") ? Number(searchParams.get("archive")) : undefined
    const [all, marks] = this.document(pathname, Number(searchParams.get("page") ?? 1), archive)
    const shown = all.filter(({ id }) => id.startsWith(searchParams.get("in") ?? ""))
    const newestFirst = shown.flatMap((entry) => (this.repeats ? [entry, entry] : [entry]))
    const format = formats.get(pathname)
    if (format === undefined) return void response.writeHead(404).end()
    response.writeHead(200, { "content-type": "application/xml" }).end(format(newestFirst, marks))
  }
}

/** Starts a server that runs until the scope closes. */
export const make = serve(() => new FeedServer())
