/**
 * A feed on loopback that a test edits, in each format at its own path, with validators as RFC 9110 (13.1) has them.
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

const rssOf = (entries: ReadonlyArray<Entry>): string => {
  const items = entries.map(
    ({ id, published, text, title }) =>
      `<item><title>${escaped(title)}</title><link>http://feed.example/${escaped(id)}</link><guid isPermaLink="false">${escaped(id)}</guid>` +
      `<pubDate>${published.toUTCString()}</pubDate><description>${escaped(text)}</description></item>`
  )
  return `<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>Test</title><link>http://feed.example/</link><description>A feed</description>${items.join("")}</channel></rss>`
}

const atomOf = (entries: ReadonlyArray<Entry>): string => {
  const items = entries.map(
    ({ id, published, text, title }) =>
      `<entry><id>${escaped(id)}</id><title>${escaped(title)}</title><link rel="enclosure" href="http://feed.example/a.mp3"/>` +
      `<link href="http://feed.example/${escaped(id)}"/><published>${published.toISOString()}</published>` +
      `<updated>${published.toISOString()}</updated><content type="html">${escaped(text)}</content></entry>`
  )
  return `<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"><id>urn:test</id><title>Test</title><updated>2026-01-01T00:00:00Z</updated>${items.join("")}</feed>`
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
const jsonOf = (entries: ReadonlyArray<Entry>): string =>
  JSON.stringify({
    version: "https://jsonfeed.org/version/1.1",
    title: "Test",
    items: entries.map(({ id, published, text, title }) => ({
      id,
      title,
      url: `http://feed.example/${id}`,
      content_html: text,
      date_published: published.toISOString()
    }))
  })

const formats = new Map([
  ["/rss", rssOf],
  ["/atom", atomOf],
  ["/rdf", rdfOf],
  ["/json", jsonOf]
])

class FeedServer {
  readonly entries = new Map<string, Entry>()
  /** The requests, as `GET /rss 304`. */
  readonly log: Array<string> = []
  /** Each entry is shown twice. */
  repeats = false
  /** The validators of an answer. */
  validator: "etag" | "last-modified" | "none" = "etag"
  /** Answers instead of the feed. */
  answer: ((response: Http.ServerResponse, request: Http.IncomingMessage) => void) | undefined
  /** Requests that came, and those of them that are being answered. */
  requests = 0
  open = 0
  url = ""
  #changes = 0

  /** The path of the feed: `/rss`, `/atom`, `/rdf`, `/json`; with `?in=a` only the entries whose id begins with `a`. */
  address(path: string): string {
    return `${this.url}${path}`
  }

  add(id: string, text = `<p>text of ${id}</p>`): void {
    const published = this.entries.get(id)?.published ?? new Date(Date.UTC(2026, 0, 1, 0, this.entries.size))
    this.entries.set(id, { id, title: `Title of ${id} & more`, text, published })
    this.#changes += 1
  }

  /** Forgets its validators: every feed is new to whoever asks. */
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
    const shown = [...this.entries.values()].filter(({ id }) => id.startsWith(searchParams.get("in") ?? ""))
    const newestFirst = shown.toReversed().flatMap((entry) => (this.repeats ? [entry, entry] : [entry]))
    const format = formats.get(pathname)
    if (format === undefined) return void response.writeHead(404).end()
    response.writeHead(200, { "content-type": "application/xml" }).end(format(newestFirst))
  }
}

/** A server that lasts as long as the scope. */
export const make = serve(() => new FeedServer())
