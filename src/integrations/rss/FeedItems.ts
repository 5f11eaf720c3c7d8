/** The items of a feed, with the fields that RSS 2.0, RSS 1.0, Atom (RFC 4287) and JSON Feed have in common. */
import { parseFeed } from "feedsmith"
import { DomUtils, parseDocument } from "htmlparser2"

/** The fields that the formats have in common, as the feed has them. */
export interface Item {
  readonly id: string | undefined
  readonly title: string | undefined
  readonly link: string | undefined
  readonly body: { readonly bytes: Uint8Array; readonly mediaType: string }
  readonly summary?: string | undefined
  readonly published: string | undefined
  readonly updated?: string | undefined
  readonly authors: ReadonlyArray<string | undefined>
  readonly categories: ReadonlyArray<string | undefined>
  readonly enclosures: ReadonlyArray<{
    readonly url?: string | undefined
    readonly type?: string | undefined
    readonly length?: number | undefined
  }>
  readonly comments?: string | undefined
  readonly language?: string | undefined
  /** The base URL of relative addresses, if the feed has one. */
  readonly base?: string | undefined
}

const html = "text/html; charset=utf-8"
const plain = "text/plain; charset=utf-8"

const bodyOf = (text = "", mediaType: string): Item["body"] => ({ bytes: new TextEncoder().encode(text), mediaType })

/** Resolves an address against a base; undefined if there is no address. */
export const resolved = (address: string | undefined, base: string): string | undefined =>
  address === undefined || address === "" ? undefined : (URL.parse(address, base)?.href ?? address)

/** Returns the text of a title with markup. */
const textOf = (markup: string): string => DomUtils.textContent(parseDocument(markup).children)

/** Without options, `parseFeed` returns dates as texts. */
export const read = (text: string) => parseFeed(text)
export type Parsed = ReturnType<typeof read>
type Atom = Extract<Parsed, { format: "atom" }>["feed"]
type AtomEntry = NonNullable<Atom["entries"]>[number]

/**
 * Returns the body of an Atom entry (RFC 4287, 4.1.3): text, HTML, XHTML, or any media type. Types other than text and
 * XML are in Base64.
 */
const atomBody = ({ content, summary }: AtomEntry): Item["body"] => {
  const { type = "text", value } = content?.value === undefined ? { ...summary } : content
  if (!type.includes("/")) return bodyOf(value, type === "text" ? plain : html)
  if (/^text\/|[/+]xml$/i.test(type)) return bodyOf(value, type)
  return { bytes: Buffer.from(value ?? "", "base64"), mediaType: type }
}

const atomTitle = (title: AtomEntry["title"]): string | undefined =>
  title?.type === "html" || title?.type === "xhtml" ? textOf(title.value ?? "") : title?.value

const atomItems = (feed: Atom, feedUrl: string): ReadonlyArray<Item> =>
  (feed.entries ?? []).map((entry) => {
    const links = (rel: string) => (entry.links ?? []).filter((link) => (link.rel ?? "alternate") === rel)
    const { authors = entry.source?.authors ?? feed.authors ?? [] } = entry
    const base = entry.xml?.base ?? feed.xml?.base
    return {
      id: entry.id,
      title: atomTitle(entry.title),
      link: links("alternate")[0]?.href,
      body: atomBody(entry),
      summary: entry.content?.value === undefined ? undefined : entry.summary?.value,
      published: entry.published,
      updated: entry.updated,
      authors: authors.map(({ email, name }) => name ?? email),
      categories: (entry.categories ?? []).map(({ label, term }) => label ?? term),
      enclosures: links("enclosure").map(({ href, length, type }) => ({ url: href, length, type })),
      language: entry.content?.xml?.lang ?? entry.xml?.lang ?? feed.xml?.lang,
      // An entry's base is itself relative to that of the feed.
      base: base === undefined ? undefined : resolved(base, resolved(feed.xml?.base, feedUrl) ?? feedUrl)
    }
  })

/**
 * Returns the body and the summary of an RSS item. Its description is treated as HTML, as all feed readers do. If the
 * item also has the full text, the description is the summary.
 */
const rssText = (content: string | undefined, description: string | undefined) => ({
  body: bodyOf(content ?? description, html),
  summary: content === undefined ? undefined : description
})

/** Returns the items of a feed. Relative addresses are resolved against its URL. */
export const itemsOf = (parsed: Parsed, feedUrl: string): ReadonlyArray<Item> => {
  if (parsed.format === "atom") return atomItems(parsed.feed, feedUrl)
  if (parsed.format === "json") {
    const { authors: feedAuthors = [], items = [], language: feedLanguage } = parsed.feed
    return items.map(({ authors = feedAuthors, language = feedLanguage, ...item }) => ({
      id: item.id,
      title: item.title,
      link: item.url ?? item.external_url,
      body: item.content_html === undefined ? bodyOf(item.content_text, plain) : bodyOf(item.content_html, html),
      summary: item.summary,
      published: item.date_published,
      updated: item.date_modified,
      authors: authors.map(({ name, url }) => name ?? url),
      categories: item.tags ?? [],
      enclosures: (item.attachments ?? []).map(({ mime_type, size_in_bytes, url }) => ({
        url,
        type: mime_type,
        length: size_in_bytes
      })),
      language
    }))
  }
  // If the feed links to its site, the links of items are relative to the site, and not to the feed.
  const base = URL.canParse(parsed.feed.link ?? "") ? parsed.feed.link : undefined
  const shared = { base: parsed.feed.xml?.base ?? base, language: parsed.feed.dc?.languages?.[0] }
  if (parsed.format === "rdf") {
    return (parsed.feed.items ?? []).map(({ content, dc, description, link, rdf, title }) => ({
      ...shared,
      ...rssText(content?.encoded, description),
      id: rdf?.about ?? link,
      title,
      link,
      published: dc?.dates?.[0],
      authors: dc?.creators ?? [],
      categories: dc?.subjects ?? [],
      enclosures: []
    }))
  }
  return (parsed.feed.items ?? []).map(({ content, dc, ...item }) => {
    const authors = (item.authors ?? []).map(({ email, name }) => name ?? email)
    return {
      ...shared,
      ...rssText(content?.encoded, item.description),
      id: item.guid?.value,
      title: item.title,
      // A guid is the entry's address unless `isPermaLink` is false.
      link: item.link ?? (item.guid?.isPermaLink === false ? undefined : item.guid?.value),
      published: item.pubDate ?? dc?.dates?.[0],
      authors: dc?.creators ?? authors,
      categories: (item.categories ?? []).map(({ name }) => name),
      enclosures: item.enclosures ?? [],
      comments: item.comments,
      language: parsed.feed.language ?? shared.language
    }
  })
}
