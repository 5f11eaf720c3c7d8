/**
 * Parses a feed into its entries: RSS 2.0 (and its earlier versions), RSS 1.0, Atom (RFC 4287) and JSON Feed.
 * `feedsmith` parses the formats: it does not expand entities that a feed declares, and refuses a feed that declares an
 * external one.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { parseFeed } from "feedsmith"
import { DomUtils, parseDocument } from "htmlparser2"
import { createHash } from "node:crypto"
import { externalIdProblem } from "../../contract/Content.ts"
import * as MailDate from "../../mail/MailDate.ts"
import type { Entry } from "./EntryPages.ts"
import { isComplete, type Links, type Older, olderOf } from "./FeedLinks.ts"

/** The bytes are not a feed. The message says what to do, and does not quote the bytes. */
export class NoFeed extends Error {}

interface Enclosure {
  readonly url: string
  readonly type?: string | undefined
  readonly length?: number | undefined
}

/** The fields that the formats have in common, as the feed has them. */
interface Item {
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

/** The most authors, categories or enclosures of one entry: metadata is read as a whole whenever the entry is shown. */
const maxListed = 1000

const html = "text/html; charset=utf-8"
const plain = "text/plain; charset=utf-8"

const bodyOf = (text = "", mediaType: string): Item["body"] => ({ bytes: new TextEncoder().encode(text), mediaType })

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

const resolved = (address: string | undefined, base: string): string | undefined =>
  address === undefined || address === "" ? undefined : (URL.parse(address, base)?.href ?? address)

/**
 * Parses a time of RFC 822 or RFC 3339. A time without a zone is UTC, so that it does not depend on the machine.
 * Returns undefined for any other text.
 */
const timeOf = (text = ""): DateTime.Utc | undefined => {
  const iso = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?) ?(Z|[+-]\d\d:?\d\d)?)?$/i.exec(text.trim())
  if (iso === null) return Option.getOrUndefined(MailDate.parse(text))
  return Option.getOrUndefined(
    Option.map(DateTime.make(`${iso[1]}T${iso[2] ?? "00:00"}${iso[3] ?? "Z"}`), DateTime.toUtc)
  )
}

/**
 * Returns an item as an entry. Its external id is the item's id, or else its link. An id that cannot be stored is
 * replaced by its digest; an item with neither gets the digest of its content.
 */
const entryOf = (item: Item, feedUrl: string): Entry => {
  const base = resolved(item.base, feedUrl) ?? feedUrl
  const link = resolved(item.link, base)
  const named = <A>(values: ReadonlyArray<A | undefined>) =>
    values.filter((value) => value !== undefined && value !== "").slice(0, maxListed)
  const enclosures = item.enclosures.slice(0, maxListed).flatMap(({ length, type, url }): ReadonlyArray<Enclosure> => {
    const address = resolved(url, base)
    return address === undefined
      ? []
      : [{ url: address, ...(type === undefined ? {} : { type }), ...(length === undefined ? {} : { length }) }]
  })
  const texts = {
    link,
    updated: item.updated,
    summary: item.summary,
    comments: resolved(item.comments, base),
    language: item.language,
    base: item.base === undefined ? undefined : base
  }
  const lists = { authors: named(item.authors), categories: named(item.categories), enclosures }
  const metadata = Object.fromEntries([
    ...Object.entries(texts).flatMap(([name, value]) => (value === undefined || value === "" ? [] : [[name, value]])),
    ...Object.entries(lists).filter(([, values]) => values.length > 0)
  ])
  const title = item.title?.replaceAll(/\s+/g, " ").trim()
  const about = { title, mediaType: item.body.mediaType, metadata }
  const revision = sha256(JSON.stringify([about, item.published, sha256(item.body.bytes)]))
  const id = item.id || link || ""
  return {
    externalId: externalIdProblem(id) === undefined ? id : sha256(id || revision),
    revision,
    content: { kind: "entry", ...about, occurredAt: timeOf(item.published ?? item.updated), body: item.body.bytes }
  }
}

