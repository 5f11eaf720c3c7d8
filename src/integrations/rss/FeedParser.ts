/**
 * Parses a feed into its entries: RSS 2.0 (and its earlier versions), RSS 1.0, Atom (RFC 4287) and JSON Feed.
 * `feedsmith` parses the formats: it does not expand entities that a feed declares, and refuses a feed that declares an
 * external one.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import { DomUtils, parseDocument } from "htmlparser2"
import { createHash } from "node:crypto"
import { externalIdProblem } from "../../contract/Content.ts"
import * as MailDate from "../../mail/MailDate.ts"
import type { Entry } from "./EntryPages.ts"
import { type Item, itemsOf, type Parsed, read, resolved } from "./FeedItems.ts"
import { isComplete, type Links, type Older, olderOf } from "./FeedLinks.ts"

/** The bytes are not a feed. The message says what to do, and does not quote the bytes. */
export class NoFeed extends Error {}

interface Enclosure {
  readonly url: string
  readonly type?: string | undefined
  readonly length?: number | undefined
}

/** The most authors, categories or enclosures of one entry: metadata is read as a whole whenever the entry is shown. */
const maxListed = 1000

const sha256 = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex")

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