/** Returns the text of a title with markup. */
const textOf = (markup: string): string => DomUtils.textContent(parseDocument(markup).children)

/** Without options, `parseFeed` returns dates as texts. */
const read = (text: string) => parseFeed(text)
type Parsed = ReturnType<typeof read>
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

const itemsOf = (parsed: Parsed, feedUrl: string): ReadonlyArray<Item> => {
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

const linksOf = (parsed: Parsed): Links => {
  if (parsed.format === "json") return { links: [{ rel: "next", href: parsed.feed.next_url }], base: undefined }
  const { feed, format } = parsed
  return { links: (format === "atom" ? feed.links : feed.atom?.links) ?? [], base: feed.xml?.base }
}

const byteOrderMarks = [
  ["efbbbf", "utf-8"],
  ["feff", "utf-16be"],
  ["fffe", "utf-16le"]
] as const

/**
 * Decodes text: by a byte-order mark, else by the response's media type, else by the XML declaration (RFC 7303), else
 * as UTF-8. A charset that is unknown, or that does not fit the bytes, is ignored.
 */
const decode = (bytes: Uint8Array, mediaType: string): string => {
  const head = Buffer.from(bytes.subarray(0, 300))
  const marked = byteOrderMarks.find(([mark]) => head.toString("hex", 0, 3).startsWith(mark))?.[1]
  const inType = /charset\s*=\s*["']?([\w:.-]+)/i.exec(mediaType)?.[1]
  const inXml = /^\s*<\?xml[^>]+encoding\s*=\s*["']([\w:.-]+)/.exec(head.toString("latin1"))?.[1]
  // If a declaration can be read byte by byte, the text is not UTF-16, whatever it declares.
  const isSingle = !head.includes(0)
  for (const label of [marked, inType, inXml]) {
    if (label === undefined || (isSingle && marked === undefined && /^utf-?16/i.test(label))) continue
    try {
      return new TextDecoder(label, { fatal: true }).decode(bytes)
    } catch {
      continue
    }
  }
  return new TextDecoder().decode(bytes)
}

/** Returns why a text is not a feed, and the next step. */
const explain = (text: string, url: URL): NoFeed => {
  const start = text.trimStart().slice(0, 1000)
  if (start === "") return new NoFeed("its answer is empty")
  if (!/<(!doctype\s+html|html|head|body)\b/i.test(start)) return new NoFeed("it is not RSS, Atom or JSON Feed")
  const link = DomUtils.findOne(
    ({ attribs, name }) =>
      name === "link" &&
      /\balternate\b/i.test(attribs["rel"] ?? "") &&
      /^application\/((rss|atom)\+xml|feed\+json)$/i.test(attribs["type"] ?? ""),
    parseDocument(text.slice(0, 200_000)).children
  )
  const address = URL.parse(link?.attribs["href"] ?? "", url.href)
  return link === null || address === null
    ? new NoFeed("it is a web page: give the address of its feed")
    : new NoFeed(`it is a web page: give the address of its feed, ${address.origin}${address.pathname}`)
}

/** The contents of one document. */
export interface Read {
  readonly entries: ReadonlyArray<Entry>
  readonly older: Older | undefined
  readonly isComplete: boolean
}

/**
 * Parses a feed: its entries, in the feed's order, and its next older document. If an id occurs twice, the first entry
 * is used. Throws `NoFeed`.
 */
export const parse = (bytes: Uint8Array, mediaType: string, url: URL): Read => {
  const text = decode(bytes, mediaType)
  const { items, older } = (() => {
    try {
      const parsed = read(text)
      return { items: itemsOf(parsed, url.href), older: olderOf(linksOf(parsed), url.href) }
    } catch {
      throw explain(text, url)
    }
  })()
  const entries = new Map<string, Entry>()
  for (const item of items) {
    const entry = entryOf(item, url.href)
    if (!entries.has(entry.externalId)) entries.set(entry.externalId, entry)
  }
  // A feed that links to older entries is not complete, even if it states that it is.
  return { entries: [...entries.values()], older, isComplete: older === undefined && isComplete(text) }
}
